"""Share: what part of the machine one of several engines computes on."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from registry.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Share:
    """One engine's part; an empty part is what the server itself may use.

    Attributes:
        devices: GPUs, as ``CUDA_VISIBLE_DEVICES`` takes them: numbers, or names such as ``GPU-5f3c``.
        cores: numbers of CPU cores.
    """

    devices: tuple[str, ...] = ()
    cores: tuple[int, ...] = ()


def gpu_shares(engines: int | None, asked: str | None, visible: str | None) -> tuple[Share, ...]:
    """One share for each engine, the GPUs dealt out in order, as many to each.

    Args:
        engines: how many, or None: one for each GPU that was asked for, else one.
        asked: GPUs with commas between them, or None: with several engines, one for each of those that are visible.
        visible: ``CUDA_VISIBLE_DEVICES`` of this process, or None.

    Raises:
        InvalidInput: the GPUs cannot be dealt out evenly.
    """
    named = tuple(part.strip() for part in asked.split(",")) if asked is not None else ()
    if "" in named or len(set(named)) < len(named):
        raise InvalidInput(f"--devices {asked} is no list of GPUs.", "adaptory serve --devices 0,1")
    engines = engines or max(1, len(named))
    if not named:
        if engines == 1:
            return (Share(),)
        named = tuple(visible.split(","))[:engines] if visible else tuple(map(str, range(engines)))
    each, left = divmod(len(named), engines)
    if left or not each:
        raise InvalidInput(
            f"{len(named)} GPUs ({', '.join(named)}) cannot be shared evenly by {engines} engines.",
            f"adaptory serve --engines {len(named)}",
        )
    return tuple(Share(devices=named[number * each : (number + 1) * each]) for number in range(engines))


def cpu_shares(engines: int, cores: Sequence[int]) -> tuple[Share, ...]:
    """One share for each engine, neighbouring cores together; a single engine keeps them all.

    Args:
        engines: how many.
        cores: those that this process may use.

    Raises:
        InvalidInput: there are more engines than cores.
    """
    if engines == 1:
        return (Share(),)
    if engines > len(cores):
        raise InvalidInput(
            f"{engines} engines need a core each, and this process may use {len(cores)}.",
            f"adaptory serve --engines {len(cores)}",
        )
    ordered = sorted(cores)
    starts = [number * len(ordered) // engines for number in range(engines + 1)]
    return tuple(Share(cores=tuple(ordered[low:high])) for low, high in itertools.pairwise(starts))
