"""The engine's host tier: which adapters vLLM certainly still has in memory, told from outside.

vLLM keeps ``max_cpu_loras`` adapters in memory and forgets the one that a step used least recently when another is
loaded. Unloading a name frees nothing. When a step needs an adapter that was forgotten, it reads the folder again,
and without that the whole engine ends (0.32, LRUCacheWorkerLoRAManager). So no adapter may be named that could have
been forgotten.

We do not see the steps, but we have bounds: an adapter was touched no earlier than the last request began that
computed with it, and no later than the last one ended. One is certainly kept while fewer than ``size`` others may have
been touched after it, with ``size`` smaller than ``max_cpu_loras`` by SPARE_HOST_ADAPTERS: room for what is loaded
between the check and the step.
"""

import math
from dataclasses import dataclass, field

from registry.version import AdapterVersion


@dataclass(eq=False, slots=True)
class Resident:
    """An adapter that was loaded; the engine gives each load an identity of its own.

    Attributes:
        users: requests that compute with it now.
        used: when the last one ended, or it was loaded; monotonic seconds.
        touched: the latest time from when on the engine has certainly computed with it; monotonic seconds.
    """

    version: AdapterVersion
    used: float
    touched: float
    users: int = 0

    @property
    def latest(self) -> float:
        """When the engine may have computed with it last."""
        return math.inf if self.users else self.used


@dataclass(slots=True)
class HostTier:
    """The loads of one engine, those with a name and those without."""

    size: int
    _loads: list[Resident] = field(default_factory=list)

    def add(self, resident: Resident) -> None:
        """The engine has loaded another one, or tried to."""
        busy = [load for load in self._loads if load.users]
        idle = sorted((load for load in self._loads if not load.users), key=lambda load: load.used)
        self._loads = [*busy, *idle[-self.size :], resident]  # older ones count for nobody

    def newer(self, resident: Resident) -> int:
        """How many others the engine may have touched since it certainly touched this one."""
        return sum(load is not resident and load.latest >= resident.touched for load in self._loads)

    def holds(self, resident: Resident) -> bool:
        """Whether the engine certainly has it in memory."""
        return self.newer(resident) < self.size
