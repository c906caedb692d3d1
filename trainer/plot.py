"""loss.png: training and held-out loss over the steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

WINDOW = 5  # steps that the smoothed curve averages over


def plot_loss(metrics: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Draw the curves of metrics.jsonl.

    Args:
        metrics: lines with ``step`` and ``loss`` or ``held_out_loss``.
        title: what was trained.
        path: the PNG.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    train = [(line["step"], line["loss"]) for line in metrics if "loss" in line]
    held_out = [(line["step"], line["held_out_loss"]) for line in metrics if "held_out_loss" in line]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    if train:
        steps, losses = zip(*train, strict=True)
        axes.plot(steps, losses, color="#9bb8d3", linewidth=0.8, label="training, each step")
        axes.plot(steps, _smoothed(losses), color="#1f4e79", linewidth=1.8, label=f"training, mean of {WINDOW} steps")
    if held_out:
        steps, losses = zip(*held_out, strict=True)
        axes.plot(steps, losses, "o-", color="#c55a11", linewidth=1.8, markersize=5, label="held-out")
        for place in {0, len(losses) - 1}:
            axes.annotate(
                f"{losses[place]:.3f}",
                (steps[place], losses[place]),
                xytext=(9, 0) if place == 0 else (0, 9),
                textcoords="offset points",
                ha="left" if place == 0 else "right",
                color="#c55a11",
            )
    axes.set(title=title, xlabel="step", ylabel="loss on answer tokens (nats)")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.1)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _smoothed(values: Sequence[float]) -> list[float]:
    return [
        sum(recent) / len(recent)
        for recent in (values[max(0, place + 1 - WINDOW) : place + 1] for place in range(len(values)))
    ]
