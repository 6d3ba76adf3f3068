"""The URL of a shared cache: however its password is written, nothing of it is shown."""

import os
import re
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from redis.connection import parse_url
from support.caches import get, key_of, put
from support.cli import collab

from collab_sdk.cache import is_local, open_cache, server_address, shown_place
from collab_sdk.errors import UsageError

BEGINNINGS = ["redis://", "rediss://", "postgresql://", "postgres://", "redis+sentinel://", "REDIS://", "mysql://"]
SLIPS = [
    *("redis:/", "redis:", "redis//:", " redis://", "postgresql:///", "redis+sentinel:/"),
    *("me:", "reddis:/", "redis;//:", "//:"),
]
ENDS = [
    "127.0.0.1:1/0",
    "127.0.0.1:1/0?ssl=no",
    "127.0.0.1:1/0#",
    "",
    "127.0.0.1:x",
    "[::1",
    "127.0.0.1:1,127.0.0.1:2/a",
]
chunks = st.integers(0, 0xFFFF).map("Zq{:04x}".format)
between = st.sampled_from([*"/#?@%:\\[]&=+; \t\n\x1b", "%2F", "%40", "://", "@@", "é", "//", "%zz", "’", "?a=b@"])


@st.composite
def wild_urls(draw) -> tuple[str, list[str]]:
    """A URL with a user and password that any parser may cut in another place, and the pieces of them."""
    pieces = draw(st.lists(chunks, min_size=1, max_size=5))
    credentials = pieces[0] + "".join(draw(between) + piece for piece in pieces[1:])
    begin = draw(st.sampled_from([*BEGINNINGS, *SLIPS]))
    return begin + draw(st.sampled_from(["", ":", "me:"])) + credentials + "@" + draw(st.sampled_from(ENDS)), pieces


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("COLLAB_CACHE_HMAC_KEY", "k" * 40)


@pytest.mark.usefixtures("key")
@settings(max_examples=60)
@given(wild_urls(), st.sampled_from(["stats", "from", "to", "variable"]))
def test_no_piece_of_a_password_is_on_the_terminal(tmp_path_factory, wild, way):
    url, pieces = wild
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.getbasetemp())
        if way == "variable":
            patched.setenv("COLLAB_CACHE", url)
            patched.delenv("COLLAB_CACHE_DIR")
        commands = {
            "stats": ["cache", "stats", "--cache", url],
            "from": ["cache", "copy", url, "copied"],
            "to": ["cache", "copy", ".", url],
            "variable": ["cache", "clear", "--yes"],
        }
        result = collab(*commands[way])
        left = os.listdir(".")
    assert result.exit_code == 1
    assert not [piece for piece in pieces if piece in result.output + result.stderr + repr(left)]
    assert "Traceback" not in result.output
    assert "Internal error" not in result.output


@settings(max_examples=60)
@given(
    wild_urls().filter(lambda wild: wild[0].startswith(tuple(BEGINNINGS))),
    st.sampled_from([(), ("cache",), ("cache", "stats"), ("cache", "copy", "a", "b"), ("cache", "prune")]),
)
def test_no_piece_of_a_password_is_shown_where_an_address_does_not_belong(wild, words):
    """As where --cache was forgotten."""
    url, pieces = wild
    result = collab(*words, url)
    assert result.exit_code == 2
    assert not [piece for piece in pieces if piece in result.output + result.stderr]


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("typed", ["host=h user=me password=TOPSECRET dbname=d", "password='TOP SECRET' service=s"])
def test_the_keywords_of_postgresqls_client_become_no_directory(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (["cache", "stats", "--cache", typed], ["cache", "copy", ".", typed], ["doctor", "--cache", typed]):
        result = collab(*command)
        assert "write it like postgresql://USER@HOST:5432/DATABASE" in result.output + result.stderr
        assert "SECRET" not in result.output + result.stderr
    assert not [name for name in os.listdir(".") if "password" in name]


def test_a_file_that_is_an_address_is_named_without_its_password(tmp_path):
    result = collab("score", "redis://:TOPSECRET@127.0.0.1:1/0", "--model", "offline", "--cache", tmp_path)
    assert "redis://[secret]@127.0.0.1:1/0: cannot be read" in result.stderr
    assert "TOPSECRET" not in result.output + result.stderr


@given(wild_urls())
def test_an_address_is_taken_only_where_all_parsers_agree_on_it(wild):
    url, pieces = wild
    try:
        address = server_address(url, {})
    except UsageError as error:
        assert not [piece for piece in pieces if piece in str(error)]
        return
    assert url.count("@") == 1
    scheme, _, rest = url.partition("://")
    credentials = rest.partition("@")[0]
    assert not set("/?#\\[] ") & set(credentials)
    passwords = {unquote(urlsplit(url).password or "")}
    if scheme.lower().startswith("postgres"):
        passwords.add(conninfo_to_dict(url).get("password") or "")
    elif scheme.lower().startswith("redis"):
        with suppress(ValueError):  # of several hosts, which only Sentinels may be
            passwords.add(parse_url(f"redis://{rest}").get("password") or "")
    assert len(passwords) == 1
    assert not [piece for piece in pieces if piece in address.shown + repr(address)]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:TOP/SECRET@127.0.0.1:1/0",
        "redis://:TOP#SECRET@127.0.0.1:1/0",
        "postgresql://collab:TOP@SECRET@127.0.0.1:1/cache",
    ],
)
@pytest.mark.usefixtures("key")
def test_a_password_that_must_be_encoded_is_said_so(url):
    line = collab("cache", "stats", "--cache", url).stderr
    assert "TOP" not in line
    assert "SECRET" not in line
    assert "percent-encode what is neither letter nor digit (/ is %2F, # is %23, @ is %40)" in line
    assert "COLLAB_CACHE_PASSWORD_FILE" in line


def test_a_cache_is_named_without_its_password(tmp_path):
    assert shown_place("redis://:hidden%2F@h:1/0") == "redis://h:1/0"
    assert shown_place(str(tmp_path)) == str(tmp_path)


def test_a_password_in_a_query_is_kept_out_of_what_clients_say_however_its_name_is_written():
    address = server_address("postgresql://h/d?pass%77ord=s3cret%2Fword&application_name=mine", {})
    said = address.said(ValueError("s3cret%2Fword is s3cret/word, for mine"))
    assert said == "[secret] is [secret], for mine"
    assert "s3cret" not in address.shown


def test_the_password_may_be_in_a_file(tmp_path):
    file = tmp_path / "password"
    file.write_text("s3cret/pass:word\n")
    environ = {"COLLAB_CACHE_PASSWORD_FILE": str(file)}
    for url, read in (
        ("redis://h:1/0", "redis://:s3cret%2Fpass%3Aword@h:1/0"),
        ("postgresql://me@h/d?sslmode=require", "postgresql://me:s3cret%2Fpass%3Aword@h/d?sslmode=require"),
        ("redis://:own@h:1/0", "redis://:own@h:1/0"),
        ("redis://me:@h:1/0", "redis://me:s3cret%2Fpass%3Aword@h:1/0"),
    ):
        address = server_address(url, environ)
        assert address.url == read
        assert "s3cret" not in address.shown + repr(address)
    file.write_text("\n")
    with pytest.raises(UsageError, match=r"COLLAB_CACHE_PASSWORD_FILE names .*, which holds no password"):
        server_address("redis://h", environ)
    file.unlink()
    with pytest.raises(UsageError, match=r"COLLAB_CACHE_PASSWORD_FILE names .*, which cannot be read: No such file"):
        server_address("redis://h", environ)


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("url", ["redis://h/cache", "redis://h/1/2", "redis+sentinel://h/main/cache"])
def test_a_database_of_redis_that_is_no_number_is_refused(url):
    with pytest.raises(UsageError, match=r"The database in .* is not a number"):
        open_cache(url)


def test_an_address_with_control_characters_is_refused():
    for url in ("redis://h/0\x1b[2J", "postgresql://h/d?options=\x00"):
        with pytest.raises(UsageError, match="cannot be read"):
            server_address(url, {})


@pytest.mark.server
@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_a_cache_is_opened_with_the_password_of_a_file(kind, request, tmp_path, monkeypatch, key):
    server = request.getfixturevalue(f"{kind}_server")
    url = server.url if kind == "redis" else server.url_of(server.new_database())
    if kind == "redis":
        with server.client() as client:
            client.flushall()
    (tmp_path / "password").write_text("s3cret/pass:word")
    monkeypatch.setenv("COLLAB_CACHE_PASSWORD_FILE", str(tmp_path / "password"))
    cache = open_cache(re.sub(r":[^:/]*@", "@", url))
    assert put(cache, key_of("k"), "1") == get(cache, key_of("k")) == "1"
    cache.close()


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("", True),
        ("localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("/run/postgresql", True),
        ("10.0.0.1", False),
        ("cache.example", False),
    ],
)
def test_what_is_sent_to_this_machine_stays_here(host, local):
    assert is_local(host) is local
