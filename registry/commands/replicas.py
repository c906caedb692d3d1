"""``registry replicas``."""

import click

from registry.console import command, json_option, print_json, print_table, settings


@click.command()
@json_option
@command
def replicas(as_json: bool) -> None:
    """List the servers that run, and what they answer with under each alias."""
    from registry.replica_status import SERVING
    from registry.store import Registry
    from registry.times import now

    at = now()
    listed = Registry.open(settings()).replicas.list()
    if as_json:
        print_json([replica.to_json() | {"silent": replica.silent(at)} for replica in listed])
        return
    if not listed:
        click.echo("No server runs: adaptory serve --base NAME")
        return
    rows: list[tuple[object, ...]] = []
    for replica in listed:
        heard = f"{(at - replica.heartbeat).total_seconds():.0f} s ago" + (" (silent)" if replica.silent(at) else "")
        answers = [
            f"{entry.name}@{entry.alias} = {entry.name}:{entry.number}"
            + (f" ({entry.failure or entry.state})" if entry.state != SERVING else "")
            for entry in replica.aliases
        ] or [""]
        engines = f"{replica.engines_ready} of {replica.engines} ready"
        rows.append((replica.url, replica.host, replica.pid, replica.base_name, engines,
                     f"{replica.started:%Y-%m-%d %H:%M:%S}", heard, answers[0]))  # fmt: skip
        rows += [("", "", "", "", "", "", "", answer) for answer in answers[1:]]
    print_table(("url", "host", "process", "base", "engines", "started (UTC)", "heard of", "answers"), rows)
