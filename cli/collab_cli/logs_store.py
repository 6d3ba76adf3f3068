"""Which store a command works on."""

from pathlib import Path

from collab_cli.params import option
from collab_cli.paths import ReadPath, WrittenPath
from collab_sdk.files import database_files

STORE = option(
    "--store",
    type=WrittenPath(in_place=database_files, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The store; made if there is none.",
)
STORES = ReadPath(exists=True, dir_okay=False, path_type=Path)
"""Files of stores that are read; what else is wrong with them, the store says."""
READ_STORE = option("--store", type=STORES, required=True, metavar="FILE", help="The store.")
CHANGED_STORE = option(
    "--store",
    type=WrittenPath(in_place=database_files, exists=True, dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The store.",
)
