"""EvalReport: how a version did on a suite, on the set-up that serves."""

from dataclasses import asdict, dataclass
from typing import Any

from registry.finite import prove_finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric of one side, with a 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __post_init__(self) -> None:
        prove_finite("A score", self.mean, self.low, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """Version digest × profile fingerprint × suite digest -> scores.

    Attributes:
        version_digest: of the version that was asked.
        profile_fingerprint: of the set-up that answered.
        suite_name: what people call the suite.
        suite_digest: ``sha256:<hex>`` of its definition and its items.
        items: how many items each side answered.
        adapter: metric -> score of the version.
        base: metric -> score of the base alone, on the same items.
        gain: metric -> adapter minus base, compared item by item; between -1 and 1.
        failures: each gate condition that did not hold, in words; empty means passed.
        results: per item: id, prompt, expected, answers and metrics of both sides.
    """

    version_digest: str
    profile_fingerprint: str
    suite_name: str
    suite_digest: str
    items: int
    adapter: dict[str, Score]
    base: dict[str, Score]
    gain: dict[str, Score]
    failures: tuple[str, ...]
    results: tuple[dict[str, Any], ...]

    @property
    def passed(self) -> bool:
        """Whether every condition of the suite's gate held."""
        return not self.failures

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "EvalReport":
        """Inverse of ``to_json``."""
        fields = {key: value for key, value in document.items() if key != "passed"}
        for side in ("adapter", "base", "gain"):
            fields[side] = {metric: Score(**score) for metric, score in document[side].items()}
        for sequence in ("failures", "results"):
            fields[sequence] = tuple(document[sequence])
        return cls(**fields)

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and shown."""
        document = asdict(self) | {"passed": self.passed}
        return document | {"failures": list(self.failures), "results": list(self.results)}
