"""Files that a run reads and writes: names, private modes, complete or not there, and no output over an input."""

from collab_sdk.files.inputs import NO_INPUTS, Inputs
from collab_sdk.files.json_text import parse_json, to_json
from collab_sdk.files.names import PARTIAL, STDIN, beside, database_files, export_files, file_meant, run_path
from collab_sdk.files.private import create_private
from collab_sdk.files.sqlite import is_sqlite
from collab_sdk.files.system import is_out_of_files, reason
from collab_sdk.files.writing import JsonlWriter, TextWriter, check_stdout, stdout_error

__all__ = [
    "NO_INPUTS",
    "PARTIAL",
    "STDIN",
    "Inputs",
    "JsonlWriter",
    "TextWriter",
    "beside",
    "check_stdout",
    "create_private",
    "database_files",
    "export_files",
    "file_meant",
    "is_out_of_files",
    "is_sqlite",
    "parse_json",
    "reason",
    "run_path",
    "stdout_error",
    "to_json",
]
