"""A node that is not what the command is, is named in one line; and what is sent to nodes is code, never a key."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'collab-sdk[ray]'")

from collab_ray.node import (
    SENT,
    SENT_PATH,
    claims_of,
    find_sent_code,
    own_address,
    runtime_env,
    sent_address,
    why_unfit,
)
from collab_ray.worker import longest_timeout
from support.cli import write_bot

from collab_sdk.jobs import roles_of
from collab_sdk.plugins import import_named
from collab_sdk.spec import ModelSpec, RunSpec, UserSpec

OPENAI = ModelSpec(name="openai/gpt-4o-mini")


SPEC = RunSpec(assistants=(OPENAI,), simulators=(UserSpec.of(OPENAI),), judge=OPENAI)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def refusal(cache: str, **node) -> str | None:
    command = claims_of(SPEC, cache)
    return why_unfit({**claims_of(SPEC, cache), **node}, command, cache)


def test_a_node_like_the_command_is_fit(tmp_path):
    assert refusal(str(tmp_path)) is None
    assert refusal("redis://cache.example") is None


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ({"version": "9.9.9"}, "it has collab-sdk 9.9.9, and the command is "),
        ({"code": "0" * 64}, "has other code or prompts than the command's: install the same on every node."),
        ({"key": "0" * 16}, "its COLLAB_CACHE_HMAC_KEY is not the command's: set the same wherever the cache is used."),
        ({"directory": None}, "there is not the command's: give a cache that all nodes can share, such as --cache"),
        ({"loaded": {"collab_ray.node": "0"}}, "it has another module collab_ray.node than the command: install the"),
        ({"packages": {"tiktoken": "0.0.1"}}, "it has tiktoken 0.0.1, and the command "),
        ({"modules": {"bots": "0"}}, "it has another module bots than the command: install the same on every node."),
    ],
    ids=["version", "prompts", "key", "disk", "plugin", "package", "bot"],
)
def test_a_node_that_is_another_is_told_apart(claim, said, tmp_path):
    why = refusal(str(tmp_path), **claim)
    assert said in why
    assert "\n" not in why


BOT = """
class Slow:
    name, fingerprint, price, timeout = "slow", {"bot": "slow"}, None, 900

    async def achat(self, request): ...


slow = Slow()
"""


def test_the_longest_timeout_is_that_of_a_model_with_one_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "slow_bots.py").write_text(BOT)
    monkeypatch.syspath_prepend(tmp_path)
    assert longest_timeout(roles_of(SPEC)) == 0.0
    with_bot = replace(SPEC, assistants=(ModelSpec(name="py:slow_bots:slow"),))
    assert longest_timeout(roles_of(with_bot)) == 900


def test_an_endpoint_variable_of_one_node_is_named(tmp_path, monkeypatch):
    command = claims_of(SPEC, str(tmp_path))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.example/v1")
    why = why_unfit(claims_of(SPEC, str(tmp_path)), command, str(tmp_path))
    assert why.startswith("models.assistant.api_base is 'http://elsewhere.example/v1', not None. Set the variables")


@pytest.mark.parametrize("installed", ["site-packages", "beside"])
def test_all_that_is_loaded_of_a_bots_package_is_compared(installed, tmp_path, monkeypatch):
    folder = tmp_path / installed
    (folder / "market").mkdir(parents=True)
    (folder / "market" / "__init__.py").write_text("")
    (folder / "market" / "bots.py").write_text("from market.prices import price\ndef bot(messages): return price\n")
    prices = folder / "market" / "prices.py"
    prices.write_text("price = '1'\n")
    monkeypatch.syspath_prepend(folder)
    with_bot = replace(SPEC, assistants=(ModelSpec(name="py:market.bots:bot"),))
    try:
        command = claims_of(with_bot, str(tmp_path))
        assert why_unfit(claims_of(with_bot, str(tmp_path)), command, str(tmp_path)) is None
        prices.write_text("price = '2'\n")
        why = why_unfit(claims_of(with_bot, str(tmp_path)), command, str(tmp_path))
    finally:
        for name in ("market", "market.bots", "market.prices"):
            sys.modules.pop(name, None)
    assert why == "it has another module market.prices than the command: install the same on every node."


def test_another_key_is_seen_and_neither_shown(monkeypatch):
    claims = []
    for key in ("a" * 64, "b" * 64, ""):
        monkeypatch.setenv("COLLAB_CACHE_HMAC_KEY", key)
        claims.append(claims_of(SPEC, "redis://cache.example"))
        assert not key or key not in str(claims)
    assert len({claim["key"] for claim in claims}) == 3


@pytest.mark.parametrize(
    ("cache", "is_on_each"),
    [
        ("redis://:PASSWORD@localhost:6379/0", True),
        ("redis://127.0.0.1/0", True),
        ("redis+sentinel://[::1]:26379,other:26379/name", True),
        ("postgresql:///cache", True),
        ("postgresql:///cache?host=/run/postgresql", True),
        ("postgresql:///cache?host=db.example", False),
        ("postgresql://me:PASSWORD@db.example/cache", False),
        ("redis://10.0.0.5:6379/0", False),
    ],
)
def test_a_server_that_is_another_one_on_each_machine_is_for_one_machine(cache, is_on_each, monkeypatch):
    command = claims_of(SPEC, cache)
    assert why_unfit(claims_of(SPEC, cache), command, cache) is None
    monkeypatch.setattr("collab_ray.node.host_name", lambda: "another")
    why = why_unfit(claims_of(SPEC, cache), command, cache)
    assert (why is not None) == is_on_each
    if why is not None:
        assert "is another server there than here: give the cache by a name that all nodes know it by" in why
        assert "PASSWORD" not in why


def test_an_address_without_a_host_is_where_the_node_says(monkeypatch):
    monkeypatch.setenv("PGHOST", "db.example")
    command = claims_of(SPEC, "postgresql:///cache")
    monkeypatch.setenv("PGHOST", "")
    assert "another server" in why_unfit(claims_of(SPEC, "postgresql:///cache"), command, "postgresql:///cache")


def test_a_directory_is_told_from_another_of_the_same_path(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    before = claims_of(SPEC, str(cache))
    cache.rename(tmp_path / "away")
    cache.mkdir()
    assert why_unfit(claims_of(SPEC, str(cache)), before, str(cache)) is not None


def test_workers_are_sent_the_bots_code_and_addresses_but_no_secret(tmp_path, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("sent")
    (tmp_path / "helper.py").write_text("WORD = 'yes'\n")
    (tmp_path / "unused.py").write_text("")
    write_bot(tmp_path, "import helper\nreturn helper.WORD", name="sent_bot")
    (tmp_path / "shop").mkdir()
    for name in ("__init__.py", "bots.py"):
        (tmp_path / "shop" / name).write_text("")
    (tmp_path / "shop" / ".env").write_text("KEY=sk-in-a-file")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models.example/v1/")
    monkeypatch.setenv("OTHER_BASE_URL", "http://user:secret@models.example/v1")
    for number, end in enumerate(("#a-secret", "/sk-secret0123456789", "/v1#sk-secret0123456789")):
        monkeypatch.setenv(f"MORE{number}_BASE_URL", f"http://models.example{end}")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.syspath_prepend("")
    try:
        import sent_bot
        import shop.bots  # noqa: F401

        assert sent_bot.bot([]) == "yes"
        sent = runtime_env(folder)
    finally:
        for name in ("helper", "sent_bot", "shop", "shop.bots"):
            sys.modules.pop(name, None)
    (together,) = map(Path, sent["py_modules"])
    copied = {str(path.relative_to(together)) for path in folder.rglob("*") if path.is_file()}
    assert copied == {SENT_PATH, "helper.py", "sent_bot.py", "shop/__init__.py", "shop/bots.py"}
    assert sent["env_vars"]["OPENAI_BASE_URL"] == "http://models.example/v1/"
    assert "secret" not in str(sent)
    assert runtime_env(folder).keys() == {"env_vars"}


@pytest.mark.parametrize("is_link", [False, True], ids=["a folder", "a link"])
def test_code_of_several_folders_is_the_same_on_a_machine_that_was_sent_it(is_link, tmp_path, monkeypatch):
    shop, sent, path = tmp_path / "shop", tmp_path / "sent", [*sys.path]
    bots = shop / "versions" if is_link else shop / "bots"
    (bots / "kiosk").mkdir(parents=True)
    if is_link:
        (shop / "bots").symlink_to(bots)
    (bots / "kiosk" / "__init__.py").write_text("")
    (bots / "kiosk" / "menu.py").write_text("import kiosk_words\nWORD = kiosk_words.WORD\n")
    (bots / "kiosk_bot.py").write_text("import kiosk.menu\ndef bot(messages): return kiosk.menu.WORD\n")
    (shop / "kiosk_words.py").write_text("WORD = 'yes'\n")
    (shop / "kiosk_metric.py").write_text("def short(evidence): return 1.0\n")
    with_bot = replace(SPEC, assistants=(ModelSpec(name="py:kiosk_bot:bot"),))

    def seen() -> tuple[dict, str]:
        """What a machine claims, and the code of a metric there."""
        metric = import_named("py:kiosk_metric:short")[1]
        return claims_of(with_bot, "redis://cache.example"), metric

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("kiosk")]:
            del sys.modules[name]

    monkeypatch.chdir(shop)
    monkeypatch.setattr(sys, "path", ["", str(shop / "bots"), *path])
    try:
        command, metric = seen()
        runtime_env(sent)
        forget()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [str(sent), *path])
        find_sent_code()
        node, metric_there = seen()
        assert Path(sys.modules["kiosk_bot"].__file__).is_relative_to(sent / SENT)
    finally:
        forget()
    assert why_unfit(node, command, "redis://cache.example") is None
    assert metric_there == metric


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("redis://:PASSWORD@cache.example:6379/0", "redis://cache.example:6379/0"),
        ("rediss://me:PASSWORD@cache.example/0?ssl_ca_certs=a", "rediss://me@cache.example/0?ssl_ca_certs=a"),
        (
            "redis+sentinel://:PASSWORD@one:1,two:2/s/0?sentinel_password=PASSWORD2&x=1",
            "redis+sentinel://one:1,two:2/s/0?x=1",
        ),
        ("postgresql://me:PASS%40WORD@cache.example/db?password=PASSWORD3", "postgresql://me@cache.example/db"),
        ("redis://cache.example/0", "redis://cache.example/0"),
        ("/a/folder", "/a/folder"),
    ],
)
def test_the_password_of_the_cache_is_not_sent_and_a_node_has_its_own(typed, sent):
    assert sent_address(typed) == sent
    assert "PASS" not in sent
    assert own_address(sent, {"COLLAB_CACHE": typed}) == typed
    assert own_address(sent, {}) == sent
    assert own_address(sent, {"COLLAB_CACHE": "redis://:OTHER@elsewhere.example/0"}) == sent
