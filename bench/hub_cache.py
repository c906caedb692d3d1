"""A Hugging Face cache with one file in it: how fast it is filled from this disk, and how fast it answers."""

import hashlib
import shutil
import statistics
from collections.abc import Mapping
from pathlib import Path

from bench.floor import floor, seconds, timed
from registry.run_folder import WEIGHTS

COMMIT = hashlib.sha256(b"bench").hexdigest()[:40]
WARM = 7


def measure(source: Path, work: Path, rounds: int) -> Mapping[str, float]:
    """Copying into the cache as a free download would (no hash, no fsync), and ``snapshot_download`` from it."""
    from huggingface_hub import snapshot_download

    root = work / "hub"
    repository = root / "models--bench--adapter"
    snapshot = repository / "snapshots" / COMMIT
    blob = repository / "blobs" / hashlib.sha256(WEIGHTS.encode()).hexdigest()
    for folder in (snapshot, blob.parent, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    (snapshot / WEIGHTS).symlink_to(blob)
    floors, fills = [], []
    for _ in range(rounds):
        blob.unlink(missing_ok=True)
        floors.append(floor(source / WEIGHTS, work / "floor"))
        fills.append(timed(lambda: shutil.copyfile(source / WEIGHTS, blob)))

    def resolve() -> str:
        return str(snapshot_download("bench/adapter", cache_dir=root, local_files_only=True))

    resolve()
    warm = statistics.median([seconds(resolve) for _ in range(WARM)])
    shutil.rmtree(root)
    return {"hub_copy_ratio": statistics.median(floors) / statistics.median(fills), "hub_warm_ms": 1000 * warm}
