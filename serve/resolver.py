"""A plugin for a vLLM of your own: ``model="address:3"`` is looked up in the registry, by digest and verified.

vLLM loads it in every process through the entry point group ``vllm.general_plugins``. It does nothing unless
ADAPTORY_RESOLVER=1, which ``adaptory serve`` takes away from its own engine, and nothing heavy is imported before
vLLM asks for the first name.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.base_model import BaseModel
from registry.bases import RECORD
from registry.errors import Corrupted, InvalidReference, NotFound, Refused
from registry.refs import AdapterRef
from registry.settings import Settings

if TYPE_CHECKING:
    from registry.store import Registry
    from registry.version import AdapterVersion

log = logging.getLogger("vllm.adaptory")  # below vLLM's own logger, so that it is seen where vLLM's lines are

SWITCH = "ADAPTORY_RESOLVER"
PLUGIN = "Adaptory"
MISS_SECONDS = 5.0
MOST_MISSES = 1024
LONGEST_NAME = 256
DIGEST_LENGTH = len("sha256:") + 64


def register() -> None:
    """The entry point: have vLLM ask us for names that it does not know."""
    if os.environ.get(SWITCH) != "1":
        return
    from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry

    settings = Settings.from_environment(os.environ)
    if PLUGIN not in LoRAResolverRegistry.get_supported_resolvers():
        LoRAResolver.register(RegistryResolver)
        LoRAResolverRegistry.register_resolver(PLUGIN, RegistryResolver(settings))


class RegistryResolver:
    """vLLM's ``LoRAResolver`` over a registry.

    A folder of its own for each digest, below ``<home>/cache/resolver``, is all that vLLM is given as a path. It is
    never changed nor removed here: vLLM reads it again when its own memory was too small, inside a model step, and a
    missing file there ends the whole server (0.32).

    Misses are remembered for MISS_SECONDS, MOST_MISSES at most, so a flood of names costs no memory and few questions.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._registry: Registry | None = None
        self._misses: dict[str, float] = {}  # name -> when to ask again, oldest first
        self._one_at_a_time = asyncio.Lock()

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> Any:
        """VLLM's question.

        Args:
            base_model_name: what vLLM was started with as ``--model``.
            lora_name: as a client typed it.

        Returns:
            A ``LoRARequest``, or None where the name means nothing here; the log says why if it was a near thing.
        """
        ref = _reference(lora_name)
        if ref is None or self._missed(lora_name):
            return None
        async with self._one_at_a_time:
            try:
                version, folder = await asyncio.to_thread(self._find, base_model_name, ref)
            except NotFound:
                self._miss(lora_name)
                return None
            except (Refused, Corrupted) as error:
                self._miss(lora_name)
                log.warning("%s is not served: %s %s", lora_name, error.message, error.hint)
                return None
        from vllm.lora.request import LoRARequest

        # Two names for one version have to differ here too: vLLM gives each an id of its own, yet takes requests for
        # equal ones if their names are equal (LoRARequest.__eq__), and would leave one of the ids out of a batch.
        return LoRARequest(lora_name=f"{lora_name} {version.digest}", lora_int_id=1, lora_path=str(folder))

    def _find(self, base_model_name: str, ref: AdapterRef) -> "tuple[AdapterVersion, Path]":
        """The version and its verified files. Blocks.

        Raises:
            NotFound: nothing has this name.
            Refused: it is an adapter of another base, or what vLLM serves is no prepared base.
            Corrupted: the files are not those of the manifest.
        """
        from registry.store import Registry

        self._registry = self._registry or Registry.open(self._settings)
        version = self._registry.versions.get(ref)
        base = _base(Path(base_model_name))
        if version.manifest.base_fingerprint != base.fingerprint:
            raise Refused(f"it is an adapter of the base {version.manifest.base_name}, and vLLM serves {base.name}.")
        return version, self._files(self._registry, version)

    def _files(self, registry: "Registry", version: "AdapterVersion") -> Path:
        from filelock import FileLock

        root = self._settings.cache / "resolver"
        folder = root / version.digest.removeprefix("sha256:")
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / "lock"):  # several vLLMs of this machine share the folder
            if not folder.exists():
                registry.versions.pull(version, folder)
        try:
            for entry in version.manifest.files:
                entry.verify(folder)
        except Corrupted as error:
            raise Corrupted(error.message, f"Stop every vLLM that uses {root}, remove {folder.name} there.") from error
        return folder

    def _missed(self, name: str) -> bool:
        return self._misses.get(name, 0.0) > self._clock()

    def _miss(self, name: str) -> None:
        self._misses.pop(name, None)
        if len(self._misses) >= MOST_MISSES:
            del self._misses[next(iter(self._misses))]
        self._misses[name] = self._clock() + MISS_SECONDS


def _reference(name: str) -> AdapterRef | None:
    """What a client typed, if it is a reference; a digest has to be whole, so that a version has few names."""
    try:
        ref = AdapterRef.parse(name) if len(name) <= LONGEST_NAME else None
    except InvalidReference:
        return None
    return None if ref and ref.digest and len(ref.digest) != DIGEST_LENGTH else ref


def _base(model: Path) -> BaseModel:
    """The prepared base that vLLM serves, from the record beside its folder.

    Raises:
        Refused: what vLLM serves is none.
    """
    record = model.absolute().parent / RECORD
    if model.name not in {"nf4", "bf16"} or not record.is_file():
        raise Refused("vLLM serves no base that was prepared here.", "Start it with --model <home>/bases/NAME/nf4.")
    document: Mapping[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return BaseModel.from_json(dict(document))
