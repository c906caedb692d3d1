"""``adaptory train``: a recipe becomes an adapter in a run folder."""

import os
from pathlib import Path

import click

from registry import console
from registry.bases import LocalBases
from trainer.run_folder import RunFolder


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; by default runs/<name of the recipe>.")
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped or killed.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key, such as lora.rank=8.")
@console.json_option
@console.command
def train(recipe: Path, out: Path | None, resume: bool, changes: tuple[str, ...], as_json: bool) -> None:
    """Train an adapter from RECIPE, a TOML file.

    \b
    base = "smollm2-135m"        # a prepared base
    data = "train.jsonl"         # chats; the last message is the answer
    held_out = 0.1               # a fraction, or a file of its own
    [lora]
    rank = 16
    """
    from trainer.plan import make_plan
    from trainer.recipe_file import read_recipe

    parsed = read_recipe(recipe, changes)
    folder = RunFolder((out or Path("runs") / (parsed.name or recipe.stem)).absolute())
    folder.check_free(resume=resume)
    plan = make_plan(parsed, recipe.parent, LocalBases(console.settings().bases))

    # Idle threads sleep instead of spinning: without this, training beside a busy server takes three times the CPU.
    # Read once, when torch loads its OpenMP.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from trainer.screen import screen
    from trainer.train import train as run

    try:
        with screen() as shown:
            metrics = run(plan, folder, shown)
    except KeyboardInterrupt:
        if folder.partial.exists():
            console.say("Type the same command with --resume to go on from the last checkpoint.")
        raise
    if as_json:
        console.print_json({"run": str(folder.path), "base": plan.base.name, "metrics": metrics})
        return
    before, after = metrics["held_out"]["before"], metrics["held_out"]["after"]
    click.echo(
        f"{metrics['steps']} steps in {metrics['seconds']:.0f} s ({metrics['seconds_per_step']:.1f} s a step). "
        f"Held-out loss {before['loss']:.3f} -> {after['loss']:.3f}, "
        f"tokens right {before['token_accuracy']:.1%} -> {after['token_accuracy']:.1%}."
    )
    click.echo(f"{folder.path}\nNext: registry push {folder.path} NAME")
