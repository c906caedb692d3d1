"""``registry webhook``, from adding one to removing it."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from registry.cli import registry as command
from registry.embedded.registry import EmbeddedRegistry
from tests.integration.registry.receiver import Answer, Receiver
from tests.integration.registry.test_webhooks import receiver, verified

__all__ = ["receiver"]  # a fixture


def run(home: Path, *words: str) -> Result:
    environment = {"ADAPTORY_HOME": str(home), "ADAPTORY_REGISTRY": "", "ADAPTORY_ACTOR": "ann"}
    return CliRunner().invoke(command, words, env=environment)


def test_the_commands(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(410)
    assert "registry webhook add" in run(tmp_path, "webhook", "list").stdout
    made = run(tmp_path, "webhook", "add", f"{receiver.url}/hook", "--kind", "key", "--name", "ci*")
    secret = made.stdout.strip()
    assert secret.startswith("whsec_")
    assert secret not in made.stderr
    run(tmp_path, "key", "create", "ci")
    assert "answered 410" in run(tmp_path, "webhook", "deliver").stdout
    verified(receiver.received[0], secret)
    (dead,) = json.loads(run(tmp_path, "webhook", "dead", "--json").stdout)
    assert dead["id"] in run(tmp_path, "webhook", "dead").stdout
    (listed,) = json.loads(run(tmp_path, "webhook", "list", "--json").stdout)
    assert (listed["dead"], listed["waiting"], listed["kinds"], listed["names"]) == (1, 0, ["key"], ["ci*"])
    assert run(tmp_path, "webhook", "redeliver").exit_code == 2
    assert run(tmp_path, "webhook", "redeliver", "x-1").exit_code == 2
    assert json.loads(run(tmp_path, "webhook", "redeliver", dead["id"], "--json").stdout) == {"redelivered": 1}
    receiver.answer = lambda _: Answer()
    assert "delivered" in run(tmp_path, "webhook", "deliver").stdout
    assert "removed" in run(tmp_path, "webhook", "remove", listed["id"]).stdout
    assert run(tmp_path, "webhook", "remove", listed["id"]).exit_code == 2
    assert run(tmp_path, "webhook", "add", "nowhere").exit_code == 2
    everything = "".join(
        run(tmp_path, *words).output for words in (("audit",), ("webhook", "list"), ("audit", "--json"))
    )
    assert secret[6:] not in everything
    assert EmbeddedRegistry(tmp_path / "registry").audit.list()[-1].action == "webhook remove"
