"""Every test has a home, a cache and an environment of its own."""

import os

import pytest
from hypothesis import HealthCheck, settings
from support.litellm_state import forget_litellm

# No test may fail because the machine is busy, or by the luck of the draw: `--hypothesis-profile explore` draws anew.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("collab", settings.get_profile("explore"), derandomize=True)
settings.load_profile("collab")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("COLLAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / ".cache"))
    monkeypatch.setenv("COLLAB_CACHE_DIR", str(tmp_path / "collab-cache"))


@pytest.fixture(autouse=True, scope="module")
def litellm_is_forgotten():
    """What a file of tests leaves open in LiteLLM fails no test of another, wherever the garbage is collected."""
    yield
    forget_litellm()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """The folder of a language model that answers in a few words."""
    from support.local import save_tiny_model

    return save_tiny_model(tmp_path_factory.mktemp("local") / "base")


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base):
    """The folder of a LoRA adapter on it."""
    from support.local import save_tiny_adapter

    return save_tiny_adapter(tiny_base.with_name("adapter"), tiny_base)


@pytest.fixture(scope="session")
def smollm2():
    """The folder of SmolLM2-135M-Instruct, a language model that really is one."""
    from support.smollm2 import smollm2_folder

    try:
        return smollm2_folder()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def transformers_server(smollm2):
    """The address of `transformers serve` with that model: it takes any response_format and ignores it."""
    from support.smollm2 import serving

    pytest.importorskip("fastapi")
    with serving(smollm2) as api_base:
        yield api_base


@pytest.fixture(scope="session")
def redis_server():
    """A Redis whose database 0 a test may use as it likes."""
    from support.databases import Redis, running

    with running(Redis) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL in which each test makes a database of its own."""
    from support.databases import Postgres, running

    with running(Postgres) as server:
        yield server
