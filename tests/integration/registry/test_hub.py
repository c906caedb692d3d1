import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, ModelCard, close_session, constants

from registry.admission import admit
from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.cli import registry as command
from registry.errors import AdaptoryError, InvalidAdapter, InvalidInput, NotFound, Refused, Unavailable
from registry.exchange import hub as hub_client
from registry.exchange.arrival import Arrival
from registry.exchange.hub_export import lay_out
from registry.exchange.hub_folder import arrive
from registry.report import EvalReport, Score
from registry.store import Registry
from tests.integration.registry.hub_server import COMMIT, TOKEN, Hub, hub
from tests.unit.registry.conftest import MakeAdapter

MODEL = "org/base-model"
CARD = f"---\nbase_model: {MODEL}\nlicense: mit\ndatasets: [org/data]\n---\n# Adapter\n"


@pytest.fixture
def files(make_adapter: MakeAdapter) -> dict[str, bytes]:
    """What a repository of the Hub holds."""
    folder = make_adapter(config={"base_model_name_or_path": "elsewhere/base"})
    found = {file.name: file.read_bytes() for file in folder.iterdir()}
    return found | {"README.md": CARD.encode(), "training_args.bin": b"\x80pickle", ".gitattributes": b""}


@pytest.fixture
def bases(tmp_path: Path, base: BaseModel) -> LocalBases:
    """The tiny base is prepared, and came from the Hub."""
    folder = tmp_path / "bases" / base.name
    folder.mkdir(parents=True)
    (folder / "base.json").write_text(json.dumps(replace(base, source=MODEL, revision="b" * 40).to_json()))
    return LocalBases(tmp_path / "bases")


@pytest.fixture(autouse=True)
def plain_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The Hub's client without Xet, whose servers are not here, and without connections that outlive the test."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield
    close_session()


def import_hub(url: str, revision: str | None, tmp_path: Path) -> Arrival:
    target = tmp_path / "arrived"
    target.mkdir(exist_ok=True)
    api = HfApi(endpoint=url, token=False)
    heard: list[int] = []
    found = hub_client.look(api, "org/adapter", revision)
    arrival = hub_client.download(api, found, target, heard.append, tmp_path / "cache")
    assert sum(heard) in {0, sum(found.sizes.values())}
    return arrival


def test_an_adapter_comes_from_the_hub_and_its_cache(
    files: dict[str, bytes], registry: Registry, bases: LocalBases, tmp_path: Path
) -> None:
    with hub(files) as (url, _):
        arrival = import_hub(url, "main", tmp_path)
    assert sorted(file.name for file in arrival.folder.iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    base = arrival.base(bases, None)
    assert base is not None
    arrival.write_record(base)
    version = registry.versions.push(arrival.folder, "support", actor="ann", base=base).version
    code = {"imported_from": "hf:org/adapter", "revision": COMMIT, "license": "mit"}
    assert version.manifest.code == code | {"base_model": f"{MODEL}, elsewhere/base"}
    assert version.manifest.data == {"datasets": ["org/data"]}
    for number, place in enumerate(
        (tmp_path / "cache/models--org--adapter", tmp_path / f"cache/models--org--adapter/snapshots/{COMMIT}")
    ):
        (tmp_path / str(number)).mkdir()
        again = arrive(place, tmp_path / str(number))
        assert again.origin == f"hf:org/adapter@{COMMIT}"
        again.write_record(base)
        assert not registry.versions.push(again.folder, "support", actor="ann", base=base).created
    (tmp_path / "offline").mkdir()
    offline = hub_client.from_cache("org/adapter", COMMIT, tmp_path / "offline", tmp_path / "cache")
    assert offline.revision == COMMIT
    with pytest.raises(NotFound):
        hub_client.from_cache("org/other", None, tmp_path / "offline", tmp_path / "cache")


def test_what_the_hub_refuses_or_lacks_is_one_line(files: dict[str, bytes], tmp_path: Path) -> None:
    with hub(files) as (url, held):
        api = HfApi(endpoint=url, token=False)
        cases: list[tuple[str, str | None, type[AdaptoryError]]] = [
            ("org/adapter", "v9", NotFound),
            ("org/nothing", None, NotFound),
            ("org/gated", None, Refused),
        ]
        for repo, revision, error in cases:
            with pytest.raises(error) as raised:
                hub_client.look(api, repo, revision)
            assert "\n" not in raised.value.message
        held.files["adapter_model.bin"] = held.files.pop("adapter_model.safetensors")
        with pytest.raises(InvalidAdapter, match="pickle"):
            hub_client.look(api, "org/adapter", None)
        with pytest.raises(Refused):
            hub_client.push(api, "org/adapter", tmp_path, [], "message", private=True)
    with pytest.raises(Unavailable):
        hub_client.look(HfApi(endpoint="http://127.0.0.1:9", token=False), "org/adapter", None)
    for text in ("hf:", "hf:name", "hf:a/b/c", "hf:../b", "hf:a/b@../x", "hf:a/b@"):
        with pytest.raises(InvalidInput):
            hub_client.parse(text)
    assert hub_client.parse("hf:a/b@refs/pr/1") == ("a/b", "refs/pr/1")


def test_links_stay_inside_the_repository(files: dict[str, bytes], tmp_path: Path) -> None:
    snapshot = tmp_path / "cache" / "models--org--adapter" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (tmp_path / "secret").write_bytes(files["adapter_config.json"])
    (snapshot / "adapter_config.json").symlink_to(tmp_path / "secret")
    (tmp_path / "target").mkdir()
    with pytest.raises(InvalidAdapter, match="leads out"):
        arrive(snapshot, tmp_path / "target")


def test_the_base_is_the_one_that_the_adapter_names(bases: LocalBases, base: BaseModel, tmp_path: Path) -> None:
    def named(*models: str) -> Arrival:
        return Arrival(folder=tmp_path, source="x", base_models=models)

    assert named("ORG/Base-Model").base(bases, None) == bases.get(base.name)
    assert named("other/base").base(bases, base.name) == bases.get(base.name)
    for arrival, reason in ((named("other/base"), "other/base, which is not prepared"), (named(), "does not say")):
        with pytest.raises(InvalidAdapter, match=reason):
            arrival.base(bases, None)


def test_the_card_says_what_the_hub_reads(
    registry: Registry, make_adapter: MakeAdapter, bases: LocalBases, base: BaseModel, tmp_path: Path
) -> None:
    prepared = bases.get(base.name)
    record = {
        "base": {"name": base.name, "fingerprint": base.fingerprint},
        "data": {"rows": 7},
        "metrics": {"loss": 0.5},
    }
    record |= {
        "recipe": {"data": "/home/ann/train.jsonl", "optim": {"learning_rate": 0.001}},
        "code": {"commit": "abc"},
    }
    folder = make_adapter(record=record, config={"base_model_name_or_path": "/home/ann/nf4"})
    version = registry.versions.push(folder, "team/support", actor="ann", base=prepared).version
    score = Score(mean=0.75, low=0.7, high=0.8)
    for mean in (0.1, 0.75):
        registry.reports.add(
            EvalReport(
                version_digest=version.digest, profile_fingerprint="sha256:" + "1" * 64, suite_name="tickets",
                suite_digest="sha256:" + "2" * 64, items=40, adapter={"exact_match": replace(score, mean=mean)},
                base={"exact_match": score}, gain={"exact_match": score}, failures=(), results=(),
            )
        )  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    files = lay_out(registry, version, out, license_id="apache-2.0", datasets=["org/data"])
    assert sorted(files) == sorted(file.name for file in out.iterdir())
    card = ModelCard.load(out / "README.md")
    data = card.data.to_dict()
    assert (data["base_model"], data["base_model_relation"]) == (MODEL, "adapter")
    assert (data["library_name"], data["license"], data["datasets"]) == ("peft", "apache-2.0", ["org/data"])
    assert {"lora", "qlora"} <= set(data["tags"])
    assert card.data.eval_results is not None
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("exact_match", 0.75, "tickets")
    for fact in (version.digest, base.fingerprint, "0.750 (0.700 to 0.800)", '"learning_rate": 0.001', "abc"):
        assert fact in card.content
    assert "/home/ann" not in "".join((out / name).read_text(errors="replace") for name in files)
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (MODEL, "b" * 40)
    admit(out, prepared)


def test_a_base_that_is_not_of_the_hub_has_to_be_named(
    registry: Registry, make_adapter: MakeAdapter, base: BaseModel, tmp_path: Path
) -> None:
    version = registry.versions.push(make_adapter(), "support", actor="ann", base=base).version
    with pytest.raises(InvalidInput, match="no id of the Hub"):
        lay_out(registry, version, tmp_path / "one")
    (tmp_path / "two").mkdir()
    lay_out(registry, version, tmp_path / "two", base_model=MODEL)
    assert ModelCard.load(tmp_path / "two" / "README.md").data.base_model == MODEL


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the Hub's client, uploading without Xet
def test_a_push_is_one_commit(files: dict[str, bytes], tmp_path: Path) -> None:
    names = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    for name in names:
        (tmp_path / name).write_bytes(files[name])
    with hub({}) as (url, held):
        place = hub_client.push(HfApi(endpoint=url, token=TOKEN), Hub.repo, tmp_path, names, "first", private=True)
        assert place == f"{url}/{Hub.repo}/commit/{COMMIT}"
        assert held.files == {name: files[name] for name in names}
        assert held.created[0]["visibility"] == "private"


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the Hub's client, uploading without Xet
@pytest.mark.usefixtures("bases")
def test_the_commands(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> dict[str, Any]:
        environment = {"ADAPTORY_HOME": str(tmp_path), "ADAPTORY_REGISTRY": ""}
        result = CliRunner().invoke(command, [*arguments, "--json"], env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub(files) as (url, held):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        first = run("import", "hf:org/adapter@main", "support")
        assert first["note"] == f"from hf:org/adapter@{COMMIT}"
        run("export-hub", "support:1", "--out", str(tmp_path / "out"))
        assert run("export-hub", "support:1", "--push", Hub.repo)["commit"].endswith(COMMIT)
        card = (tmp_path / "out" / "README.md").read_bytes()
        assert held.files["README.md"] == card
        assert first["digest"].encode() in card
        assert "license: mit" in card.decode()  # of the card that was imported
    assert run("import", str(tmp_path / "out"), "support")["version"] == 2
