"""Where the checkout is, and the data that may lie beside it."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
"""The folder to add to the path of a process that imports `support`."""
ROOT = TESTS.parent
DATA = ROOT.parent / "shared" / "data"
"""Real chats, questions and programs: no part of the project, and most checkouts have none."""
