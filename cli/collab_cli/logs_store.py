"""Which store a command works on."""

from pathlib import Path

import click

from collab_cli.params import option


def existing_store() -> click.Path:
    """The file of a store; what else is wrong with it, the store says."""
    return click.Path(exists=True, dir_okay=False, path_type=Path)


STORE = option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The store; made if there is none.",
)
EXISTING_STORE = option("--store", type=existing_store(), required=True, metavar="FILE", help="The store.")
