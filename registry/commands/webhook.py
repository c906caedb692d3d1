"""``registry webhook add``, ``list``, ``remove``, ``dead``, ``redeliver`` and ``deliver``."""

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from registry.console import command, json_option, print_json, print_table, say, settings
from registry.errors import Refused

if TYPE_CHECKING:
    from registry.embedded.deliveries import Deliveries
    from registry.webhook import Delivery
    from registry.webhooks.attempt import Answer


@click.group(name="webhook")
def webhook() -> None:
    """Have events posted to URLs, signed, and again until they are taken."""


@webhook.command()
@click.argument("url")
@click.option("--kind", "kinds", multiple=True, help="version, alias, report, ...; may be repeated.  [default: all]")
@click.option("--name", "names", multiple=True, help="Name or pattern ('team/*') of what changed.  [default: all]")
@json_option
@command
def add(url: str, kinds: tuple[str, ...], names: tuple[str, ...], as_json: bool) -> None:
    """Post each event from now on to URL, and print the secret that proves it, this once.

    \b
    registry webhook add https://ci.example.com/hook --kind alias --name 'team/*'
    """
    from registry.store import Registry

    options = settings()
    made = Registry.open(options).webhooks.add(url, actor=options.actor, kinds=kinds, names=names)
    if as_json:
        print_json(made.webhook.to_json() | {"secret": made.secret})
        return
    say(f"The webhook {made.webhook.id} signs with this secret; it is shown this once:")
    click.echo(made.secret)


@webhook.command(name="list")
@json_option
@command
def list_webhooks(as_json: bool) -> None:
    """List webhooks, and what waits for them or was given up; never a secret."""
    from registry.store import Registry

    webhooks = Registry.open(settings()).webhooks.list()
    if as_json:
        print_json([each.to_json() for each in webhooks])
        return
    if not webhooks:
        click.echo("There is no webhook: registry webhook add URL")
        return
    rows = [
        (each.id, each.url, ", ".join(each.kinds) or "all", ", ".join(each.names) or "all",
         f"{each.created:%Y-%m-%d %H:%M}", each.actor,
         f"{each.delivered:%Y-%m-%d %H:%M:%S}" if each.delivered else "never", each.waiting, each.dead)
        for each in webhooks
    ]  # fmt: skip
    print_table(("id", "url", "kinds", "names", "added", "by", "last delivered", "waiting", "given up"), rows)


@webhook.command()
@click.argument("id_", metavar="ID")
@json_option
@command
def remove(id_: str, as_json: bool) -> None:
    """Post nothing more to the webhook ID, and forget what waits for it."""
    from registry.store import Registry

    options = settings()
    Registry.open(options).webhooks.remove(id_, actor=options.actor)
    if as_json:
        print_json({"removed": id_})
        return
    click.echo(f"The webhook {id_} is removed")


@webhook.command()
@click.argument("id_", metavar="[ID]", required=False)
@json_option
@command
def dead(id_: str | None, as_json: bool) -> None:
    """List deliveries that were given up, of the webhook ID or of all."""
    from registry.store import Registry

    given_up = Registry.open(settings()).webhooks.dead(id_)
    if as_json:
        print_json([each.to_json() for each in given_up])
        return
    if not given_up:
        click.echo("Nothing was given up.")
        return
    rows = [
        (each.id, each.url, each.event.kind, each.event.subject, each.attempts, f"{each.dead:%Y-%m-%d %H:%M}",
         each.failure)
        for each in given_up
    ]  # fmt: skip
    print_table(("id", "url", "what", "of", "attempts", "given up (UTC)", "why"), rows)


@webhook.command()
@click.argument("ids", nargs=-1, metavar="[DELIVERY]...")
@click.option("--all", "everything", is_flag=True, help="Every one that was given up.")
@json_option
@command
def redeliver(ids: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Try given-up deliveries again, from the beginning."""
    from registry.store import Registry

    if bool(ids) == everything:
        raise click.UsageError("Name deliveries (registry webhook dead lists them), or write --all.")
    options = settings()
    count = Registry.open(options).webhooks.redeliver(ids, actor=options.actor)
    if as_json:
        print_json({"redelivered": count})
        return
    click.echo(f"{count} deliveries are due again")


@webhook.command()
@click.option("--follow", is_flag=True, help="Go on delivering until Ctrl-C.")
@json_option
@command
def deliver(follow: bool, as_json: bool) -> None:
    """Make the deliveries that are due now; for a registry that no `registry serve` delivers for.

    With --json each attempt is a line.
    """
    from registry.embedded.registry import EmbeddedRegistry
    from registry.store import Registry

    registry = Registry.open(settings())
    if not isinstance(registry, EmbeddedRegistry):
        raise Refused("The registry's server delivers by itself.", "registry webhook list")
    asyncio.run(_deliver(registry.deliveries, follow, _report_json if as_json else _report))


async def _deliver(deliveries: "Deliveries", follow: bool, report: "Callable[[Delivery, Answer], None]") -> None:
    from registry.webhooks.deliverer import Deliverer, posting

    async with posting() as client:
        deliverer = Deliverer(deliveries, client, on_attempt=report)
        await (deliverer.run() if follow else deliverer.drain())


def _report(delivery: "Delivery", answer: "Answer") -> None:
    click.echo(f"{delivery.id}  {delivery.event.kind}  {delivery.event.subject}  {answer.failure or 'delivered'}")


def _report_json(delivery: "Delivery", answer: "Answer") -> None:
    event = delivery.event
    attempt = {"id": delivery.id, "kind": event.kind, "subject": event.subject, "failure": answer.failure}
    click.echo(json.dumps(attempt, ensure_ascii=False))
