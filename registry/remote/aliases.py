"""Aliases of a registry behind a server."""

from collections.abc import Sequence

from registry.alias import UNSET, Alias, Move
from registry.refs import AdapterRef, valid_alias, valid_name
from registry.remote.connection import Connection


class Aliases:
    """The movable names of versions; who moves them is the key's name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def promote(
        self,
        ref: AdapterRef | str,
        alias: str,
        *,
        actor: str,  # noqa: ARG002 - the server takes it from the key
        reason: str = "",
        force: bool = False,
        expected: str | None = None,
    ) -> Alias:
        """Move ``alias`` to the version that ``ref`` names."""
        ref = AdapterRef.parse(ref) if isinstance(ref, str) else ref
        document = {"ref": str(ref), "reason": reason, "force": force}
        return self._move("PUT", "/aliases/{}", ref.name, alias, document, expected)

    def rollback(
        self,
        name: str,
        alias: str,
        *,
        actor: str,  # noqa: ARG002 - the server takes it from the key
        reason: str = "",
        to: int | None = None,
        expected: str | None = None,
    ) -> Alias:
        """Move ``alias`` back to the version it named before, or to ``to``."""
        return self._move("POST", "/aliases/{}/rollback", name, alias, {"reason": reason, "to": to}, expected)

    def list(self, name: str | None = None) -> Sequence[Alias]:
        """Where the aliases of one adapter, or of all, point now."""
        params = {} if name is None else {"name": name}
        aliases: Sequence[Alias] = self._connection.ask(Sequence[Alias], "GET", "/aliases", params=params)
        return aliases

    def history(self, name: str, alias: str | None = None) -> Sequence[Move]:
        """Every move, oldest first."""
        params = {"name": name} | ({} if alias is None else {"alias": alias})
        moves: Sequence[Move] = self._connection.ask(Sequence[Move], "GET", "/history", params=params)
        return moves

    def _move(
        self, method: str, path: str, name: str, alias: str, document: dict[str, object], expected: str | None
    ) -> Alias:
        target = f"{valid_name(name)}@{valid_alias(alias)}"
        headers = {} if expected is None else {"if-match": f'"{expected}"'}
        if expected == UNSET:
            headers = {"if-none-match": "*"}
        moved: Alias = self._connection.ask(Alias, method, path, target, json=document, headers=headers)
        return moved
