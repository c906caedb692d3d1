"""The table of figures, with what issue C asks for beside them."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

Goals = Mapping[str, tuple[str, float] | None]

GOALS: Goals = {
    "throughput_ratio": (">=", 0.95),
    "first_token_ms_median": ("<=", 5.0),
    "first_token_ms_p99": ("<=", 20.0),
    "hop_ms_median": ("<=", 5.0),
    "hop_ms_p99": ("<=", 20.0),
    "litellm_throughput_ratio": None,
    "litellm_first_token_ms_median": None,
    "litellm_first_token_ms_p99": None,
    "oversubscribed_throughput_ratio": (">=", 1.0),
    "rare_p99_gain": (">=", 5.0),
    "starved_gain": (">=", 5.0),
    "jain": (">=", 0.95),
    "swap_failed": ("<=", 0),
    "swap_mixed": ("<=", 0),
    "swap_median_s": ("<=", 2.0),
    "many_errors": ("<=", 0),
    "many_wrong": ("<=", 0),
}
"""Figure -> what it has to be; None for what is only compared with."""


def blank() -> dict[str, float | None]:
    """Every figure that has a name above, not measured yet."""
    return dict.fromkeys(GOALS)


def met(name: str, value: float, goals: Goals = GOALS) -> bool | None:
    """Whether a figure is as it has to be; None where nothing is asked."""
    goal = goals.get(name)
    if goal is None:
        return None
    sign, bound = goal
    return value >= bound if sign == ">=" else value <= bound


def show(figures: Mapping[str, float | None], goals: Goals = GOALS) -> None:
    """Print what was measured."""
    table = Table("figure", "measured", "goal", box=None, pad_edge=False, header_style="bold")
    for name, value in figures.items():
        if value is None:
            continue
        goal = goals.get(name)
        colour = {True: "green", False: "red", None: "default"}[met(name, value, goals)]
        table.add_row(name, f"[{colour}]{value:.4g}[/]", " ".join(map(str, goal)) if goal else "")
    Console().print(table)
