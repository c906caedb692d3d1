"""The command ``registry``: what people type after training."""

import click

from registry.commands.alias import promote, rollback
from registry.commands.audit import audit
from registry.commands.check import check
from registry.commands.copy import copy
from registry.commands.delete import delete, gc, restore
from registry.commands.diff import diff
from registry.commands.exchange import export_hub, export_oci, import_adapter
from registry.commands.history import history
from registry.commands.key import key
from registry.commands.list import list_versions
from registry.commands.mark import deprecate, tag
from registry.commands.migrate import migrate
from registry.commands.policy import policy
from registry.commands.pull import pull
from registry.commands.push import push
from registry.commands.read import show
from registry.commands.release import release, releases
from registry.commands.replicas import replicas
from registry.commands.retention import retention
from registry.commands.search import search
from registry.commands.serve import serve
from registry.commands.sign import sign
from registry.commands.usage import usage
from registry.commands.verify import verify
from registry.commands.watch import watch
from registry.commands.webhook import webhook


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def registry() -> None:
    """Keep every adapter version, proven and immutable.

    A reference is NAME (what prod names), NAME:3, NAME@canary or NAME@sha256:<hex>. ADAPTORY_REGISTRY names the
    registry's folder, by default under ADAPTORY_HOME, the platform's data folder, or the URL of a server (registry
    serve), for which ADAPTORY_API_KEY holds the key, or a PostgreSQL database's, beside which ADAPTORY_BLOBS names a
    bucket (s3://bucket/prefix).
    """


for command in (
    push,
    check,
    list_versions,
    show,
    pull,
    promote,
    rollback,
    release,
    releases,
    history,
    search,
    diff,
    deprecate,
    tag,
    delete,
    restore,
    gc,
    retention,
    verify,
    sign,
    policy,
    import_adapter,
    export_hub,
    export_oci,
    key,
    usage,
    replicas,
    watch,
    webhook,
    audit,
    serve,
    migrate,
    copy,
):
    registry.add_command(command)
