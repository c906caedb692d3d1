"""Serving, measured side by side in one run, on real vLLM with a small base: ``python -m bench.serve --help``."""

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started as a file: its folder's own serve.py would hide the package serve
    sys.path[0] = str(Path(__file__).resolve().parents[1])

if TYPE_CHECKING:
    from bench.part import Bench

PARTS = ("overhead", "hop", "oversubscribed", "starved", "swap", "many", "fairness")
"""In this order: from ``fairness`` on there are API keys, and who has none is sent away."""

HOME = Path(__file__).resolve().parents[1] / "build" / "bench"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be repeated  [default: all]")
    parser.add_argument("--quick", action="store_true", help="sizes for a smoke test; the figures mean little")
    parser.add_argument("--minutes", type=float, default=0.0, help="length of the part many  [default: 3]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, after each part")
    return parser.parse_args()


def main() -> int:
    """Run the parts and print their figures. Returns 1 if a part could not be carried out."""
    options = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever ends this, it ends the server too
    from bench.gateway import gateway
    from bench.part import Bench
    from bench.table import blank, show
    from bench.workshop import workshop
    from registry import console

    figures = blank()
    console.say("Preparing the base ...")
    with workshop(HOME) as shop:
        console.say("Starting the server ...")
        with gateway(shop.base.name, shop.environment, shop.work) as server:
            bench = Bench(shop, server, options.quick, options.minutes)
            wanted = [part for part in PARTS if part in (options.only or PARTS)]
            failed = [part for part in wanted if not _run(part, bench, figures, options.json)]
    show(figures)
    if failed:
        console.say(f"Not carried out: {', '.join(failed)}.")
    return bool(failed)


def _run(part: str, bench: "Bench", figures: dict[str, float | None], file: Path | None) -> bool:
    """Carry out a part and note its figures. Returns whether it went well."""
    from bench.fairness import fairness
    from bench.hop import hop
    from bench.many import many
    from bench.overhead import overhead
    from bench.oversubscribed import oversubscribed
    from bench.starved import starved
    from bench.swap import swap
    from registry import console

    run = {
        "overhead": overhead,
        "hop": hop,
        "oversubscribed": oversubscribed,
        "starved": starved,
        "swap": swap,
        "many": many,
        "fairness": fairness,
    }
    began = time.monotonic()
    console.say(f"\n{part}")
    try:
        figures |= run[part](bench)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are measured all the same
        console.say(f"{part} failed: {type(error).__name__}: {error}")
        return False
    finally:
        figures[f"{part}_seconds"] = time.monotonic() - began
        if file:
            file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
