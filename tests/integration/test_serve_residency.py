"""Files on the disk and the real engine: whatever happens to them, it lives and answers with the right weights."""

import os
import shutil
from pathlib import Path

from tests.integration.serve_fixtures import NO, YES, Server, Workshop
from tests.integration.shell import Shell

HOST_ADAPTERS = 8


def ask(server: Server, model: str) -> str:
    answer = server.client.completions.create(model=model, prompt="Say", max_tokens=4, temperature=0)
    return answer.choices[0].text


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def truncate(folder: Path) -> None:
    os.truncate(folder / "adapter_model.safetensors", 1000)


def replace(folder: Path) -> None:
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))


def test_damaged_files_neither_end_the_engine_nor_change_an_answer(server: Server, workshop: Workshop) -> None:
    engine = server.engine_core().pid
    victims = []
    for damage in (remove, truncate, replace):
        victim = workshop.push(f"victim-{damage.__name__}", YES)
        assert ask(server, str(victim)) == YES * 4
        damage(workshop.settings.cache / "adapters/0" / victim.digest.removeprefix("sha256:"))
        assert ask(server, str(victim)) == YES * 4  # while it is loaded
        victims.append(victim)
    for number in range(HOST_ADAPTERS + 3):  # until the engine has forgotten them
        other = workshop.push(f"other-{number}", NO)
        assert ask(server, str(other)) == NO * 4
    for victim in victims:
        assert ask(server, str(victim)) == YES * 4
    assert server.engine_core().pid == engine


def test_promote_waits_until_the_server_answers_with_the_version(server: Server, workshop: Workshop) -> None:
    shell = Shell(workshop.settings.home, workshop.work)
    for number, word in ((1, YES), (2, NO)):
        workshop.push("waited", word)
        shell.run("registry", "promote", f"waited:{number}", "canary", "--wait")
        assert ask(server, "waited@canary") == word * 4
    workshop.push("waited", None)
    refused = shell.run("registry", "promote", "waited:3", "canary", "--wait", status=1)
    assert "changes nothing" in refused.stderr
    assert ask(server, "waited@canary") == NO * 4
