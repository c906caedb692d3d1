"""The command ``registry``: what people type after training."""

import click

from registry.commands.alias import history, promote, rollback
from registry.commands.key import key
from registry.commands.push import check, push
from registry.commands.read import list_versions, pull, show
from registry.commands.replicas import replicas
from registry.commands.usage import usage
from registry.commands.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def registry() -> None:
    """Keep every adapter version, proven and immutable.

    A reference is NAME (what prod names), NAME:3, NAME@canary or NAME@sha256:<hex>. ADAPTORY_REGISTRY names the
    registry's folder; by default it is under ADAPTORY_HOME, the platform's data folder.
    """


for command in (push, check, list_versions, show, pull, promote, rollback, history, verify, key, usage, replicas):
    registry.add_command(command)
