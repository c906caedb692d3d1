"""Signatures of a registry behind a server, and the policies that ask for them."""

from collections.abc import Sequence

from registry.remote.connection import Connection
from registry.signature import Signature
from registry.signing_policy import SigningPolicy


class Signatures:
    """Who signed versions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, signature: Signature, *, actor: str) -> Signature:  # noqa: ARG002 - the server takes it from the key
        """Keep a signature."""
        kept: Signature = self._connection.ask(Signature, "POST", "/signatures", json=signature)
        return kept

    def list(self, version_digest: str) -> Sequence[Signature]:
        """The signatures of a version, oldest first."""
        signatures: Sequence[Signature] = self._connection.ask(
            Sequence[Signature], "GET", "/signatures", params={"version": version_digest}
        )
        return signatures


class SigningPolicies:
    """Which names need whose signature; changed with a key that has the scope ``admin``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, pattern: str, public_key: str, *, actor: str) -> SigningPolicy:  # noqa: ARG002 - as above
        """Ask for a signature by this key."""
        document = {"pattern": pattern, "public_key": public_key}
        policy: SigningPolicy = self._connection.ask(SigningPolicy, "POST", "/signing-policies", json=document)
        return policy

    def list(self) -> Sequence[SigningPolicy]:
        """Every policy, by pattern."""
        policies: Sequence[SigningPolicy] = self._connection.ask(Sequence[SigningPolicy], "GET", "/signing-policies")
        return policies

    def remove(self, pattern: str, key: str = "", *, actor: str) -> int:  # noqa: ARG002 - as above
        """Take policies away, and say how many there were."""
        document = {"pattern": pattern, "key": key}
        answer: dict[str, int] = self._connection.ask(dict[str, int], "POST", "/signing-policies/remove", json=document)
        return answer["removed"]
