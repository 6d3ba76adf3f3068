"""The commands of the command line, and what they are called with."""

import click
from click.testing import CliRunner
from collab_cli.main import main


def commands(command=main, path=()):
    """Every command with its path, subcommands of groups as well."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(click.Context(command)):
        yield from commands(command.get_command(click.Context(command), name), (*path, name))


COMMANDS = dict(commands())


def received(path, arguments, monkeypatch, env=None):
    """What the command's own function is called with."""
    calls = []
    monkeypatch.setattr(COMMANDS[path], "callback", lambda **values: calls.append(values))
    result = CliRunner().invoke(main, [*path, *map(str, arguments)], env=env)
    assert result.exit_code == 0, result.output
    return calls[0]
