"""``registry retention``."""

import click

from registry.console import command, json_option, print_json, print_table, settings


@click.group()
def retention() -> None:
    """Rules that say which versions are kept; registry gc deletes the others, with the usual time of grace.

    A rule is for an adapter's name, or for a pattern such as 'team/*'. The rule of the very name decides, or else the
    longest pattern that fits. What a rule keeps cannot be deleted.
    """


@retention.command(name="set")
@click.argument("pattern")
@click.option(
    "--keep-last", metavar="N", type=click.IntRange(1, 1_000_000), required=True, help="Keep the newest N versions."
)
@click.option("--keep-aliased", is_flag=True, help="Keep every version that an alias ever named, too.")
@json_option
@command
def set_rule(pattern: str, keep_last: int, keep_aliased: bool, as_json: bool) -> None:
    """Make the rule of PATTERN, in place of an earlier one."""
    from registry.store import Registry

    options = settings()
    registry = Registry.open(options)
    rule = registry.retention.set(pattern, keep_last=keep_last, keep_aliased=keep_aliased, actor=options.actor)
    if as_json:
        print_json(rule.to_json())
    else:
        click.echo(f"{rule}. What it would delete now: registry gc --dry-run")


@retention.command(name="list")
@json_option
@command
def list_rules(as_json: bool) -> None:
    """List the rules."""
    from registry.store import Registry

    rules = Registry.open(settings()).retention.list()
    if as_json:
        print_json([rule.to_json() for rule in rules])
        return
    if not rules:
        click.echo("There is no rule, and every version is kept: registry retention set NAME --keep-last N")
        return
    rows = [
        (rule.pattern, rule.keep_last, "yes" if rule.keep_aliased else "no", rule.actor, f"{rule.created:%Y-%m-%d}")
        for rule in rules
    ]
    print_table(("name or pattern", "keeps the last", "keeps aliased", "by", "since"), rows)


@retention.command()
@click.argument("pattern")
@json_option
@command
def remove(pattern: str, as_json: bool) -> None:
    """Take the rule of PATTERN back."""
    from registry.store import Registry

    options = settings()
    Registry.open(options).retention.remove(pattern, actor=options.actor)
    if as_json:
        print_json({"removed": pattern})
    else:
        click.echo(f"{pattern} has no rule any more.")
