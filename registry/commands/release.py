"""``registry release start``, ``show``, ``weight``, ``promote`` and ``stop``, and ``registry releases``."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from registry.commands.amounts import Duration, Share, shown_share
from registry.console import command, json_option, print_json, print_table, settings

if TYPE_CHECKING:
    from registry.judge import Finding
    from registry.release import Release
    from registry.store import Registry
    from registry.tally import Tally

reason_option = click.option("--reason", default="", help="Why; it goes into the history.")
force_option = click.option("--force", is_flag=True, help="Overrule the gate; needs --reason.")


@click.group(name="release")
def release() -> None:
    """Let a new version take over an alias step by step, and take it back by itself when it is worse."""


@release.command()
@click.argument("ref")
@click.argument("alias")
@click.option("--weight", type=Share(), default="10%", show_default=True, help="Share of users that the version gets.")
@click.option(
    "--shadow", is_flag=True, help="Ask it copies of that share instead; clients get the old version's answers."
)
@click.option(
    "--keep-texts", type=click.IntRange(0, 100), default=0, help="With --shadow: keep the last N pairs to read."
)
@click.option("--max-error-rate", type=Share(), default="2%", show_default=True, help="Failed requests.")
@click.option("--max-latency-ratio", type=click.FloatRange(1), default=1.5, show_default=True, help="Times as slow.")
@click.option("--max-format-drift", type=Share(), default="10%", show_default=True, help="Fewer answers in JSON.")
@click.option("--max-logprob-drift", type=click.FloatRange(0), default=0.5, show_default=True, help="Nats per token.")
@click.option(
    "--min-requests", type=click.IntRange(10), default=50, show_default=True, help="Before anything is judged."
)
@click.option("--for", "seconds", type=Duration(), help="How long: 90s, 30m, 2h, 1d.  [default: until it is ended]")
@click.option("--then", type=click.Choice(["promote", "stop"]), default="stop", show_default=True, help="After --for.")
@reason_option
@force_option
@json_option
@command
def start(
    ref: str,
    alias: str,
    weight: float,
    shadow: bool,
    keep_texts: int,
    max_error_rate: float,
    max_latency_ratio: float,
    max_format_drift: float,
    max_logprob_drift: float,
    min_requests: int,
    seconds: float | None,
    then: str,
    reason: str,
    force: bool,
    as_json: bool,
) -> None:
    """Give the version REF a share of what ALIAS is asked, beside the version that it names now.

    The alias prod needs a passing report, as for registry promote. A limit that is crossed for certain ends it.

    \b
    registry release start support:5 prod --weight 5% --for 30m --then promote
    registry release start support:5 prod --shadow --weight 50%
    """
    from registry.release import CANARY, SHADOW, Plan, ReleaseLimits
    from registry.store import Registry

    limits = ReleaseLimits(
        error_rate=max_error_rate,
        latency_ratio=max_latency_ratio,
        format_drift=max_format_drift,
        logprob_drift=max_logprob_drift,
        min_requests=min_requests,
    )
    plan = Plan(
        kind=SHADOW if shadow else CANARY,
        weight=weight,
        limits=limits,
        seconds=seconds,
        then=then,
        keep_texts=keep_texts,
    )
    options = settings()
    started = Registry.open(options).releases.start(ref, alias, plan, actor=options.actor, reason=reason, force=force)
    _say(started, as_json)


@release.command()
@click.argument("target", metavar="NAME@ALIAS")
@click.option("--texts", is_flag=True, help="Print the pairs of answers that were kept.")
@json_option
@command
def show(target: str, texts: bool, as_json: bool) -> None:
    """Show the newest release of an alias: what was counted, and what the judge makes of it."""
    from registry.judge import findings
    from registry.store import Registry
    from registry.tally import CANDIDATE, CURRENT

    registry = Registry.open(settings())
    found = registry.releases.get(*_target(target))
    counts = registry.releases.counts(found.id)
    told = findings(counts[CURRENT], counts[CANDIDATE], found.plan.limits)
    if as_json:
        document = found.to_json() | {"counts": {arm: tally.to_json() for arm, tally in counts.items()}}
        document["findings"] = [each.to_json() for each in told]
        print_json(document | ({"texts": registry.releases.texts(found.id)} if texts else {}))
        return
    click.echo(_line(found))
    _print_findings(found, told, counts)
    if texts:
        _print_texts(registry, found)


@release.command()
@click.argument("target", metavar="NAME@ALIAS")
@click.argument("weight", type=Share())
@json_option
@command
def weight(target: str, weight: float, as_json: bool) -> None:
    """Change the share of users that the new version gets; those who have it keep it as the share grows."""
    from registry.store import Registry

    options = settings()
    _say(Registry.open(options).releases.weigh(*_target(target), weight, actor=options.actor), as_json)


@release.command()
@click.argument("target", metavar="NAME@ALIAS")
@reason_option
@force_option
@json_option
@command
def promote(target: str, reason: str, force: bool, as_json: bool) -> None:
    """End the release: the alias names the new version from now on."""
    from registry.store import Registry

    options = settings()
    room = Registry.open(options).releases
    _say(room.promote(*_target(target), actor=options.actor, reason=reason, force=force), as_json)


@release.command()
@click.argument("target", metavar="NAME@ALIAS")
@reason_option
@json_option
@command
def stop(target: str, reason: str, as_json: bool) -> None:
    """End the release: the alias stays where it is."""
    from registry.store import Registry

    options = settings()
    _say(Registry.open(options).releases.stop(*_target(target), actor=options.actor, reason=reason), as_json)


@click.command()
@click.argument("name", required=False)
@click.option("--running", is_flag=True, help="Those that are under way only.")
@json_option
@command
def releases(name: str | None, running: bool, as_json: bool) -> None:
    """List releases, of the adapter NAME or of all, oldest first."""
    from registry.store import Registry

    listed = Registry.open(settings()).releases.list(name, running=running)
    if as_json:
        print_json([each.to_json() for each in listed])
        return
    if not listed:
        click.echo("There is no release: registry release start REF ALIAS")
        return
    columns = ("id", "alias", "kind", "from", "to", "weight", "started (UTC)", "by", "state", "why")
    print_table(columns, [_row(each) for each in listed])


def _target(text: str) -> tuple[str, str]:
    from registry.errors import InvalidReference
    from registry.refs import AdapterRef, shown

    ref = AdapterRef.parse(text)
    if ref.alias is None:
        raise InvalidReference(f"{shown(text)} names no alias.", "Write NAME@ALIAS.")
    return ref.name, ref.alias


def _say(told: "Release", as_json: bool) -> None:
    if as_json:
        print_json(told.to_json())
    else:
        click.echo(_line(told))


def _line(told: "Release") -> str:
    share = "" if told.plan.kind == "watch" else f" at {shown_share(told.plan.weight)}"
    versions = f"{told.name}:{told.current} -> {told.name}:{told.candidate}"
    return f"{told.name}@{told.alias}: {told.plan.kind} {versions}{share}, {told.state}. {told.verdict}".strip()


def _row(told: "Release") -> tuple[object, ...]:
    return (
        told.id,
        f"{told.name}@{told.alias}",
        told.plan.kind,
        told.current,
        told.candidate,
        shown_share(told.plan.weight),
        f"{told.started:%Y-%m-%d %H:%M:%S}",
        told.actor,
        told.state,
        told.verdict or told.reason,
    )


def _print_findings(told: "Release", found: "Sequence[Finding]", counts: "Mapping[str, Tally]") -> None:
    from registry.tally import CANDIDATE, CURRENT, PAIRS

    columns = (
        "",
        f"{told.name}:{told.current}",
        f"{told.name}:{told.candidate}",
        "samples",
        "surely above",
        "limit",
        "",
    )
    rows: list[tuple[object, ...]] = [
        (
            each.what,
            each.shown(each.current),
            each.shown(each.candidate),
            each.samples,
            "-" if each.surely is None else f"{each.surely:.3g}",
            f"{each.limit:.3g}",
            "crossed" if each.crossed else "",
        )
        for each in found
    ]
    current, candidate, pairs = (counts[arm] for arm in (CURRENT, CANDIDATE, PAIRS))
    rows.insert(0, ("requests", current["requests"], candidate["requests"], "", "", "", ""))
    print_table(columns, rows)
    if pairs["copies"]:
        length, seconds = (pairs.quantile(name, 0.5) or 0 for name in ("length_ratio", "seconds_ratio"))
        click.echo(
            f"Of {pairs['copies']} copies, {pairs['dropped']} were dropped and {pairs['both']} answered by both: "
            f"{pairs['same']} the same, JSON lost in {pairs['json_lost']} and won in {pairs['json_won']}; "
            f"median length x{length:.2f}, seconds x{seconds:.2f}."
        )


def _print_texts(registry: "Registry", told: "Release") -> None:
    for pair in registry.releases.texts(told.id):
        click.echo(f"\n{told.name}:{told.current}: {pair['current']}")
        click.echo(f"{told.name}:{told.candidate}: {pair['candidate']}")
