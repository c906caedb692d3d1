"""Faults on the real engine: nothing is lost for long, and nothing is left behind."""

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import openai

from tests.integration.serve_fixtures import BASE, YES, Server, Workshop, wait_for
from tests.integration.shell import Shell


def ask(server: Server, model: str) -> str:
    answer = server.client.completions.create(model=model, prompt="Say", max_tokens=4, temperature=0)
    return answer.choices[0].text


def serve(workshop: Workshop, *arguments: str, status: int) -> subprocess.CompletedProcess[str]:
    home = workshop.settings.home
    return Shell(home, home).run("adaptory", "serve", "--base", BASE, *arguments, status=status)


def test_a_base_that_is_not_prepared_is_one_line(tmp_path: Path) -> None:
    done = Shell(tmp_path, tmp_path).run("adaptory", "serve", "--base", "nothing", status=2)
    assert len(done.stderr.splitlines()) == 1
    assert "adaptory base prepare" in done.stderr


def test_a_port_in_use_is_one_line_before_anything_starts(workshop: Workshop) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = serve(workshop, "--port", str(port), status=2)
    assert len(done.stderr.splitlines()) == 1
    assert f"Port {port}" in done.stderr
    assert "--port" in done.stderr


def test_an_engine_that_cannot_start_is_one_line_and_leaves_nothing(workshop: Workshop) -> None:
    done = serve(workshop, "--port", "0", "--engine-arg=--frobnicate", status=1)
    assert "vLLM does not know the argument --frobnicate" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_engine_comes_back_with_its_adapters(server: Server, workshop: Workshop) -> None:
    workshop.push("survivor", YES)
    assert ask(server, "survivor:1") == YES * 4
    outcomes: list[object] = []

    def traffic() -> None:
        try:
            stream = server.client.completions.create(model="survivor:1", prompt="Say", max_tokens=400, stream=True,
                                                      extra_body={"ignore_eos": True})  # fmt: skip
            outcomes.append(sum(1 for _ in stream))
        except openai.APIError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=traffic) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: server.engine_running() == 4)
    os.kill(server.engine_core().pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert all(isinstance(outcome, openai.APIError) for outcome in outcomes), outcomes
    wait_for(lambda: not server.ready)
    meanwhile = httpx.post(f"{server.url}/v1/completions", json={"model": BASE, "prompt": "Hi"})
    assert meanwhile.status_code == 503
    assert meanwhile.headers["retry-after"]
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    wait_for(lambda: server.ready)
    wait_for(lambda: server.models()["survivor:1"]["adaptory"]["loaded"])
    assert ask(server, "survivor:1") == YES * 4


def test_a_killed_server_leaves_no_engine_and_the_next_start_works(server: Server, workshop: Workshop) -> None:
    workshop.push("phoenix", YES)
    server.stop(signal.SIGKILL)
    server.start()
    assert ask(server, "phoenix:1") == YES * 4
