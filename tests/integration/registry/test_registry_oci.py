"""OCI: versions go to a real registry and come back with the same digest, or with one line that says why not."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import verifying
from oras.client import OrasClient

from registry.base_model import BaseModel
from registry.canonical import digest_bytes
from registry.cli import registry as command
from registry.embedded.registry import EmbeddedRegistry
from registry.exchange import modelpack
from tests.integration.registry import oci_registry
from tests.unit.registry.conftest import MakeAdapter

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with oci_registry.running(tmp_path_factory.mktemp("oci")) as host:
        yield f"oci://{host}/team/support"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Types a command; ``home`` says in whose home."""
    monkeypatch.setenv("HOME", str(tmp_path))  # no login of this machine's user

    def type_in(*arguments: object, code: int = 0, home: str = "here", stdin: str = "") -> Result:
        environment = {"ADAPTORY_HOME": str(tmp_path / home), "ADAPTORY_REGISTRY": ""}
        typed = [str(argument) for argument in arguments]
        result = CliRunner().invoke(command, typed, env=environment, input=stdin, catch_exceptions=False)
        assert result.exit_code == code, result.output
        assert code == 0 or (result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1), result.stderr
        return result

    return type_in


@pytest.fixture
def pushed(run: Run, tmp_path: Path, make_adapter: MakeAdapter, base: BaseModel) -> dict[str, Any]:
    """A version in the registry ``here``; the base is known ``there`` too, under another name."""
    record = {"base": {"name": base.name, "fingerprint": base.fingerprint}, "recipe": {"lr": 0.001}}
    record |= {"data": {"rows": 3}, "metrics": {"loss": 0.25}, "code": {"commit": "abc"}}
    for home, name in (("here", base.name), ("there", "other-name")):
        opened = EmbeddedRegistry(tmp_path / home / "registry")
        opened.bases.add(replace(base, name=name))
        opened.close()
    version: dict[str, Any] = json.loads(run("push", make_adapter(record=record), "support", "--json").stdout)
    return version


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    key = ec.generate_private_key(ec.SECP256R1())
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "pub.pem").write_bytes(public)
    return folder


def url_of(place: str) -> str:
    host, _, rest = place.removeprefix("oci://").partition("/")
    return f"http://{host}/v2/{rest.partition(':')[0]}/manifests/{rest.partition(':')[2]}"


def manifest_at(place: str) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(url_of(place), headers={"Accept": modelpack.OCI_MANIFEST}).json()
    return document


def put_manifest(place: str, document: dict[str, Any]) -> None:
    headers = {"Content-Type": modelpack.OCI_MANIFEST}
    httpx.put(url_of(place), content=json.dumps(document), headers=headers).raise_for_status()


def test_a_version_comes_back_with_its_digest_and_its_signature(
    run: Run, pushed: dict[str, Any], place: str, keys: Path, tmp_path: Path
) -> None:
    run("sign", "support:1", "--key", keys / "key.pem")
    exported = json.loads(run("export-oci", "support:1", f"{place}:1", "--json").stdout)
    run("export-oci", "support:1", f"{place}:again")  # every blob is there already
    manifest = manifest_at(f"{place}:1")
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    kinds = {layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"] for layer in manifest["layers"]}
    assert kinds["adapter_model.safetensors"] == "application/vnd.cncf.model.weight.v1.raw"
    assert kinds["adapter_config.json"] == "application/vnd.cncf.model.weight.config.v1.raw"
    for source in (f"{place}:1", f"{place}@{exported['oci_digest']}"):
        arguments = ("import", source, "ours/support", "--verify", keys / "pub.pem", "--json")
        imported = json.loads(run(*arguments, home="there").stdout)
        assert imported["digest"] == pushed["digest"]
    run("pull", "ours/support:1", "--out", tmp_path / "pulled", "--verify", keys / "pub.pem", home="there")
    # a policy knows the key: the signature that travelled is enough
    run("policy", "signed", "strict/*", "--key", keys / "pub.pem", home="there")
    run("import", f"{place}:1", "strict/support", home="there")
    # another client sees a folder that model_signing verifies
    other = OrasClient(insecure=True)
    other.pull(target=f"{place}:1".removeprefix("oci://"), outdir=str(tmp_path / "oras"))
    other.session.close()
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=keys / "pub.pem")
    verifier.verify(tmp_path / "oras", tmp_path / "oras" / "model.sig")


@pytest.mark.usefixtures("pushed")
def test_what_was_changed_on_the_way_is_refused(run: Run, place: str) -> None:
    run("export-oci", "support:1", f"{place}:whole")
    whole = manifest_at(f"{place}:whole")
    notes = whole["annotations"]
    lie = notes[modelpack.MANIFEST].replace('"loss":0.25', '"loss":0.01')
    swapped = [layer | {"digest": whole["layers"][0]["digest"]} for layer in whole["layers"]]
    digest = digest_bytes(lie.encode())
    cases = [
        ({"annotations": notes | {modelpack.MANIFEST: lie}}, "not what its digest says"),
        ({"annotations": notes | {modelpack.MANIFEST: lie, modelpack.DIGEST: digest}}, "not what the version's"),
        ({"annotations": notes | {modelpack.MANIFEST: "{"}}, "cannot be read"),
        ({"layers": swapped}, "not the files"),
        ({"layers": whole["layers"][:1]}, "not the files"),
    ]
    for change, reason in cases:
        put_manifest(f"{place}:changed", whole | change)
        assert reason in run("import", f"{place}:changed", "support", home="there", code=1).stderr
    strange = {"config": whole["config"] | {"mediaType": "application/vnd.oci.image.config.v1+json"}}
    put_manifest(f"{place}:image", whole | strange | {"artifactType": "application/x"})
    assert "no model package" in run("import", f"{place}:image", "support", home="there", code=2).stderr
    assert json.loads(run("list", "--json", home="there").stdout) == []


@pytest.mark.usefixtures("pushed")
def test_bytes_that_are_not_what_their_digest_says_are_refused(run: Run, tmp_path: Path) -> None:
    with oci_registry.running(tmp_path) as host:
        place = f"oci://{host}/support:1"
        run("export-oci", "support:1", place)
        (digest,) = (each["digest"] for each in manifest_at(place)["layers"] if each["mediaType"] == modelpack.WEIGHT)
        name = digest.removeprefix("sha256:")
        blob = tmp_path / f"blobs/docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"
        content = bytearray(blob.read_bytes())
        content[-1] ^= 1
        blob.write_bytes(content)
        assert "did not arrive" in run("import", place, "support", home="there", code=1).stderr
    assert "does not answer" in run("import", place, "support", home="there", code=1).stderr


@pytest.mark.usefixtures("pushed")
def test_somebody_elses_model_package_is_imported_with_a_base(
    run: Run, place: str, tmp_path: Path, base: BaseModel
) -> None:
    run("export-oci", "support:1", f"{place}:theirs")
    theirs = manifest_at(f"{place}:theirs")
    del theirs["annotations"]
    theirs["layers"] = [layer for layer in theirs["layers"] if "record" not in layer["annotations"][modelpack.FILEPATH]]
    put_manifest(f"{place}:theirs", theirs)
    assert "--base" in run("import", f"{place}:theirs", "tuned", home="there", code=2).stderr
    folder = tmp_path / "there" / "bases" / "tiny"
    folder.mkdir(parents=True)
    (folder / "base.json").write_text(json.dumps(base.to_json()))
    run("import", f"{place}:theirs", "tuned", "--base", "tiny", home="there")
    shown = json.loads(run("show", "tuned:1", "--json", home="there").stdout)
    assert shown["manifest"]["code"]["imported_from"] == f"{place}:theirs"


@pytest.mark.usefixtures("pushed")
def test_a_locked_registry_wants_a_password_and_nobody_sees_it(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    word = oci_registry.WORD
    auth = base64.b64encode(f"{oci_registry.USER}:{word}".encode()).decode()
    with oci_registry.running(tmp_path, locked=True) as host:
        export = ("export-oci", "support:1", f"oci://{host}/support:1")
        login = ("--user", oci_registry.USER, "--password-stdin")
        assert "wants a name" in run(*export, code=1).stderr
        assert "does not allow" in run(*export, *login, code=1, stdin="wrong\n").stderr
        run(*export, "--user", "ann", code=2)
        outputs = [run(*export, *login, stdin=f"{word}\n").output]
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        config = ("--docker-config", tmp_path / "docker")
        outputs.append(run("import", f"oci://{host}/support:1", "support", *config, home="there").output)
        outputs.append(run("import", f"oci://{host}/support:2", "support", *config, home="there", code=2).stderr)
    assert word not in caplog.text + "".join(outputs)
    assert auth not in caplog.text + "".join(outputs)


@pytest.mark.usefixtures("pushed")
def test_a_registry_that_gives_tokens_gives_one_for_each_need(run: Run, tmp_path: Path) -> None:
    login = ("--user", oci_registry.USER, "--password-stdin")
    with oci_registry.running(tmp_path) as upstream, oci_registry.with_tokens(upstream) as host:
        place = f"oci://{host}/support:1"
        assert "did not accept" in run("export-oci", "support:1", place, *login, code=1, stdin="wrong\n").stderr
        run("export-oci", "support:1", place, *login, stdin=f"{oci_registry.WORD}\n")
        run("import", place, "support", *login, home="there", stdin=f"{oci_registry.WORD}\n")
