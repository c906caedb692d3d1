"""Where an admitted adapter runs besides here: what vLLM, llama.cpp and Ollama make of it.

The facts are those of the versions named at each; the functions read nothing but what admission proved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from registry.admission import Admitted
from registry.base_model import BaseModel
from registry.llama_cpp import ARCHITECTURES

RANK_STEPS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM 0.32 takes for --max-lora-rank (vllm/config/lora.py, MaxLoRARanks; it has 1 too). 16 is its default."""

# Ollama's ConvertAdapter (convert/convert.go, at fb30760, 2026-08-21) knows adapters of the GGUF architectures llama
# and gemma2 only: these classes become those.
OLLAMA_CLASSES = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "Gemma2ForCausalLM"})

# The layers that its convert_llama_adapter.go and convert_gemma2_adapter.go rename; others keep a name no GGUF has.
OLLAMA_LAYERS = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})

MERGE = "merge it: adaptory export REF --to gguf"


class Answer(StrEnum):
    """What an engine makes of an adapter."""

    WORKS = "works"
    WORKS_WITH = "works with"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table.

    Attributes:
        engine: the engine, with the setting or the version that the row is about.
        answer: what it makes of the adapter.
        detail: what it works with, or why it is refused; may be empty where it simply works.
    """

    engine: str
    answer: Answer
    detail: str

    def to_json(self) -> dict[str, str]:
        """What ``--json`` prints."""
        return {key: str(value) for key, value in asdict(self).items()}


def portability(admitted: Admitted, base: BaseModel) -> Sequence[Verdict]:
    """The table for an adapter that was admitted against ``base``."""
    return (*_vllm(admitted), _llama_cpp(admitted, base), *_ollama(admitted, base))


def _vllm(admitted: Admitted) -> Iterator[Verdict]:
    """VLLM refuses what is above its limit (vllm/lora/peft_helper.py, validate_legal) and casts weights on loading."""
    rank = admitted.lora.rank
    smallest = min(step for step in RANK_STEPS if step >= rank)
    rounded = "F32" in admitted.dtypes or "F16" in admitted.dtypes
    for step in RANK_STEPS:
        engine = f"vLLM --max-lora-rank {step}"
        if step < rank:
            yield Verdict(engine, Answer.REFUSED, f"its rank is {rank}: type --max-lora-rank {smallest}")
        elif rounded:
            yield Verdict(engine, Answer.WORKS_WITH, "its weights rounded to the base's bf16 on loading")
        else:
            yield Verdict(engine, Answer.WORKS, "the smallest that takes it" if step == smallest else "")


def _llama_cpp(admitted: Admitted, base: BaseModel) -> Verdict:
    """What convert_lora_to_gguf.py takes; llama.cpp itself applies an adapter over any quantisation of the base."""
    engine = "llama.cpp --lora"
    if base.architecture not in ARCHITECTURES:
        return Verdict(engine, Answer.REFUSED, f"its converter does not know {base.architecture}")
    if admitted.lora.use_rslora:
        # It writes lora_alpha alone, and llama.cpp scales by alpha / rank (src/llama-adapter.h, get_scale).
        return Verdict(engine, Answer.REFUSED, f"the converter ignores use_rslora, and answers would differ; {MERGE}")
    return Verdict(engine, Answer.WORKS_WITH, "convert_lora_to_gguf.py --base FOLDER; a base GGUF of any quantisation")


def _ollama(admitted: Admitted, base: BaseModel) -> Iterator[Verdict]:
    yield Verdict("Ollama to 0.34.0, ADAPTER folder", *_ollama_folder(admitted, base))
    answer, detail = Answer.REFUSED, "there is no GGUF of it, see llama.cpp"
    if _llama_cpp(admitted, base).answer is not Answer.REFUSED:
        # Since it runs llama-server (llm/llama_server.go, at fb30760). Its own engine before that said at the first
        # request "loras are not yet implemented" (runner/ollamarunner/runner.go).
        answer, detail = Answer.WORKS_WITH, "the GGUF of llama.cpp, where Ollama runs the model with llama-server"
    yield Verdict("Ollama to 0.34.0, ADAPTER file.gguf", answer, detail)
    # ollama/ollama, pull request 14969, as told in generative-computing/mellea, issue 1651.
    yield Verdict("Ollama from 0.34.1", Answer.REFUSED, f"ollama create takes no ADAPTER any more; {MERGE}")


def _ollama_folder(admitted: Admitted, base: BaseModel) -> tuple[Answer, str]:
    if base.architecture not in OLLAMA_CLASSES:
        return Answer.REFUSED, f"it converts adapters of Llama, Mistral, Mixtral and Gemma 2, not {base.architecture}"
    strange = {module.rpartition(".")[2] for module in admitted.modules} - OLLAMA_LAYERS
    if strange:
        return Answer.REFUSED, f"it knows no layer called {min(strange)}"
    if admitted.lora.use_rslora:  # AdapterParameters in convert/convert.go reads lora_alpha alone
        return Answer.REFUSED, f"it ignores use_rslora, and answers would differ; {MERGE}"
    if not admitted.lora.alpha.is_integer():  # ... into a uint32
        return Answer.REFUSED, f"it takes a whole lora_alpha only, not {admitted.lora.alpha:g}"
    # docs/import.mdx: "it's best to use non-quantized (i.e. non-QLoRA) adapters", as quantisations differ.
    return Answer.WORKS_WITH, "FROM the same base; what was trained on NF4 answers a little differently on another form"
