"""How a run joins a cluster or starts a Ray of its own: what Ray is told, with a Ray that only notes it."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'collab-sdk[ray]'")

import ray
from collab_ray import cluster as clusters
from collab_ray.cluster import connected, environment

from collab_sdk.errors import RunnerError
from collab_sdk.spec import RunnerSpec


@pytest.fixture
def joined(tmp_path, monkeypatch):
    """What Ray was started or joined with."""
    told = {}
    (tmp_path / "beside.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models.example/v1")
    context = SimpleNamespace(get_node_id=lambda: "a node")
    for name, stand_in in {
        "is_initialized": lambda: False,
        "init": lambda **options: told.update(options),
        "get_runtime_context": lambda: context,
        "nodes": list,
        "shutdown": lambda: None,
    }.items():
        monkeypatch.setattr(ray, name, stand_in)
    return told


def joins(monkeypatch, returncode: int, stderr: str = "") -> None:
    """What becomes of the process that joins first."""
    done = SimpleNamespace(returncode=returncode, stderr=stderr)
    monkeypatch.setattr(clusters.subprocess, "run", lambda *_, **__: done)


def test_a_ray_of_our_own_listens_on_loopback_only_and_sends_no_statistics(joined, monkeypatch):
    for name in ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    spec = RunnerSpec(name="ray")
    with environment(spec), connected(spec, "cache", 8):
        # Read by Ray, which takes 127.0.0.1 for the address of its node where this is not set to true.
        assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ
    assert (joined["address"], joined["include_dashboard"]) == ("local", False)
    assert "runtime_env" not in joined, "it has our files and variables"


@pytest.mark.parametrize("is_submitted", [False, True])
def test_a_job_that_was_submitted_has_what_it_was_submitted_with(is_submitted, joined, monkeypatch):
    if is_submitted:
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    joins(monkeypatch, 0)
    spec = RunnerSpec(name="ray", address="auto")
    with environment(spec), connected(spec, str(Path("cache").resolve()), 8):
        pass
    assert joined["address"] == "auto"
    assert ("runtime_env" not in joined) is is_submitted
    if not is_submitted:
        assert joined["runtime_env"]["env_vars"]["OPENAI_BASE_URL"] == "http://models.example/v1"


def test_a_cluster_that_lets_nobody_join_asks_for_its_token(joined, monkeypatch):
    joins(monkeypatch, 1, "anything")
    with (
        pytest.raises(RunnerError, match=r"refused to let us join; is RAY_AUTH_TOKEN its token\?"),
        connected(RunnerSpec(name="ray", address="auto"), "cache", 8),
    ):
        pass
    assert joined == {}
