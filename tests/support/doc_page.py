"""Runs the blocks of one page of the docs, in the current directory: `python doc_page.py PAGE`.

A block of TOML that begins with the name of a file, as a comment, is written to that file. Lines below a command of a
console block are what it prints, on stdout, on stderr, or on both in this order; a line `…` stands for any others.
Durations differ from run to run and are not compared.
"""

import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

BLOCK = re.compile(r"^```(python|console|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.toml)\n")
DURATION = re.compile(r"\b[\d.:]+ (?:s|min|h)\b")


def main(page: Path) -> None:
    warnings.simplefilter("error")
    # LangChain's own message histories are deprecated, and in many apps.
    warnings.filterwarnings("ignore", message=".*langchain", category=DeprecationWarning)
    names: dict[str, object] = {"__name__": "docs"}
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(block, str(page), "exec"), names)
            continue
        if language == "toml":
            if (named := FILE.match(block)) is not None:
                Path(named[1]).write_text(block, encoding="utf-8")
            continue
        for part in block.split("$ ")[1:]:
            command, _, printed = part.partition("\n")
            run(command, printed)


def run(command: str, printed: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "collab", f"only collab is run from the docs, not {program}"
    collab = [sys.executable, "-m", "collab_cli.main"]
    done = subprocess.run([*collab, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    streams = (done.stdout, done.stderr, done.stdout + done.stderr)
    assert any(is_shown(printed, text) for text in streams), f"{command}\n{done.stdout}{done.stderr}"


def is_shown(printed: str, text: str) -> bool:
    """Whether the page's lines are the words of this text, wherever its lines are broken."""
    shown, said = (" ".join(DURATION.sub("0 s", each).split()) for each in (printed, text))
    pattern = ".*".join(re.escape(part.strip()) for part in shown.split("…"))
    return not shown or re.fullmatch(pattern, said) is not None


if __name__ == "__main__":
    sys.path[0] = ""  # as `python -c` has it, in place of the folder of this file
    main(Path(sys.argv[1]))
