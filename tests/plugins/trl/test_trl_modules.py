"""Each module of the trainer can be the first one of them that is imported, as in a script of one's own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
ONE_BY_ONE = """
import importlib, pkgutil, sys
import collab_trl

names = [module.name for module in pkgutil.walk_packages(collab_trl.__path__, "collab_trl.")]
for name in names:
    for known in [known for known in sys.modules if known.partition(".")[0] == "collab_trl"]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, error)
print(len(names))
"""


def test_each_module_is_imported_without_another_one_before_it():
    done = subprocess.run([sys.executable, "-c", ONE_BY_ONE], capture_output=True, text=True, check=True)
    *failed, count = done.stdout.splitlines()
    assert failed == []
    assert int(count) > 50
