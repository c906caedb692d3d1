"""Adaptory's root command: knows which module has which command, and imports only the one that is called."""

import importlib

import click

VERSION = "0.1.0"

COMMANDS = {
    "base": ("trainer.base_cli:base", "Prepare the base model that adapters are trained on and served over."),
    "train": ("trainer.cli:train", "Train an adapter from a recipe."),
    "serve": ("serve.cli:serve", "Serve a base and every adapter in the registry over OpenAI's API."),
    "top": ("serve.cli_top:top", "Watch a server: adapters, slots, queues and rates."),
    "eval": ("evals.cli:evaluate", "Score a version on a suite, on the set-up that serves."),
    "export": ("export.cli:export", "Turn a version into merged 16-bit weights or a GGUF."),
    "chat": ("export.chat_cli:chat", "Ask a version a question on this machine."),
    "registry": ("registry.cli:registry", "Push, list, show, pull, promote, roll back."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import the module that has it."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a typo is answered with the nearest name, which click finds among imported ones only."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List them without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="adaptory")
def main() -> None:
    """Train an adapter, push it, name it in a request.

    \b
    adaptory base prepare SOURCE --name NAME   once for each base
    adaptory train recipe.toml                 a data file -> an adapter
    registry push runs/x support               an adapter -> support:1
    adaptory serve --base NAME                 any OpenAI client: model="support:1"
    adaptory eval support:1 --suite suite.toml a report, on the set-up that serves
    registry promote support:1 prod            model="support" is now version 1
    adaptory export support --to gguf          for a laptop
    """
