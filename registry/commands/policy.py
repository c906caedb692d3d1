"""``registry policy signed``, ``list`` and ``remove``."""

from pathlib import Path

import click

from registry.commands.sign import key_file
from registry.console import command, json_option, print_json, print_table, settings


@click.group()
def policy() -> None:
    """Say whose signature a name needs: without it nothing is pushed or promoted."""


@policy.command()
@click.argument("pattern")
@click.option("--key", "key", metavar="PUB.pem", type=key_file, required=True, help="Public key of who may sign.")
@json_option
@command
def signed(pattern: str, key: Path, as_json: bool) -> None:
    """Refuse versions of the adapters that PATTERN fits unless this key signed them.

    Given again with another key, either will do. Patterns that both fit a name both have to be satisfied.

    \b
    registry policy signed 'team/*' --key pub.pem
    """
    from registry.signing.keys import load_public
    from registry.store import Registry

    public_key = load_public(key)
    options = settings()
    made = Registry.open(options).signing_policies.add(pattern, public_key, actor=options.actor)
    if as_json:
        print_json(made.to_json())
        return
    click.echo(f"{made.pattern} needs a signature by the key {made.key[:12]} from now on, at push and at promote")


@policy.command(name="list")
@json_option
@command
def list_policies(as_json: bool) -> None:
    """List whose signature which names need."""
    from registry.store import Registry

    policies = Registry.open(settings()).signing_policies.list()
    if as_json:
        print_json([each.to_json() for each in policies])
        return
    if not policies:
        click.echo("Every version may be pushed unsigned: registry policy signed PATTERN --key PUB.pem")
        return
    rows = [(each.pattern, each.key[:12], f"{each.created:%Y-%m-%d %H:%M}", each.actor) for each in policies]
    print_table(("pattern", "key", "since (UTC)", "by"), rows)


@policy.command()
@click.argument("pattern")
@click.option("--key-id", metavar="HEX", default="", help="Only the key whose id begins so.  [default: every key]")
@json_option
@command
def remove(pattern: str, key_id: str, as_json: bool) -> None:
    """Ask for no signature any more where PATTERN asked for one."""
    from registry.store import Registry

    options = settings()
    gone = Registry.open(options).signing_policies.remove(pattern, key_id, actor=options.actor)
    if as_json:
        print_json({"pattern": pattern, "removed": gone})
        return
    click.echo(f"{pattern}: {gone} key{'s' if gone > 1 else ''} taken away")
