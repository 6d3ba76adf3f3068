"""docs/cli.md, made from the commands' own help: `python tests/support/cli_page.py > docs/cli.md`."""

import click
from collab_cli.main import main

INTRODUCTION = """\
# The command line

Made from each command's `--help`; a test holds it to that.
"""


def page() -> str:
    context = click.Context(main, info_name="collab", terminal_width=100, **main.context_settings)
    blocks = [_block(main, context)]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        own = click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100)
        blocks.append(_block(command, own))
        if isinstance(command, click.Group):
            for sub in command.list_commands(own):
                part = command.get_command(own, sub)
                assert part is not None
                blocks.append(_block(part, click.Context(part, info_name=sub, parent=own, terminal_width=100)))
    return INTRODUCTION + "\n" + "\n\n".join(blocks) + "\n"


def _block(command: click.Command, context: click.Context) -> str:
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return f"## {context.command_path}\n\n```text\n{text}\n```"


if __name__ == "__main__":
    print(page(), end="")
