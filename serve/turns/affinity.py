"""Affinity: which of several engines a request goes to. Pure: what the engines do is given in.

**Home.** Every adapter has an order of engines, from a hash of its digest and each engine's number (rendezvous hashing;
Thaler & Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN 1998). The first that can be used
is its home. When an engine goes away, its adapters alone move, each to the next in its own order, so they spread over
all the others; when it comes back, they alone move back.

**Bounded load.** A home that is overloaded is passed over for the next in the order (Mirrokni, Thorup & Zadimoghaddam,
"Consistent Hashing with Bounded Loads", SODA 2018): no engine shall have more than ``SPREAD`` times its share of the
requests that are inside, ceil(SPREAD * (m + 1) / n) of m and the one that comes, on n engines. One thing differs: an
engine in which nobody waits takes the request whatever the others have, since a batch with room costs nothing and a
second copy of an adapter costs a load and a slot. So at the moment when a request is sent to an engine,

    either it finds nobody waiting there, or that engine has at most ceil(SPREAD * (m + 1) / n) requests with it.

There is always an engine below that: n engines at or above it would have more than m requests.

**The base** goes where the fewest requests are.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SPREAD = 1.25
"""c = 1 + epsilon of the paper: what one engine may have of the mean. HAProxy's ``hash-balance-factor`` advises 1.25 to
2; the lower end, because whoever is passed over here finds a line."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one engine does.

    Attributes:
        inside: requests that wait or compute.
        waiting: of these, those that wait.
    """

    inside: int
    waiting: int


def by_affinity(digest: str, engines: Iterable[int]) -> list[int]:
    """The engines in the order of this adapter: its home first."""
    return sorted(engines, key=lambda engine: hashlib.blake2b(f"{digest} {engine}".encode(), digest_size=8).digest())


def first_with_room(loads: Sequence[Load]) -> int:
    """The index of the first that is not overloaded.

    Args:
        loads: of the engines that can be used, in the adapter's order; at least one.
    """
    most = math.ceil(SPREAD * (sum(load.inside for load in loads) + 1) / len(loads))
    return next(index for index, load in enumerate(loads) if not load.waiting or load.inside < most)
