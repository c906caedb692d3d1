"""The command ``adaptory chat``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from export.plan import QUANTS
from export.steps import Steps
from registry import console
from registry.errors import InvalidInput

if TYPE_CHECKING:
    from export.local import Answers
    from registry.settings import Settings


@click.command()
@click.argument("ref")
@click.argument("question", required=False)
@click.option("--local", is_flag=True, help="Answer here, from the version's GGUF, instead of asking the server.")
@click.option("--quant", type=click.Choice(list(QUANTS)), help="Which GGUF.  [default: the closest to 16 bits]")
@click.option("--system", help="What the model is told first.")
@click.option("--max-tokens", type=click.IntRange(1), default=512, show_default=True)
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.0, show_default=True)
@console.json_option
@console.command
def chat(
    ref: str,
    question: str | None,
    local: bool,
    quant: str | None,
    system: str | None,
    max_tokens: int,
    temperature: float,
    as_json: bool,
) -> None:
    """Ask a version, or a base by its name, a question; without one, talk (Ctrl-D ends).

    \b
    adaptory chat support@prod "Where is my parcel?"
    adaptory chat support@prod --local "Where is my parcel?"
    """
    if question is None and (as_json or not sys.stdin.isatty()):
        raise InvalidInput("There is no question.", f'adaptory chat {ref} "…"')
    if quant and not local:
        raise InvalidInput(f"--quant {quant} chooses a GGUF of this machine.", "Add --local.")
    options = {"max_tokens": max_tokens, "temperature": temperature}
    messages = [{"role": "system", "content": system}] if system else []
    with _answers(ref, console.settings(), quant, local=local) as (answers, source):
        if question is None:
            _talk(answers, messages, options)
            return
        messages.append({"role": "user", "content": question})
        pieces = answers(messages, options)
        if as_json:
            console.print_json({**source, "question": question, "answer": "".join(pieces)})
        else:
            _print(pieces)


@contextmanager
def _answers(
    ref: str, settings: "Settings", quant: str | None, *, local: bool
) -> Iterator[tuple["Answers", dict[str, Any]]]:
    """Who answers, and what to call them in ``--json``."""
    if not local:
        from functools import partial

        from export.remote import stream

        yield partial(stream, settings.server, ref, settings.headers), {"model": ref, "server": settings.server}
        return
    from export.local import best_gguf, context_of, local_answers, materialise
    from registry.store import Registry

    registry = Registry.open(settings)
    try:
        version = registry.versions.get(ref)
        artifact = best_gguf(registry, version, quant)
        file = materialise(registry, artifact, settings.cache, Steps())
    finally:
        registry.close()
    with local_answers(file, context_of(artifact)) as answers:
        yield answers, {"model": str(version), "digest": version.digest, "quant": artifact.quant}


def _talk(answers: "Answers", messages: list[dict[str, str]], options: dict[str, Any]) -> None:
    while True:
        try:
            question = input("> ").strip()
        except EOFError:
            click.echo()
            return
        if question:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": _print(answers(messages, options))})


def _print(pieces: Iterator[str]) -> str:
    """Write an answer as it comes, and give it whole."""
    answer = []
    for piece in pieces:
        click.echo(piece, nl=False)
        sys.stdout.flush()
        answer.append(piece)
    click.echo()
    return "".join(answer)
