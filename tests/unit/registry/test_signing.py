import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from model_signing import verifying

from registry.base_model import BaseModel
from registry.cli import registry as command
from registry.errors import InvalidInput, NotFound, Refused
from registry.exchange.reception import Received
from registry.manifest import Manifest
from registry.planned import planned
from registry.signature import SIGNATURE_FILE, Signature
from registry.signing.bundle import prove, sign
from registry.signing.checking import lay_beside, sign_folder
from registry.signing.keys import load_private, load_public
from registry.store import Registry
from tests.unit.registry.conftest import MakeAdapter, weights_file

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ann`` and ``bob`` with ``.key`` and ``.pub``, an encrypted key, and things that are no such key."""
    folder = tmp_path_factory.mktemp("keys")
    ann, bob = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    for name, key in (("ann", ann), ("bob", bob)):
        write(folder / f"{name}.key", key, serialization.NoEncryption())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (folder / f"{name}.pub").write_bytes(public)
    write(folder / "locked.key", ann, serialization.BestAvailableEncryption(PASSWORD.encode()))
    write(folder / "rsa.key", rsa.generate_private_key(65537, 2048), serialization.NoEncryption())
    (folder / "noise.key").write_bytes(b"-----BEGIN EC PRIVATE KEY-----\nnoise\n-----END EC PRIVATE KEY-----\n")
    return folder


def write(file: Path, key: Any, encryption: serialization.KeySerializationEncryption) -> None:
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=encryption
        )
    )


@pytest.fixture
def manifest(make_adapter: MakeAdapter, base: BaseModel) -> Manifest:
    return planned(make_adapter(), base)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("ADAPTORY_HOME", str(tmp_path))
    monkeypatch.setenv("ADAPTORY_REGISTRY", str(tmp_path / "registry"))

    def invoke(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False)
        assert result.exit_code == code, result.output
        assert code == 0 or (result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1)
        return result

    return invoke


def test_a_pulled_folder_is_what_model_signing_verifies(
    registry: Registry, make_adapter: MakeAdapter, base: BaseModel, keys: Path, tmp_path: Path
) -> None:
    folder = make_adapter()
    signatures = sign_folder(registry, folder, base, [keys / "ann.key"], "")
    version = registry.versions.push(folder, "support", actor="ann", base=base, signatures=signatures).version
    registry.versions.pull(version, tmp_path / "pulled")
    laid = lay_beside(registry.signatures.list(version.digest), tmp_path / "pulled")
    assert laid == tmp_path / "pulled" / SIGNATURE_FILE
    module = ("-m", "model_signing", "verify", "key", str(tmp_path / "pulled"), "--signature", str(laid))
    done = subprocess.run(
        [sys.executable, *module, "--public_key", str(keys / "ann.pub")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    weights = weights_file(tmp_path / "pulled")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=keys / "ann.pub")
    with pytest.raises(ValueError, match="adapter_model"):
        verifier.verify(tmp_path / "pulled", laid)


def test_a_signature_speaks_of_one_version_and_of_all_that_it_says(manifest: Manifest, keys: Path) -> None:
    signature = sign(manifest, keys / "ann.key")
    prove(signature, manifest)
    document = manifest.to_json()
    for changed in (
        document | {"files": document["files"][:-1]},
        document | {"base": {"name": "tiny", "fingerprint": "sha256:" + "0" * 64}},
        document | {"metrics": {"loss": 0.1}},
    ):
        with pytest.raises(Refused, match="another version"):
            prove(signature, Manifest.from_json(changed))


def test_a_bundle_that_was_changed_proves_nothing(manifest: Manifest, keys: Path) -> None:
    signature = sign(manifest, keys / "bob.key")
    document = json.loads(signature.bundle)
    envelope = document["dsseEnvelope"]
    payload, other = envelope["payload"], json.loads(sign(manifest, keys / "ann.key").bundle)
    texts = [
        "",
        "[]",
        "{}",
        signature.bundle[:-10],
        json.dumps(document | {"mediaType": "text/plain"}),
        json.dumps(document | {"dsseEnvelope": other["dsseEnvelope"]}),
        json.dumps(document | {"dsseEnvelope": envelope | {"signatures": []}}),
        json.dumps(document | {"dsseEnvelope": envelope | {"payload": "bm8="}}),
        json.dumps(document | {"dsseEnvelope": envelope | {"payload": payload[:40] + payload[44:]}}),
        json.dumps(document | {"verificationMaterial": {"certificate": {"rawBytes": "AA=="}, "tlogEntries": []}}),
    ]
    for text in texts:
        changed = Signature(version_digest=manifest.digest, public_key=signature.public_key, bundle=text)
        with pytest.raises((Refused, InvalidInput)):
            prove(changed, manifest)


def test_keys_that_are_none_are_named_in_one_line(keys: Path, tmp_path: Path) -> None:
    cases = [
        (keys / "missing.key", "", "no key file"),
        (keys / "ann.pub", "", "public key"),
        (keys / "rsa.key", "", "another kind"),
        (keys / "noise.key", "", "no private key"),
        (keys / "locked.key", "", "no password"),
        (keys / "locked.key", "wrong", "does not open"),
    ]
    for file, password, reason in cases:
        with pytest.raises(InvalidInput, match=reason):
            load_private(file, password)
    for name, reason in (("ann.key", "private key"), ("noise.key", "private key"), ("missing.pub", "no key file")):
        with pytest.raises(InvalidInput, match=reason):
            load_public(keys / name)
    (tmp_path / "long.pub").write_bytes(b"x" * (1 << 17))
    with pytest.raises(InvalidInput, match="larger"):
        load_public(tmp_path / "long.pub")


def test_a_policy_refuses_what_nobody_signed(
    registry: Registry, make_adapter: MakeAdapter, base: BaseModel, keys: Path
) -> None:
    early = registry.versions.push(make_adapter(0), "team/a", actor="eve", base=base).version
    registry.signing_policies.add("team/*", load_public(keys / "ann.pub"), actor="root")
    registry.signing_policies.add("team/*", load_public(keys / "ann.pub"), actor="root")
    assert len(registry.signing_policies.list()) == 1
    folder = make_adapter(1)

    def push(name: str, *signers: str) -> int:
        signatures = sign_folder(registry, folder, base, [keys / signer for signer in signers], "")
        return registry.versions.push(folder, name, actor="eve", base=base, signatures=signatures).version.number

    assert push("other") == 1
    for signers in ((), ("bob.key",)):
        with pytest.raises(Refused, match=r"team/a needs a signature"):
            push("team/a", *signers)
    with pytest.raises(Refused, match=r"needs a signature"):
        registry.aliases.promote(str(early), "canary", actor="eve", reason="now", force=True)
    assert [each.number for each in registry.versions.list("team/a")] == [1]
    assert push("team/a", "ann.key") == 2
    assert registry.aliases.promote("team/a:2", "canary", actor="eve").number == 2
    registry.signing_policies.add("*/a", load_public(keys / "bob.pub"), actor="root")  # each pattern asks for itself
    with pytest.raises(Refused, match=r"policy for \*/a"):
        registry.aliases.promote("team/a:2", "stable", actor="eve")
    registry.signatures.add(sign(registry.versions.get("team/a:2").manifest, keys / "bob.key"), actor="bob")
    assert registry.aliases.promote("team/a:2", "stable", actor="eve").number == 2
    assert registry.signing_policies.remove("team/*", actor="root") == 1
    with pytest.raises(NotFound):
        registry.signing_policies.remove("team/*", actor="root")
    assert registry.verification.run() == []


def test_a_signature_of_another_content_is_not_kept(
    registry: Registry, make_adapter: MakeAdapter, base: BaseModel, keys: Path
) -> None:
    signed, pushed = make_adapter(0), make_adapter(1)
    signatures = sign_folder(registry, signed, base, [keys / "ann.key"], "")
    with pytest.raises(Refused, match="another version"):
        registry.versions.push(pushed, "support", actor="eve", base=base, signatures=signatures)
    with pytest.raises(NotFound):
        registry.signatures.add(signatures[0], actor="eve")
    other = registry.versions.push(signed, "other", actor="ada", base=base).version
    mine = sign_folder(registry, pushed, base, [keys / "bob.key"], "")
    foreign = [replace(signature, version_digest=other.digest) for signature in mine]
    with pytest.raises(Refused, match="for another version"):
        registry.versions.push(pushed, "support", actor="eve", base=base, signatures=foreign)
    assert registry.signatures.list(other.digest) == []
    assert [str(version) for version in registry.versions.list()] == ["other:1"]


def test_the_commands(
    run: Any, registry: Registry, make_adapter: MakeAdapter, base: BaseModel, keys: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    registry.bases.add(base)
    record = {"base": {"name": base.name, "fingerprint": base.fingerprint}}
    record |= {"recipe": {}, "data": {}, "metrics": {}, "code": {}}
    folder = make_adapter(record=record)
    run("policy", "signed", "sup*", "--key", keys / "ann.pub")
    assert "registry push" in run("push", folder, "support", code=1).stderr
    assert "encrypted" in run("push", folder, "support", "--sign", keys / "locked.key", code=2).stderr
    monkeypatch.setenv("ADAPTORY_SIGN_PASSWORD", PASSWORD)
    run("push", folder, "support", "--sign", keys / "locked.key")
    run("sign", "support:1", "--key", keys / "bob.key")
    run("sign", "support:1", "--key", keys / "bob.key")
    run("pull", "support:1", "--out", tmp_path / "out", "--verify", keys / "ann.pub")
    prove_pulled = verifying.Config().use_elliptic_key_verifier(public_key=keys / "ann.pub")
    prove_pulled.verify(tmp_path / "out", tmp_path / "out" / SIGNATURE_FILE)
    shown = json.loads(run("show", "support:1", "--json").stdout)
    assert [each["actor"] for each in shown["signatures"]] != []
    assert len(json.loads(run("policy", "list", "--json").stdout)) == 1
    run("policy", "remove", "sup*")
    run("push", make_adapter(1, record=record), "support")
    run("pull", "support:2", "--out", tmp_path / "two", "--verify", keys / "ann.pub", code=1)
    assert not (tmp_path / "two").exists()
    assert "signed" in run("verify", "support:1", "--key", keys / "bob.pub").stdout
    assert "not signed" in run("verify", "support:2", "--key", keys / "bob.pub", code=1).stderr
    run("verify", "--key", keys / "bob.pub", code=2)


def test_verify_finds_a_changed_signature_and_a_changed_policy(
    registry: Registry, make_adapter: MakeAdapter, base: BaseModel, keys: Path, tmp_path: Path
) -> None:
    folder = make_adapter()
    signatures = sign_folder(registry, folder, base, [keys / "ann.key"], "")
    registry.versions.push(folder, "support", actor="ann", base=base, signatures=signatures)
    registry.signing_policies.add("support", load_public(keys / "ann.pub"), actor="root")
    assert registry.verification.run() == []
    with sqlite3.connect(tmp_path / "registry" / "registry.db") as database:
        database.execute("update signatures set bundle = replace(bundle, 'a', 'b')")
        database.execute("update signing_policies set pattern = 'suppor'")
    database.close()
    assert len(registry.verification.run()) == 2


def test_a_signature_without_a_key_is_not_kept_and_refused_only_where_one_is_asked_for(
    registry: Registry, base: BaseModel, make_adapter: MakeAdapter, keys: Path
) -> None:
    keyless = json.dumps({"verificationMaterial": {"certificate": {"rawBytes": ""}}})
    received = Received(folder=make_adapter(), origin="there", base=base, bundle=keyless)
    assert received.signatures(registry, None) == []
    with pytest.raises(InvalidInput):
        received.signatures(registry, keys / "ann.pub")
