"""Which subcommands `collab` has."""

import importlib
from typing import Any

import click

from collab_cli.failures import explained
from collab_cli.suggestions import SuggestingGroup
from collab_cli.terminal import one_line_warnings, open_standard_streams
from collab_sdk.version import __version__

COMMANDS = {
    "export-prefs": "Turn logged chats into preference pairs.",
    "score": "Score every assistant turn of logged chats.",
    "evaluate": "Compare bots in whole conversations, with intervals.",
    "check-sim": "Measure how human the simulated user is.",
    "check-judge": "Measure how far the judge can be trusted.",
    "report": "Make a web page of results; review pairs on it.",
    "finetune": "Train a LoRA adapter on preferences.",
    "tasks": "List benchmark tasks; turn their rows into chats.",
    "logs": "Manage the store of recorded conversations.",
    "demo": "Try it on sample chats, without key or network.",
    "doctor": "Check installation, keys and models.",
    "cache": "Manage the cache of model replies.",
}
"""In the order of use; the module of a command has its name."""

EPILOG = """\
Every option can also be set by an environment variable, such as COLLAB_MODEL for --model, or in a file of options:
--config collab.toml. Flags override environment variables, which override the file.

Exit codes: 0 done; 1 error, or no result; 2 wrong usage; 3 finished, but some conversations or input lines failed;
4 budget reached; 5 a bot is worse than evaluate was told to allow; 130 interrupted. After 4 and
130, run the same command again to resume.
"""


class Commands(SuggestingGroup):
    """Imports a command when it is called, so that `collab --help` is instant, and ends errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"collab_cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **options: Any) -> Any:
        open_standard_streams()
        return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with explained(), one_line_warnings():
            return super().invoke(ctx)


@click.group(
    "collab",
    cls=Commands,
    epilog=EPILOG,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__)
def main() -> None:
    """Make an existing chatbot a better collaborator: score its replies by how the conversation ends, and train on it.

    To begin, run: collab demo
    """


if __name__ == "__main__":
    main()
