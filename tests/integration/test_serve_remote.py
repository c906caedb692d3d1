"""A gateway whose registry is a server and whose disk is small: the one goes away, the other is full; it goes on."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM

import httpx
import openai
import pytest

from registry.settings import Settings
from registry.store import Registry
from registry.version import AdapterVersion
from tests.integration.serve_fixtures import NO, YES, Server, Workshop, free_port, wait_for
from tests.integration.shell import Shell, environment
from tests.integration.small_disk import fill, small_disk

DISK = 1 << 20


@dataclass
class Branch:
    """A server, the registry that it asks, and what makes adapters for that."""

    server: Server
    workshop: Workshop
    shell: Shell
    port: int
    registry: subprocess.Popen[str] | None = None

    def open_registry(self) -> None:
        """Start the registry's server."""
        command = ("registry", "serve", "--port", str(self.port), "--keys", "off")
        self.registry = self.shell.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: answers(f"http://127.0.0.1:{self.port}/healthz"))

    def close_registry(self) -> None:
        """End it."""
        if self.registry:
            self.registry.send_signal(SIGTERM)
            self.registry.wait(60)

    def ask(self, model: object) -> str:
        """What the model says."""
        asked = self.server.client.completions.create(model=str(model), prompt="Say", max_tokens=4, temperature=0)
        return asked.choices[0].text

    def push(self, word: str, more: int = 0) -> AdapterVersion:
        """The next version of ``near``, with ``more`` bytes of a note in its folder."""
        self.workshop.made += 1
        folder = self.workshop.work / f"near-{self.workshop.made}"
        self.workshop.parrots.write(folder, word)
        (folder / "README.md").write_text(f"Adapter {self.workshop.made}." + " " * more)
        return self.workshop.registry.versions.push(folder, "near", actor="test", base=self.workshop.base).version


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def branch(
    workshop: Workshop, new_home: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Branch]:
    central, home, port = new_home("central"), new_home("branch"), free_port()
    settings = Settings.from_environment(environment(central))
    registry = Registry.open(settings)
    place = {"ADAPTORY_REGISTRY": f"http://127.0.0.1:{port}"}
    server = Server(Settings.from_environment(environment(home)), free_port(), further=place)
    there = replace(workshop, settings=settings, registry=registry, work=tmp_path_factory.mktemp("near"))
    with small_disk(home / "cache", DISK):
        built = Branch(server, there, Shell(central, central), port)
        built.open_registry()
        server.start()
        yield built
        assert server.stop(SIGTERM) == 0
    built.close_registry()
    registry.close()


def test_a_full_disk_costs_what_does_not_fit(branch: Branch) -> None:
    branch.workshop.promote(branch.push(YES), "prod")
    assert branch.ask("near") == YES * 4
    too_large, later = branch.push(NO, more=3 * DISK), branch.push(NO)
    filler = branch.server.settings.cache / "filler"
    for version, spare in ((too_large, DISK), (later, 0)):
        fill(filler, spare)
        with pytest.raises(openai.InternalServerError, match=f"{version} cannot be loaded: the disk .* is full"):
            branch.ask(version)
        assert branch.ask("near") == YES * 4
    filler.unlink()
    assert branch.ask(later) == NO * 4


def test_a_registry_that_is_away(branch: Branch) -> None:
    old, known, late = branch.push(YES), branch.push(NO), branch.push(NO)
    branch.workshop.promote(old, "prod")
    wait_for(lambda: branch.ask("near") == YES * 4)
    assert branch.ask(known) == NO * 4
    branch.close_registry()
    branch.workshop.promote(late, "prod")
    unseen = branch.push(YES)
    wait_for(lambda: httpx.get(f"{branch.server.url}/readyz").json().get("registry") == "away")
    assert branch.server.ready
    assert (branch.ask("near"), branch.ask(known)) == (YES * 4, NO * 4)
    with pytest.raises(openai.NotFoundError, match="The registry does not answer"):
        branch.ask(unseen)
    branch.open_registry()
    wait_for(lambda: branch.ask("near") == NO * 4)  # the promotion is made up for
    assert branch.ask(unseen) == YES * 4
    assert "registry" not in httpx.get(f"{branch.server.url}/readyz").json()


def test_a_registry_that_hangs_does_not_keep_the_server_from_ending(branch: Branch) -> None:
    assert branch.registry
    branch.ask("near")  # usage that is to be written
    branch.registry.send_signal(SIGSTOP)
    try:
        assert branch.server.stop(SIGTERM) == 0
    finally:
        branch.registry.send_signal(SIGCONT)
