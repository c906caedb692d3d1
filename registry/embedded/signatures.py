"""Signatures: kept as children of versions, proved before they are kept."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.seal import prove_whole, sealed
from registry.embedded.signature_tables import signatures, signing_policies
from registry.embedded.tables import versions
from registry.errors import NotFound, Refused
from registry.manifest import Manifest
from registry.signature import Signature
from registry.signing_policy import SigningPolicy, unmet
from registry.times import from_text, now, to_text


class Signatures:
    """Every signature of every version."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, signature: Signature, *, actor: str) -> Signature:
        """Keep a signature; a second one by the same key changes nothing.

        Raises:
            NotFound: no version has the digest that was signed.
            Refused: it is not valid, or speaks of something else.
        """
        with self._database.read() as connection:
            row = connection.execute(
                select(versions.c.manifest).where(versions.c.digest == signature.version_digest).limit(1)
            ).one_or_none()
        if row is None:
            raise NotFound(f"No version has the digest {signature.version_digest[:19]}….", "registry list")
        prove_each([signature], Manifest.from_json(json.loads(row.manifest)))
        with self._database.write() as connection:
            keep_signatures(connection, signature.version_digest, [signature], actor)
            return next(each for each in _of(connection, signature.version_digest) if each.key == signature.key)

    def list(self, version_digest: str) -> Sequence[Signature]:
        """The signatures of a version, oldest first."""
        with self._database.read() as connection:
            return _of(connection, version_digest)


def prove_each(new: Sequence[Signature], manifest: Manifest) -> None:
    """Prove signatures that come with a push.

    Raises:
        Refused: one is not valid, or speaks of something else.
    """
    if new:
        from registry.signing.bundle import prove

        for signature in new:
            prove(signature, manifest)


def keep_signatures(connection: Connection, digest: str, new: Sequence[Signature], actor: str) -> None:
    """Keep signatures that were proved, as those of the version ``digest``, in the transaction of who brought them."""
    for signature in new:
        here = signatures.c.version_digest == digest, signatures.c.key == signature.key
        if connection.scalar(select(signatures.c.key).where(*here)):
            continue
        row = {
            "version_digest": digest,
            "key": signature.key,
            "public_key": signature.public_key,
            "bundle": signature.bundle,
            "actor": actor,
            "created": to_text(now()),
        }
        connection.execute(insert(signatures).values(sealed(row)))
        for name in connection.scalars(select(versions.c.name).where(versions.c.digest == digest)).all():
            payload = {"digest": digest, "key": signature.key}
            announce(connection, "signature", name, payload, actor=actor)


def prove_signed(connection: Connection, name: str, version_digest: str) -> None:
    """Prove that a version has every signature that the policies for ``name`` ask for.

    Raises:
        Refused: one is missing.
        Corrupted: the record of a policy or signature was changed.
    """
    policies = [policy_of(row) for row in connection.execute(select(signing_policies))]
    if not any(policy.fits(name) for policy in policies):
        return
    pattern = unmet(policies, name, (each.key for each in _of(connection, version_digest)))
    if pattern is None:
        return
    keys = ", ".join(policy.key[:12] for policy in policies if policy.pattern == pattern)
    raise Refused(
        f"{name} needs a signature by the key {keys} (policy for {pattern}); this version has none.",
        "registry push … --sign KEY.pem, or registry sign REF --key KEY.pem.",
    )


def policy_of(row: Any) -> SigningPolicy:
    """The policy that a row of the table ``signing_policies`` holds.

    Raises:
        Corrupted: the row was changed.
    """
    prove_whole(row, f"the signing policy of {row.pattern}")
    return SigningPolicy(
        pattern=row.pattern, public_key=row.public_key, actor=row.actor, created=from_text(row.created)
    )


def _of(connection: Connection, version_digest: str) -> list[Signature]:
    query = select(signatures).where(signatures.c.version_digest == version_digest).order_by(signatures.c.created)
    return [_signature(row) for row in connection.execute(query)]


def _signature(row: Any) -> Signature:
    prove_whole(row, f"the signature of {row.version_digest[:19]}…")
    return Signature(
        version_digest=row.version_digest,
        public_key=row.public_key,
        bundle=row.bundle,
        actor=row.actor,
        created=from_text(row.created),
    )
