"""How ``adaptory top`` looks."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serve.watching.top import EngineRow, Row, View

WIDE = 100
STATE_STYLES = {"computing": "green", "waiting": "yellow", "loaded": "cyan", "-": "dim"}


def screen(url: str, view: View | None, away: str, rows: int, width: int) -> RenderableType:
    """The whole screen.

    Args:
        url: of the server.
        view: the last thing that is known, or None.
        away: why the server does not answer now, or an empty string.
        rows: most adapters to show.
        width: columns; below WIDE the aliases are left out.
    """
    parts: list[RenderableType] = [_title(url, view, away)]
    if view:
        parts += [_totals(view)]
        parts += [_engine(row) for row in view.engines if len(view.engines) > 1]
        parts += [Text(), _table(view, rows, width >= WIDE)]
        parts += [Text(f"{alias}: {reason}", style="red", overflow="ellipsis", no_wrap=True)
                  for alias, reason in list(view.failures.items())[:5]]  # fmt: skip
    return Group(*parts)


def _title(url: str, view: View | None, away: str) -> Text:
    title = Text.assemble(("adaptory top ", "bold"), url, "  ", no_wrap=True, overflow="ellipsis")
    if away:
        return title.append(f"does not answer, waiting for it\n{away}", "red")
    if view is None:
        return title.append("asking", "dim")
    ready, engines = sum(row.ready for row in view.engines), len(view.engines)
    said = f"{ready} of {engines} engines ready" if engines > 1 else f"engine {'ready' if ready else 'not ready'}"
    title.append(said, "green" if ready == engines else "yellow" if ready else "red")
    if view.restarts:
        title.append(f"  {view.restarts} restarts", "yellow")
    if view.registry_stale:
        title.append("  registry does not answer", "red")
    return title.append("  q ends", "dim")


def _totals(view: View) -> Text:
    return Text.assemble(
        (f"{view.requests:.1f}", "bold"), " requests/s  ",
        (f"{view.tokens:.0f}", "bold"), " tokens/s  ",
        (f"{view.inside}", "bold"), " inside, ",
        (f"{view.waiting}", "bold yellow" if view.waiting else "bold"), " waiting  slots ",
        (f"{view.slots_taken}/{view.slots}", "bold"), "  adapters ",
        (f"{view.loaded}", "bold"), f" loaded of {view.servable}  ",
        (f"{view.errors}", "bold red" if view.errors else "bold"), f" errors in {view.seconds:.0f} s",
    )  # fmt: skip


def _engine(row: EngineRow) -> Text:
    return Text.assemble(
        f"engine {row.engine}  ", ("ready" if row.ready else "away", "green" if row.ready else "red"),
        f"  {row.inside} inside, {row.waiting} waiting  slots {row.slots_taken}/{row.slots}  {row.loaded} loaded",
        (f"  {row.restarts} restarts" if row.restarts else "", "yellow"),
    )  # fmt: skip


def _table(view: View, rows: int, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("adapter", ratio=3, no_wrap=True, overflow="ellipsis")
    if wide:
        table.add_column("aliases", ratio=2, no_wrap=True, overflow="ellipsis", style="dim")
    table.add_column("state", no_wrap=True)
    for name in ("runs", "queue", "req/s", "tok/s", "TTFT p50", "p99", "err"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in view.rows[:rows]:
        table.add_row(*_cells(row, wide))
    if len(view.rows) > rows:
        table.add_row(Text(f"and {len(view.rows) - rows} more", style="dim"))
    return table


def _cells(row: Row, wide: bool) -> list[RenderableType]:
    return [
        row.adapter,
        *([", ".join(row.aliases)] if wide else []),
        Text(row.state, style=STATE_STYLES[row.state]),
        str(row.engine or ""),
        Text(str(row.queue or ""), style="yellow"),
        f"{row.requests:.1f}" if row.requests else "",
        f"{row.tokens:.0f}" if row.tokens else "",
        _seconds(row.first_p50),
        _seconds(row.first_p99),
        Text(str(row.errors or ""), style="red"),
    ]


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
