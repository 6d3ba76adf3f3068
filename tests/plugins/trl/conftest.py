"""What all tests of local models share."""

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def only_new_objects_are_collected():
    """Each training collects its circles three times: not among the million objects of the libraries as well."""
    gc.collect()
    gc.freeze()
