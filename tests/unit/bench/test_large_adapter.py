"""The large adapter of the registry's benchmark is one that admission takes, and another one each time."""

from pathlib import Path

from bench import large_adapter
from bench.registry_disk import Times
from registry.admission import admit
from registry.canonical import digest_file
from registry.run_folder import WEIGHTS


def test_each_variation_is_admitted_and_has_other_bytes(tmp_path: Path) -> None:
    folder = large_adapter.write(tmp_path / "adapter", rank=1)
    digests = {digest_file(folder / WEIGHTS)}
    for number in (0, 1, 126):
        large_adapter.vary(folder, number)
        digests.add(digest_file(folder / WEIGHTS))
    assert len(digests) == 4
    assert len(admit(folder, large_adapter.base()).modules) == 32 * 7


def test_a_ratio_leaves_out_the_extremes() -> None:
    times = Times(floor=[1, 1, 1, 1, 90], push=[2, 2, 2, 0, 50], pull=[1] * 5)
    assert (times.ratio("push"), times.ratio("pull")) == (0.5, 1)
