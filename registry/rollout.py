"""Rollout: whether the servers of a base have followed an alias, and waiting until they have."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from registry.alias import Alias
from registry.errors import Refused, Unavailable
from registry.replica_status import FAILED, SERVING, ReplicaStatus
from registry.store import Registry
from registry.times import now

WAITING, SILENT = "waiting", "silent"
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far one replica is.

    Attributes:
        replica: what it said last.
        state: ``serving``, ``failed``, ``waiting``, or ``silent`` for one that is not waited for.
        reason: why it does not serve the version, or an empty string.
    """

    replica: ReplicaStatus
    state: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {"id": self.replica.id, "url": self.replica.url, "state": self.state, "reason": self.reason}


def wait_until_served(
    registry: Registry, moved: Alias, timeout: float, on_look: Callable[[Sequence[Outcome]], None]
) -> Sequence[Outcome]:
    """Wait until each replica of the version's base serves it under the alias, or has said that it cannot.

    Replicas that fall silent meanwhile are no longer waited for, those that start are. A registry that does not
    answer for a while is asked again until the time is over.

    Args:
        registry: where the replicas write.
        moved: the alias, as the move has left it.
        timeout: seconds; what is undecided then has the state ``waiting``.
        on_look: hears of each look.

    Returns:
        Where each replica is at the end; empty where none runs.
    """
    base = registry.versions.get(f"{moved.name}:{moved.number}").manifest.base_fingerprint
    end = time.monotonic() + timeout
    outcomes: Sequence[Outcome] = []
    while True:
        late = time.monotonic() >= end
        try:
            outcomes = [outcome(replica, moved, now()) for replica in registry.replicas.list(base)]
        except Unavailable:
            if late:
                raise
        else:
            on_look(outcomes)
            if late or not any(one.state == WAITING for one in outcomes):
                return outcomes
        time.sleep(LOOK_SECONDS)


def outcome(replica: ReplicaStatus, moved: Alias, at: datetime) -> Outcome:
    """How far a replica has followed a move."""
    said = replica.alias(moved.name, moved.alias)
    if said and said.moved > moved.moved:
        return Outcome(replica, FAILED, f"{moved} was moved again meanwhile")
    if said and said.moved == moved.moved and said.state == SERVING and said.digest == moved.digest:
        return Outcome(replica, SERVING, "")
    if replica.silent(at):
        return Outcome(replica, SILENT, f"not heard of since {replica.heartbeat:%Y-%m-%d %H:%M:%S} UTC")
    if said is None or said.moved < moved.moved:
        return Outcome(replica, WAITING, "it has not heard of the move yet")
    kept = f"; it keeps {moved.name}:{said.number}" if said.digest != moved.digest else ""
    reason = (said.failure or "it is loading the version") + kept
    return Outcome(replica, FAILED if said.state == FAILED else WAITING, reason)


def prove_served(moved: Alias, outcomes: Sequence[Outcome]) -> None:
    """Prove that nobody who was waited for does without the version.

    Raises:
        Refused: somebody does; the message says who and why.
    """
    without = [one for one in outcomes if one.state in {FAILED, WAITING}]
    if without:
        told = "; ".join(f"{one.replica}: {one.reason}" for one in without)
        raise Refused(
            f"{moved} is {moved.name}:{moved.number} in the registry, but {len(without)} of {len(outcomes)} replicas "
            f"do not serve it: {told.removesuffix('.')}.",
            "registry replicas",
        )
