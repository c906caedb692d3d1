"""SigningPolicies: which names need whose signature."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from registry.api_key import valid_patterns
from registry.embedded.audit import record
from registry.embedded.database import Database
from registry.embedded.seal import sealed
from registry.embedded.signature_tables import signing_policies
from registry.embedded.signatures import policy_of
from registry.errors import NotFound
from registry.refs import shown
from registry.signature import key_id
from registry.signing_policy import SigningPolicy
from registry.times import now, to_text


class SigningPolicies:
    """Every policy; pushes and promotions ask them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, pattern: str, public_key: str, *, actor: str) -> SigningPolicy:
        """Let no version of the adapters that ``pattern`` fits be pushed or promoted without a signature by this key.

        Several keys of one pattern are alternatives; the same one again changes nothing.

        Args:
            pattern: a name, perhaps with ``*``.
            public_key: PEM.
            actor: who asks for it.

        Raises:
            InvalidInput: the pattern can match no adapter, or the key is none.
        """
        from registry.signing.keys import valid_public

        public_key = valid_public(public_key.encode("utf-8"))
        (pattern,) = valid_patterns([pattern])
        key = key_id(public_key)
        here = signing_policies.c.pattern == pattern, signing_policies.c.key == key
        row = {"pattern": pattern, "key": key, "public_key": public_key, "actor": actor, "created": to_text(now())}
        with self._database.write() as connection:
            known = connection.execute(select(signing_policies).where(*here)).one_or_none()
            if known is None:
                connection.execute(insert(signing_policies).values(sealed(row)))
                record(connection, "policy add", pattern, {"key": key}, actor=actor)
                known = connection.execute(select(signing_policies).where(*here)).one()
        return policy_of(known)

    def list(self) -> Sequence[SigningPolicy]:
        """Every policy, by pattern, oldest key first."""
        query = select(signing_policies).order_by(signing_policies.c.pattern, signing_policies.c.created)
        with self._database.read() as connection:
            return [policy_of(row) for row in connection.execute(query)]

    def remove(self, pattern: str, key: str = "", *, actor: str) -> int:
        """Take a pattern's policies away.

        Args:
            pattern: exactly as it was given.
            key: first digits of a key's id, for that one alone.
            actor: who takes them away.

        Returns:
            How many there were.

        Raises:
            NotFound: none.
        """
        here = signing_policies.c.pattern == pattern, signing_policies.c.key.startswith(key, autoescape=True)
        with self._database.write() as connection:
            gone = connection.execute(delete(signing_policies).where(*here)).rowcount
            if not gone:
                raise NotFound(f"No signing policy has the pattern {shown(pattern)}.", "registry policy list")
            record(connection, "policy remove", pattern, {"key": key}, actor=actor)
        return int(gone)
