"""What the tensors of an adapter are called by the tools that write them, and which of the names engines take.

PEFT, TRL and Unsloth write ``base_model.model.<layer>.lora_A.weight``, where ``<layer>`` is the layer's name in the
class that was trained. vLLM (``vllm/lora/utils.py``, parse_fine_tuned_lora_name) and llama.cpp's converter
(``convert_lora_to_gguf.py``, get_base_tensor_name) both take that off and look for a layer of the name that is left.
vLLM answers with the base alone, without an error, when there is none (vllm-project/vllm, issues 34186 and 48019).
"""

import re
from collections.abc import Collection

from registry.errors import InvalidAdapter
from registry.refs import shown

PREFIX = "base_model.model."
_LORA = re.compile(r"base_model\.model\.(?P<layer>[A-Za-z0-9_.]+)\.lora_(?P<half>[AB])\.weight", re.ASCII)

SAVE = "Save it with PEFT's model.save_pretrained(FOLDER)."

FOREIGN = (
    (r"\.lora_[AB]\.[A-Za-z0-9_-]+\.weight", "carries the name of PEFT's adapter inside; vLLM refuses it", SAVE),
    (r"_orig_mod\.", "was saved through torch.compile; vLLM would ignore it", "Save the model that was compiled."),
    (r"_fsdp_wrapped_module\.", "was saved from inside FSDP; vLLM would ignore it", "Save through the trainer."),
    (r"^module\.", "was saved through DistributedDataParallel; vLLM would ignore it", "Save model.module."),
    (r"lora_magnitude_vector", "belongs to DoRA; vLLM serves plain LoRA only", "Train without use_dora."),
    (r"lora_embedding_[AB]", "changes token embeddings; NF4 serving has none to change", "Target linear layers only."),
    (r"\.lora_[AB]\.bias$", "is a bias of LoRA; vLLM does not serve it", "Train without lora_bias."),
    (r"\.base_layer\.", "is a weight of the base; vLLM would ignore it", "Save with save_embedding_layers=False."),
    (r"\.modules_to_save\.|^(base_model\.model\.)?(.*\.)?(lm_head|embed_tokens)\.weight$",
     "is a whole layer; vLLM does not serve it", "Train without modules_to_save and without new tokens."),
    (r"\.lora_[ab](\.weight)?$", "is written as MLX and torchtune do; vLLM refuses it", "Convert it to PEFT's layout."),
    (r"^(lora_unet|lora_te|transformer\.|unet\.|diffusion_model\.)", "belongs to a picture model", ""),
    (r"\.(ia3_l|oft_r|hada_w|lokr_w|vera_lambda|lora_E|lora_diag)", "belongs to another method", "Train plain LoRA."),
)  # fmt: skip
"""What other names look like -> why no engine serves them, and what to do."""

WRAPPERS = (
    "model.language_model.",
    "language_model.model.",
    "language_model.",
    "text_model.",
    "model.model.",
    "model.",
)
"""What stands before ``layers.N`` when the same layers were trained inside another class, mostly one with pictures."""


def parse(name: str) -> tuple[str, str]:
    """The layer that a tensor belongs to, and which half it is: ``A`` or ``B``.

    Raises:
        InvalidAdapter: engines would ignore it, or refuse the adapter.
    """
    match = _LORA.fullmatch(name)
    if match:
        return match["layer"], match["half"]
    if not name.startswith(PREFIX) and _LORA.fullmatch(PREFIX + name):
        raise InvalidAdapter(f"The tensor {shown(name)} lacks the prefix {PREFIX}; PEFT would not load it.", SAVE)
    for pattern, reason, hint in FOREIGN:
        if re.search(pattern, name[:1000]):
            raise InvalidAdapter(f"The tensor {shown(name)} {reason}.", hint)
    raise InvalidAdapter(
        f"The tensor {shown(name)} is no LoRA weight; {PREFIX}<layer>.lora_A.weight was expected.",
        "Engines would ignore it or refuse the adapter.",
    )


def unknown_layer(layer: str, known: Collection[str], base: str) -> InvalidAdapter:
    """The error for a layer that the base does not have; it names the one that was probably meant."""
    message = f"The adapter changes {shown(layer)}, which the base {base} does not have"
    if layer.rpartition(".")[2] in ("lm_head", "embed_tokens"):
        return InvalidAdapter(f"{message}: adapters change no head.", "Train without it in target_modules.")
    meant = next((twin for twin in _twins(layer) if twin in known), None)
    if meant:
        return InvalidAdapter(
            f"{message}; there it is {meant}.",
            "It was trained through another class, with which vLLM would ignore it: train on the text model's class.",
        )
    return InvalidAdapter(f"{message}.", "It was trained for another base: name that one with --base NAME.")


def _twins(layer: str) -> list[str]:
    cores = [layer.removeprefix(wrapper) for wrapper in WRAPPERS if layer.startswith(wrapper)] or [layer]
    return [wrapper + core for core in cores for wrapper in (*WRAPPERS, "")]
