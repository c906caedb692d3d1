"""Listing and resolving among many versions, in the registry's real tables."""

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from bench import large_adapter
from bench.floor import seconds
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.seal import sealed
from registry.embedded.stores import open_folder
from registry.embedded.tables import adapters, versions
from registry.files import FileEntry
from registry.manifest import LoraConfig, Manifest
from registry.times import now, to_text

EACH = 100
"""Versions of one adapter."""


def measure(folder: Path, count: int) -> Mapping[str, float]:
    """Median milliseconds among ``count`` versions.

    ``list_ms`` lists one adapter's hundred, ``list_all_ms`` everything; ``resolve_ms`` finds one version by number,
    by alias and by the beginning of its digest, in turn.
    """
    stores = open_folder(folder)
    registry = EmbeddedRegistry(stores)
    registry.bases.add(large_adapter.base())
    rows = list(_rows(count))
    names = sorted({row["name"] for row in rows})
    with stores.database.write() as connection:
        many = [{"name": name, "versions": EACH, "moves": 0, "last_move": ""} for name in names]
        connection.execute(insert(adapters), many)
        connection.execute(insert(versions), rows)
    for name in names[:10]:
        registry.aliases.promote(f"{name}:{EACH}", "canary", actor="bench")
    chance = random.Random(0)  # noqa: S311 - the same choice each time

    def refs() -> Iterator[str]:
        for _ in range(100):
            row = chance.choice(rows)
            yield f"{row['name']}:{row['number']}"
            yield f"{chance.choice(names[:10])}@canary"
            yield f"{row['name']}@{row['digest'][:19]}"

    figures = {
        "list_ms": median(
            [partial(registry.versions.list, name) for name in chance.sample(names, min(20, len(names)))]
        ),
        "list_all_ms": median([registry.versions.list] * 3),
        "resolve_ms": median([partial(registry.versions.get, ref) for ref in refs()]),
    }
    registry.close()
    return figures


def median(asked: Sequence[Callable[[], object]]) -> float:
    """Median milliseconds of calls, after one that warms up."""
    asked[0]()
    return 1000 * statistics.median([seconds(one) for one in asked])


def _rows(count: int) -> Iterator[dict[str, Any]]:
    base = large_adapter.base()
    lora = LoraConfig(
        rank=16, alpha=16.0, target_modules=tuple(name.rpartition(".")[2] for name in large_adapter.SHAPES)
    )
    for index in range(count):
        name, number = f"adapter-{index // EACH:03d}", index % EACH + 1
        manifest = Manifest(
            files=tuple(
                FileEntry(path, 1000 + index, f"sha256:{index:032x}{place:032x}")
                for place, path in enumerate(("adapter_config.json", "adapter_model.safetensors", "record.json"))
            ),
            base_name=base.name,
            base_fingerprint=base.fingerprint,
            lora=lora,
            recipe={"training": {f"option_{option}": option for option in range(20)}},
            metrics={f"metric_{metric}": metric / 7 for metric in range(12)},
        )
        yield sealed({
            "name": name, "number": number, "digest": manifest.digest, "base_fingerprint": base.fingerprint,
            "manifest": manifest.to_bytes().decode(), "created": to_text(now()), "actor": "bench", "note": "",
        })  # fmt: skip
