"""Two real engines of one core each behind one gateway: homes, one of them killed under load, a promotion meanwhile.

That an engine that comes back has its adapters is asked in ``test_fleet.py`` and, for a single one, in
``test_serve_faults.py``: here it would take as long again.
"""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from registry.version import AdapterVersion
from tests.integration.serve_fixtures import NO, YES, Server, Workshop, free_port, wait_for
from tests.integration.shell import Shell

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two engines need a core each")


@pytest.fixture(scope="module")
def twins(workshop: Workshop) -> Iterator[Server]:
    started = Server(workshop.settings, free_port(), ("--engines", "2"))
    started.start()  # one of them is ready
    wait_for(lambda: all(engine_states(started)))
    yield started
    assert started.stop(signal.SIGTERM) == 0


def ask(server: Server, model: str) -> str:
    answer = server.client.completions.create(model=model, prompt="Say", max_tokens=4, temperature=0)
    return answer.choices[0].text


def engines(server: Server, model: str) -> list[int]:
    """Those that have it loaded."""
    found: list[int] = server.models()[model]["adaptory"]["engines"]
    return found


def process(server: Server, engine: int) -> psutil.Process:
    """The engine's own, told by its core."""
    core = sorted(os.sched_getaffinity(0))[engine]
    assert server.process
    for child in psutil.Process(server.process.pid).children(recursive=True):
        if (
            "--uds" in child.cmdline()
            and "warden.py" not in "".join(child.cmdline())
            and child.cpu_affinity() == [core]
        ):
            return child
    raise AssertionError("no engine")


def answered_by(log: Path, version: AdapterVersion) -> set[int]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {line["engine"] for line in lines if line["version"] == str(version) and line["status"] == 200}


def test_one_engine_dies_under_load_and_the_other_goes_on(twins: Server, workshop: Workshop) -> None:
    homes: dict[int, AdapterVersion] = {}
    while len(homes) < 2:
        version = workshop.push("twin", YES)
        assert ask(twins, str(version)) == YES * 4
        (home,) = engines(twins, str(version))
        homes[home] = version
    for home, version in homes.items():
        assert ask(twins, str(version)) == YES * 4
        assert answered_by(workshop.settings.home / "logs" / "access.jsonl", version) == {home}
    workshop.promote(homes[0], "prod")
    outcomes: dict[int, Any] = {}

    def stream(engine: int) -> None:
        try:
            tokens = twins.client.completions.create(model=str(homes[engine]), prompt="Say", max_tokens=48,
                                                     stream=True, extra_body={"ignore_eos": True})  # fmt: skip
            outcomes[engine] = sum(1 for _ in tokens)
        except openai.APIError as error:
            outcomes[engine] = error

    threads = [threading.Thread(target=stream, args=(engine,)) for engine in homes]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(threads) == running(twins))
    os.kill(process(twins, 0).pid, signal.SIGKILL)
    wait_for(lambda: 0 in outcomes)
    assert isinstance(outcomes[0], openai.APIError)
    wait_for(lambda: not engine_states(twins)[0])
    assert twins.ready
    assert ask(twins, str(homes[0])) == ask(twins, "twin") == ask(twins, str(homes[1])) == YES * 4
    assert engines(twins, str(homes[0])) == [1]
    two = workshop.push("twin", NO)
    Shell(workshop.settings.home, workshop.work).run("registry", "promote", str(two), "canary", "--wait")
    assert ask(twins, "twin@canary") == NO * 4
    for thread in threads:
        thread.join()
    assert outcomes[1] >= 48


def engine_states(server: Server) -> list[bool]:
    return [engine["ready"] for engine in httpx.get(f"{server.url}/readyz").json()["engines"]]


def running(server: Server) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("adaptory_requests_inside{"))
