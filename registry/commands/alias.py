"""``registry promote`` and ``registry rollback``."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from registry.commands.amounts import Duration
from registry.console import command, json_option, print_json, progress, say, settings

if TYPE_CHECKING:
    from registry.alias import Alias
    from registry.rollout import Outcome
    from registry.store import Registry

FunctionT = TypeVar("FunctionT", bound=Callable[..., None])

WAIT_SECONDS = 120.0

reason_option = click.option("--reason", default="", help="Why; it goes into the history.")


def wait_options(function: FunctionT) -> FunctionT:
    """``--wait`` and ``--timeout``."""
    timeout = click.option(
        "--timeout",
        default=WAIT_SECONDS,
        show_default=True,
        type=click.FloatRange(0),
        help="With --wait: seconds.",
    )
    wait = click.option("--wait", is_flag=True, help="Return when every server answers with the version.")
    return wait(timeout(function))


@click.command()
@click.argument("ref")
@click.argument("alias")
@reason_option
@click.option("--force", is_flag=True, help="Overrule the gate; needs --reason.")
@click.option("--watch", type=Duration(), help="Go back by itself if it is worse within this time: 10m, 2h.")
@wait_options
@json_option
@command
def promote(
    ref: str,
    alias: str,
    reason: str,
    force: bool,
    watch: float | None,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Let ALIAS name the version REF.

    The alias prod needs a report for the profile that serves, and the newest one of every suite has to have passed.

    With --wait it returns when every server of this base answers with the version, and fails where one does not; the
    old version goes on answering there. With --watch the alias goes back to the old version by itself if the new one
    fails, slows down or answers less JSON within that time (registry release show NAME@ALIAS).
    """
    from registry.store import Registry

    options = settings()
    registry = Registry.open(options)
    if watch is None:
        moved = registry.aliases.promote(ref, alias, actor=options.actor, reason=reason, force=force)
    else:
        moved = _promote_watched(registry, ref, alias, watch, actor=options.actor, reason=reason, force=force)
    _report(registry, moved, f"{moved} is now {moved.name}:{moved.number}", timeout if wait else None, as_json)


@click.command()
@click.argument("name")
@click.argument("alias")
@click.option("--to", type=click.IntRange(min=1), help="Version to go back to; the one before by default.")
@reason_option
@wait_options
@json_option
@command
def rollback(name: str, alias: str, to: int | None, reason: str, wait: bool, timeout: float, as_json: bool) -> None:
    """Let ALIAS of the adapter NAME name the version again that it named before."""
    from registry.store import Registry

    options = settings()
    registry = Registry.open(options)
    moved = registry.aliases.rollback(name, alias, actor=options.actor, reason=reason, to=to)
    _report(registry, moved, f"{moved} is {moved.name}:{moved.number} again", timeout if wait else None, as_json)


def _promote_watched(
    registry: "Registry", ref: str, alias: str, seconds: float, *, actor: str, reason: str, force: bool
) -> "Alias":
    """Promote, and have servers watch what becomes of it."""
    from registry.release import WATCH, Plan

    plan = Plan(kind=WATCH, weight=1, seconds=seconds)
    release = registry.releases.start(ref, alias, plan, actor=actor, reason=reason, force=force)
    return next(moved for moved in registry.aliases.list(release.name) if moved.alias == alias)


def _report(registry: "Registry", moved: "Alias", line: str, timeout: float | None, as_json: bool) -> None:
    """Print a move and, with a ``timeout``, what the servers made of it.

    Raises:
        Refused: a server does not answer with the version.
    """
    if not as_json:
        click.echo(line)
    outcomes = _wait(registry, moved, timeout) if timeout is not None else None
    if as_json:
        replicas = {} if outcomes is None else {"replicas": [one.to_json() for one in outcomes]}
        print_json(moved.to_json() | replicas)
    if outcomes is not None:
        from registry.rollout import prove_served

        prove_served(moved, outcomes)


def _wait(registry: "Registry", moved: "Alias", timeout: float) -> "Sequence[Outcome]":
    from registry.replica_status import SERVING
    from registry.rollout import SILENT, WAITING, wait_until_served

    with progress() as bar:
        task = bar.add_task(f"Waiting for servers to answer with {moved.name}:{moved.number}", total=None)

        def show(outcomes: "Sequence[Outcome]") -> None:
            decided = sum(one.state != WAITING for one in outcomes)
            bar.update(task, completed=decided, total=len(outcomes))

        outcomes = wait_until_served(registry, moved, timeout, show)
    for one in outcomes:
        if one.state == SILENT:
            say(f"Not waited for: {one.replica}, {one.reason}.")
    serving = sum(one.state == SERVING for one in outcomes)
    if not any(one.state != SILENT for one in outcomes):
        say("No server of this base runs.")
    elif serving:
        say(f"{serving} of {len(outcomes)} servers answer with it.")
    return outcomes
