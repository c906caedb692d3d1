"""MLflow's registry in a local store, measured in its own environment: ``make bench-peers`` makes it.

python -m bench.mlflow_registry SOURCE WORK ROUNDS VERSIONS: prints its figures as JSON.
"""

import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench.floor import floor, seconds, timed

EACH = 100
WEIGHTS = "adapter_model.safetensors"


def copies(client: Any, source: Path, work: Path, rounds: int) -> dict[str, float]:
    """Push (log the files, register a version) and pull (download it into a folder), beside the floor."""
    import shutil

    from mlflow.artifacts import download_artifacts

    experiment = client.create_experiment("bench", artifact_location=(work / "artifacts").as_uri())
    client.create_registered_model("bench")
    floors, pushes, pulls = [], [], []
    for number in range(1, rounds + 1):

        def push() -> None:
            run = client.create_run(experiment)
            client.log_artifacts(run.info.run_id, str(source))
            client.create_model_version("bench", run.info.artifact_uri, run.info.run_id)

        def pull(number: int = number) -> None:
            place = client.get_model_version_download_uri("bench", str(number))
            download_artifacts(place, dst_path=str(work / "pulled"))

        (work / "pulled").mkdir()
        floors.append(floor(source / WEIGHTS, work / "floor"))
        pushes.append(timed(push))
        pulls.append(timed(pull))
        shutil.rmtree(work / "pulled")
    middle = statistics.median(floors)
    return {
        "mlflow_push_ratio": middle / statistics.median(pushes),
        "mlflow_pull_ratio": middle / statistics.median(pulls),
    }


def rows(client: Any, store: str, count: int) -> dict[str, float]:
    """Median milliseconds to list one model's hundred versions, and to find one by number and by alias."""
    from mlflow.store.model_registry.dbmodels.models import (
        SqlModelVersion,
        SqlRegisteredModel,
        SqlRegisteredModelAlias,
    )
    from sqlalchemy import create_engine, insert

    now = int(time.time() * 1000)
    names = [f"adapter-{index:03d}" for index in range(count // EACH)]
    with create_engine(store).begin() as connection:
        models = [{"name": name, "creation_time": now, "last_updated_time": now} for name in names]
        connection.execute(insert(SqlRegisteredModel), models)
        stages = {"current_stage": "None", "status": "READY", "creation_time": now, "last_updated_time": now}
        versions = [{"name": name, "version": number + 1, "source": "file:///x", **stages}
                    for name in names for number in range(EACH)]  # fmt: skip
        connection.execute(insert(SqlModelVersion), versions)
        aliases = [{"name": name, "alias": "canary", "version": EACH} for name in names]
        connection.execute(insert(SqlRegisteredModelAlias), aliases)
    listed = [partial(client.search_model_versions, f"name = '{name}'", max_results=EACH) for name in names[:20]]
    found = [
        call
        for name in names[:50]
        for call in (
            partial(client.get_model_version, name, "57"),
            partial(client.get_model_version_by_alias, name, "canary"),
        )
    ]
    assert len(listed[0]()) == EACH  # noqa: S101 - else something else is measured
    found[0]()
    return {
        "mlflow_list_ms": 1000 * statistics.median([seconds(call) for call in listed]),
        "mlflow_resolve_ms": 1000 * statistics.median([seconds(call) for call in found]),
    }


def main() -> None:
    """Measure and print."""
    source, work, rounds, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    from mlflow import MlflowClient

    store = f"sqlite:///{work / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=store, registry_uri=store)
    print(json.dumps(copies(client, source, work, rounds) | rows(client, store, count)))


if __name__ == "__main__":
    main()
