"""The model card of a version: metadata that the Hub reads, and text for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.report import EvalReport, Score
from registry.version import AdapterVersion

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TASK = "text-generation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a card is made of.

    Attributes:
        version: the version.
        base_model: Hub id of its base.
        license: an identifier of the Hub's list, or ``""``.
        datasets: Hub ids, where they are known.
        reports: what evals found, oldest first; the newest of each suite is shown.
        signers: ids of the keys that signed it.
        has_plot: whether ``loss.png`` lies beside the card.
    """

    version: AdapterVersion
    base_model: str
    license: str = ""
    datasets: Sequence[str] = ()
    reports: Sequence[EvalReport] = ()
    signers: Sequence[str] = ()
    has_plot: bool = False

    def text(self) -> str:
        """The whole of README.md."""
        from huggingface_hub import ModelCardData

        newest = list({report.suite_digest: report for report in self.reports}.values())
        data = ModelCardData(
            base_model=self.base_model,
            base_model_relation="adapter",
            library_name="peft",
            license=self.license or None,
            datasets=list(self.datasets) or None,
            tags=["adaptory", f"base_model:adapter:{self.base_model}", "lora", "qlora"],
            pipeline_tag=TASK,
            model_name=str(self.version),
            eval_results=[result for report in newest for result in _results(report)] or None,
        )
        body = "\n".join(self._lines(newest))
        return f"---\n{data.to_yaml()}\n---\n\n{body}\n"

    def _lines(self, reports: Sequence[EvalReport]) -> Iterator[str]:
        lora = self.version.manifest.lora
        yield f"# {self.version.name}, version {self.version.number}"
        yield ""
        yield f"A LoRA adapter of rank {lora.rank} for [{self.base_model}](https://huggingface.co/{self.base_model}),"
        yield "served over its 4-bit form (NF4, double quantisation, bf16 compute). Over the 16-bit base it answers a"
        yield "little differently."
        yield from _section("Use", self._use())
        yield from _section("Evaluation", _evaluation(reports))
        yield from _section("Training", self._training())
        yield from _section("Provenance", self._provenance())

    def _use(self) -> Iterator[str]:
        yield "```python"
        yield "from peft import AutoPeftModelForCausalLM"
        yield ""
        yield "model = AutoPeftModelForCausalLM.from_pretrained(FOLDER_OR_REPOSITORY)"
        yield "```"

    def _training(self) -> Iterator[str]:
        manifest = self.version.manifest
        lora = manifest.lora
        facts = {"rank": lora.rank, "alpha": f"{lora.alpha:g}", "rsLoRA": "yes" if lora.use_rslora else "no"}
        facts["layers"] = ", ".join(f"`{target}`" for target in lora.target_modules)
        numbers = (("data", manifest.data), ("metric", manifest.metrics))
        for kind, values in numbers:
            facts |= {f"{kind} {key}": _shown(value) for key, value in values.items() if _is_plain(value)}
        yield from _table(("", ""), facts.items())
        if recipe := _without_places(manifest.recipe):
            yield ""
            yield "```json"
            yield json.dumps(recipe, indent=2, ensure_ascii=False, sort_keys=True)
            yield "```"
        if self.has_plot:
            yield ""
            yield "![Loss](loss.png)"

    def _provenance(self) -> Iterator[str]:
        manifest = self.version.manifest
        facts = {
            "version digest": f"`{self.version.digest}`",
            "pushed": f"{self.version.created:%Y-%m-%d %H:%M} UTC",
            "base fingerprint": f"`{manifest.base_fingerprint}`",
            **{f"code {key}": f"`{value}`" for key, value in manifest.code.items() if isinstance(value, str) and value},
            **{f"`{entry.path}` as pushed": f"`{entry.digest}`" for entry in manifest.files},
            **({"signed with key": ", ".join(f"`{key}`" for key in self.signers)} if self.signers else {}),
        }
        yield from _table(("", ""), facts.items())
        yield ""
        yield "In this folder `adapter_config.json` names the base by its Hub id, and this card stands for `README.md`;"
        yield "every other file is as it was pushed."


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", f"## {title}", "", *found)


def _evaluation(reports: Sequence[EvalReport]) -> Iterator[str]:
    rows = [
        (report.suite_name, metric, _interval(score), _interval(report.base[metric]), str(report.items))
        for report in reports
        for metric, score in report.adapter.items()
    ]
    if rows:
        yield from _table(("suite", "metric", "adapter", "base alone", "items"), rows)
        yield ""
        yield "Means with 95 % confidence intervals, on the 4-bit set-up that serves."


def _results(report: EvalReport) -> "Iterator[EvalResult]":
    from huggingface_hub import EvalResult

    for metric, score in report.adapter.items():
        yield EvalResult(
            task_type=TASK,
            dataset_type=report.suite_name,
            dataset_name=report.suite_name,
            dataset_revision=report.suite_digest.removeprefix("sha256:"),
            metric_type=metric,
            metric_name=metric,
            metric_value=round(score.mean, 6),
        )


def _table(columns: Sequence[str], rows: Any) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def _interval(score: Score) -> str:
    return f"{score.mean:.3f} ({score.low:.3f} to {score.high:.3f})"


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and "/" not in value and "\\" not in value)


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _without_places(value: Any) -> Any:
    """A recipe without texts that may be places on somebody's disk."""
    if isinstance(value, Mapping):
        kept = {key: _without_places(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", {}, [])}
    if isinstance(value, list):
        return [_without_places(item) for item in value]
    return value if _is_plain(value) else None
