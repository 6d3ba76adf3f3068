"""Nothing reaches queue or disk that the redactor has not seen; the built-in one knows its patterns, and no more."""

import json
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.calls import assistant, call, user
from support.kept import Kept

from collab_sdk.errors import MissingExtraError
from collab_sdk.harvest import Recorder, presidio_redactor, redact_patterns
from collab_sdk.logs import ConversationStore

FOUND = {
    "write to Ann.O'Hara+shop@mail.example.co.uk, please": "write to [email], please",
    "jürgen@bücher.example": "[email]",
    "call +49 (170) 123-4567 or 0049 170 1234567": "call [phone] or [phone]",
    "(415) 555-2671, 415-555-2671, 4155552671, 1 415 555 2671": "[phone], [phone], [phone], [phone]",
    "020 7946 0958 / 06 12 34 56 78": "[phone] / [phone]",
    "card 4111 1111 1111 1111 exp 12/27": "card [card] exp 12/27",
    "4111-1111-1111-1111 5500000000000004 378282246310005": "[card] [card] [card]",
    "order 1234 4111 1111 1111 1111": "order 1234 [card]",
    "from 192.168.0.1:8080 and 2001:db8::ff00:42:8329 and ::1.": "from [ip]:8080 and [ip] and [ip].",
    "sk-proj-abcdefghij0123456789 ghp_abcdefghijklmnopqrst0123456789": "[key] [key]",
    "AKIAIOSFODNN7EXAMPLE AIzaSyA1234567890abcdefghijklmnopqrstu": "[key] [key]",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN": "[key]",
    'password: hunter2hunter, "api_key": "abcd1234efgh"': 'password: [key], "api_key": "[key]"',
    "Authorization: Bearer abcdef1234567890": "Authorization: Bearer [key]",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE1\n-----END RSA PRIVATE KEY-----": "[key]",
    # As people type, paste and dictate it.
    "415\u00a0555\u00a02671, 415\u2011555\u20112671, 415\u2013555\u20132671": "[phone], [phone], [phone]",
    "+49\u202f170\u202f1234567, 415\u00b7555\u00b72671, 415\u2212555\u22122671": "[phone], [phone], [phone]",
    "\uff14\uff11\uff15\u3000\uff15\uff15\uff15\u3000\uff12\uff16\uff17\uff11": "[phone]",
    "\u0664\u0661\u0665-\u0665\u0665\u0665-\u0662\u0666\u0667\u0661": "[phone]",
    "\u096a\u0967\u096b \u096b\u096b\u096b \u0968\u096c\u096d\u0967": "[phone]",
    "4\ufe0f\u20e31\ufe0f\u20e35\ufe0f\u20e3 555 2671!": "[phone]!",
    "(11) 91234-5678, 138 1234 5678, +44 (0)20 7946 0958": "[phone], [phone], [phone]",
    "4111\u00a01111\u00a01111\u00a01111 4111.1111.1111.1111": "[card] [card]",
    "4111  1111  1111  1111, 4111\n1111\r\n1111\n1111": "[card], [card]",
    "ann@example\uff0ecom, ann@\u200bexample.com, a\u00adnn\uff20exam\u2060ple.com": "[email], [email], [email]",
    "e\u0301ric@example.com ann@xn--e1afmkfd.xn--p1ai": "[email] [email]",
    "DE89 3704 0044 0532 0130 00 und FR1420041010050500013M02606": "[iban] und [iban]",
    "password: correct-horse-battery": "password: [key]",
    "pwd: abc123, my password is Tr0ub4dor&3.": "pwd: [key], my password is [key].",
    'Password: "correct horse battery" **passcode:** 90210x': 'Password: "[key]" **passcode:** [key]',
    "passphrase: correct horse battery staple": "passphrase: [key]",
    "Passwort: Geheimnis!, contrase\u00f1a: perro-gato-raton": "Passwort: [key], contrase\u00f1a: [key]",
    "\u30d1\u30b9\u30ef\u30fc\u30c9\uff1ahunter22": "\u30d1\u30b9\u30ef\u30fc\u30c9\uff1a[key]",
    "DB_PASSWORD=swordfish\ndbPassword=hunter2hunter": "DB_PASSWORD=[key]\ndbPassword=[key]",
    "Server=db;Password=S3cret;User=app": "Server=db;Password=[key];User=app",
    "AccountKey=ab1/ab+abc==;EndpointSuffix=x": "AccountKey=[key];EndpointSuffix=x",
    "Authorization: Basic dXNlcjpwYXNz": "Authorization: Basic [key]",
    "postgresql://app:S3cretPass@db:5432/x": "postgresql://[key]@db:5432/x",
    "redis://:hunter2@cache:6379/0 mongodb+srv://u:p%40ss@c0.example.net/?a=b": (
        "redis://[key]@cache:6379/0 mongodb+srv://[key]@c0.example.net/?a=b"
    ),
    "amqp://guest:guest@mq https://ann:p@ss@example.com/x?y=1": "amqp://[key]@mq https://[key]@example.com/x?y=1",
    "app:S3cretPass@tcp(db:3306)/x": "[key]@tcp(db:3306)/x",
    "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXX": "[key]",
    "whsec_abcdefghijklmnop1234 ya29.a0AfH6SMBx-abcdefghij": "[key] [key]",
    "bot 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1": "bot [key]",
    "Cookie: session=abcdef01; theme=dark\nPIN: 4711, my pw is hunter2": "Cookie: [key]\nPIN: [key], my pw is [key]",
    "AKIAIOSFODNN7\nEXAMPLE": "[key]",
    "ghp_abcdefghijklmnopq\r\n  rst0123456789\nthanks": "[key]\nthanks",
    "jwt: eyJhbGciOiJIUzI1NiJ9.eyJzdWIi\nOiIxMjM0In0.dozjgNryP4J3jVmN": "jwt: [key]",
    "my key: sk-proj-abcdefgh\nij0123456789xyz": "my key: [key]",
    "sk-pr\u200boj-abcdefgh\u20110123456789": "[key]",
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE-\n-----END RSA PRIVATE KEY-----": "[key]",
}
LEFT = (
    "on 2024-01-15 10:30:45, 01.02.2024 10:30, 05/06/2024",
    "order 12345678, $1,234,567.89, 3.14159265358979, version 1.2.3, room 4.12",
    "card 4111 1111 1111 1112 is none; std::vector, 10:30:45, a::b, 16:9:4",
    "the password is wrong, the token: unknown; sk-ip this; 3 @ 5 each",
    "550e8400-e29b-41d4-a716-446655440000 and 1700000000",
    "dlg-ae048177-5583-4ae2-9177-9e24 2018 2019 2020 2021, pages 2019\u20132020, 1\u202f234\u202f567\u00a0\u20ac",
    "password: required; password: case-sensitive here; Password: must be long; my password is up-to-date.",
    "password=os.environ['DB_PASSWORD'], password: str = Field(), password=password, pwd: ${PWD}, Password: ********",
    "secret: unknown, tokens: 12, api_key=settings.api_key, the key-value-store-implementation, passing test1234",
    "http://localhost:8080/a@b https://example.com:443/x at 10:30 @ home caf\u00e9 \u2460 \u2014 \ufb01ne\u200b",
)
HOSTILE = (
    "a",
    "1",
    "1 ",
    "4111 ",
    "@",
    "a@a.",
    "eyJ-1",
    "1:",
    ":",
    "(",
    "0",
    "+1 ",
    "a.",
    "-----BEGIN PRIVATE KEY-----1",
)
HOSTILE += ("password: ", "pass=a-", "AE00", "a://b:c", "a:bcdefg@", "sk-abcd\n", "-----BEGIN PRIVATE KEY-----\n-A")
HOSTILE += ("\u200b1", "\uff11\u3000", "\u00e9@", "token=1", "secret: ", "1.", "٣", "0a:", "xoxb-")


@pytest.mark.parametrize(("text", "redacted"), FOUND.items())
def test_what_looks_private_is_replaced_by_its_kind(text, redacted):
    assert redact_patterns(text) == redacted


@pytest.mark.parametrize("text", LEFT)
def test_what_does_not_stays(text):
    assert redact_patterns(text) == text


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_no_more_time_than_its_length_asks_for(unit):
    redact_patterns(unit * (300_000 // len(unit)) + "@1")  # were it quadratic, this would take hours


CHARACTERS = st.text(st.sampled_from("0123456789abcdef:.@+-() \n{}\"'skeyJ=٣é\u200b\u00a0\u2013\uff11\u0301"))


@given(st.lists(CHARACTERS | st.sampled_from(sorted(FOUND))).map(" ".join))
def test_redacted_text_is_left_as_it_is(text):
    once = redact_patterns(text)
    assert redact_patterns(once) == once


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=9), st.sampled_from(sorted(FOUND)))
def test_what_is_not_replaced_stays_byte_for_byte(around, private):
    """Whatever stands around it, and however that would be normalized."""
    text = f"{''.join(around[::2])} \n | {private} | \n {''.join(around[1::2])}"
    parts = re.split(r"\[(?:card|email|iban|ip|key|phone)\]", redact_patterns(text))
    place = 0
    for part in parts:
        place = text.index(part, place) + len(part)
    assert text.startswith(parts[0])
    assert text.endswith(parts[-1])


# In a recorder.


def recorded(*calls: Any, **options: Any) -> tuple[list[Any], Recorder]:
    store = Kept()
    recorder = Recorder(store, **options)
    for one in calls:
        recorder.record(one)
    assert recorder.flush(10)
    return store, recorder


SECRET = "ann@example.com"


def test_no_part_of_a_call_escapes_the_redactor(tmp_path):
    arguments = json.dumps({"to": SECRET, "list": [SECRET, 1, None, True], SECRET: {"é": "x"}})
    tool_call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": arguments}}
    everywhere = call(
        "1",
        user(f"I am {SECRET}"),
        {"role": "user", "content": [{"type": "text", "text": SECRET}, {"type": "odd", "deep": [{"er": SECRET}]}]},
        {"role": "tool", "tool_call_id": "c1", "name": SECRET, "content": SECRET},
        {"role": "user", "content": [{"type": "odd", "keys": {SECRET: 1}}]},
        assistant("", tool_calls=[{"id": "c2", "function": {"name": "send", "arguments": {"id": SECRET}}}]),
        replies=[assistant("", tool_calls=[tool_call])],
        error=f"ValueError: {SECRET}",
        parameters={"stop": [SECRET]},
        tools=({"type": "function", "function": {"name": "send", "description": SECRET}},),
        metadata={"node": SECRET, "id": SECRET, SECRET: 1, "deep": {"type": SECRET}},
        conversation_id=SECRET,
        user=SECRET,
    )
    recorder = Recorder(tmp_path / "chats.db", redact=redact_patterns, salt="pepper")
    recorder.record(everywhere)
    recorder.close()
    assert recorder.stats().recorded == 1
    with ConversationStore(tmp_path / "chats.db") as store:
        [conversation] = store.conversations()
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SECRET.encode() not in on_disk
    assert b"[email]" in on_disk
    assert len(conversation.id) == 32  # salted: it may be a person's address


def test_only_what_holds_messages_together_is_exempt_and_only_at_its_own_level():
    deep = {"id": SECRET, "type": SECRET, "role": SECRET, "call_id": SECRET, "tool_call_id": SECRET}
    made = {"id": "c-4155552671", "type": "function", "function": {"name": "f", "arguments": deep, "id": SECRET}}
    part = {"type": "tool_use", "id": SECRET, "tool_use_id": SECRET, "input": deep}
    messages = (
        {"role": "user", "id": "m-4155552671", "content": [part, {"type": SECRET, "text": "x"}]},
        {"role": "tool", "tool_call_id": "c-4155552671", "content": json.dumps(deep)},
    )
    one = call(
        f"run of {SECRET}",
        *messages,
        replies=[assistant("", tool_calls=[made], extra=deep)],
        tools=({"type": "function", "function": {"name": "f", "parameters": deep}},),
        parameters={"metadata": deep},
        model=f"model-of-{SECRET}",
        source=SECRET,
        response_id=SECRET,
        shown=messages,
    )
    [kept], _ = recorded(one, redact=redact_patterns)
    assert SECRET not in repr(kept)
    assert (kept.messages[0]["role"], kept.messages[0]["id"]) == ("user", "m-4155552671")
    assert kept.messages[0]["content"][0]["type"] == "tool_use"
    assert kept.messages[1]["tool_call_id"] == kept.replies[0]["tool_calls"][0]["id"] == "c-4155552671"
    assert kept.tools[0]["type"] == "function"


def test_a_password_in_a_mapping_shows_only_beside_its_name():
    made = {"id": "c", "function": {"name": "f", "arguments": {"password": "correct-horse-battery", "user": "ann"}}}
    [kept], _ = recorded(call("1", replies=[assistant("", tool_calls=[made])]), redact=redact_patterns)
    assert kept.replies[0]["tool_calls"][0]["function"]["arguments"] == {"password": "[key]", "user": "ann"}


def test_json_stays_json_and_messages_keep_what_holds_them_together():
    arguments = '{"phone": 4155552671, "name": "Zoë", "n": 2}'
    call_ = {"id": "4155552671", "type": "function", "function": {"name": "f", "arguments": arguments}}
    history = (assistant("", tool_calls=[call_]), {"role": "tool", "tool_call_id": "4155552671", "content": "ok"})
    [one], _ = recorded(call("1", *history, replies=[assistant('{"tel": "0170 1234567"}')]), redact=redact_patterns)
    [kept] = one.messages[0]["tool_calls"]
    assert json.loads(kept["function"]["arguments"]) == {"phone": "[phone]", "name": "Zoë", "n": 2}
    assert kept["id"] == one.messages[1]["tool_call_id"] == "4155552671"
    assert json.loads(one.replies[0]["content"]) == {"tel": "[phone]"}


@pytest.mark.parametrize(
    "value, kept",
    [
        ({"password": "hunter22222"}, {"password": "[key]"}),  # it shows only beside its name
        ({"password": "hunter22222", "tel": 4155552671}, {"password": "[key]", "tel": "[phone]"}),
        ({"text": "call me\n415-555-2671"}, {"text": "call me\n[phone]"}),
        ({"text": json.dumps({"text": "from\n10.1.2.3"})}, {"text": json.dumps({"text": "from\n[ip]"})}),
    ],
)
def test_neither_names_nor_escapes_hide_anything_in_json(value, kept):
    one = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": json.dumps(value)}}
    [recorded_call], _ = recorded(call("1", replies=[assistant("", tool_calls=[one])]), redact=redact_patterns)
    assert json.loads(recorded_call.replies[0]["tool_calls"][0]["function"]["arguments"]) == kept


def test_a_letter_written_as_an_escape_is_redacted_all_the_same():
    one, _ = recorded(call("1", user('{"to": "ann\\u0040example.com"}'), replies=[]), redact=redact_patterns)
    assert one[0].messages[0]["content"] == '{"to": "[email]"}'


def test_a_redactor_that_fails_within_json_leaves_nothing_of_it():
    def redact(text: str) -> str:
        if text == "Zoë":
            raise ValueError
        return text

    one, recorder = recorded(call("1", user('{"name": "Zo\\u00eb"}'), replies=[]), redact=redact)
    assert one[0].messages[0]["content"] == "[redaction failed]"
    assert recorder.stats().redaction_failures == 1


def test_a_text_that_would_hold_up_the_app_for_seconds_is_referenced_and_not_redacted():
    seen: list[str] = []
    one, _ = recorded(call("1", user("x" * 2_000_000), replies=[]), redact=lambda text: seen.append(text) or text)
    assert one[0].messages[0]["content"].startswith("[text, 2000000 bytes, sha256 ")
    assert seen == ["1"], "the id of the run alone"


def broken(text: str) -> Any:
    raise SystemExit("a redactor that thinks it is a program")


@pytest.mark.parametrize("redact", [broken, lambda text: None, lambda text: 1 / 0], ids=["exit", "none", "error"])
def test_a_redactor_that_fails_leaves_a_placeholder(redact):
    [one], recorder = recorded(call("1", user("secret"), replies=[assistant("too")]), redact=redact)
    assert one.messages == ({"role": "user", "content": "[redaction failed]"},)
    assert one.replies == ({"role": "assistant", "content": "[redaction failed]"},)
    assert recorder.stats().redaction_failures == 3, "and the id of the run"


def test_of_a_growing_history_only_the_new_messages_are_redacted():
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text.upper()

    history = [user(f"message {number}") for number in range(10)]
    calls = [call(str(n), *history[:n], replies=[assistant(f"reply {n}")]) for n in range(1, 11)]
    found, _ = recorded(*calls, redact=redact)
    assert sorted(text for text in seen if not text.isdigit()) == sorted(
        {*(m["content"] for m in history), *(f"reply {n}" for n in range(1, 11))}
    )
    assert [m["content"] for m in found[-1].messages] == [f"MESSAGE {number}" for number in range(10)]


def test_an_id_that_gives_nobody_away_is_kept():
    [one], _ = recorded(call("1", user("x"), replies=[], conversation_id="chat-7"), redact=redact_patterns)
    assert one.conversation_id == "chat-7"


def test_media_is_referenced_and_not_stored():
    picture, sound = "data:image/png;base64," + "iVBORw0KGgo" * 500, "UklGR" * 500
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
    ]
    [one], _ = recorded(call("1", {"role": "user", "content": parts}, replies=[]))
    _, image, link, audio = one.messages[0]["content"]
    assert image["image_url"]["url"].startswith("[image/png, 5522 bytes, sha256 ")
    assert link == parts[2]
    assert audio["input_audio"]["data"].startswith("[base64, 2500 bytes, sha256 ")
    assert "iVBOR" not in str(one)


def test_what_json_cannot_say_is_replaced():
    endless: list[Any] = []
    endless.append(endless)
    odd = {"role": "user", "content": "a\ud800", "x": float("nan"), "y": b"raw", "z": {1}, "o": object, "e": endless}
    [one], _ = recorded(call("1", odd, replies=[]))
    json.dumps(one.messages, allow_nan=False).encode()
    assert one.messages[0]["content"] == "a?"


# Presidio.


class Analyzer:
    def analyze(self, *, text: str, **options: Any) -> list[Any]:
        assert options == {"language": "en", "entities": ["PERSON"], "score_threshold": 0.5}
        spans = [(13, 18, "LOCATION"), (0, 3, "PERSON"), (1, 3, "NAME")]
        return [SimpleNamespace(start=start, end=end, entity_type=kind) for start, end, kind in spans]


def test_what_presidio_finds_is_replaced_by_its_kind():
    redact = presidio_redactor(analyzer=Analyzer(), entities=["PERSON"])
    assert redact("Ann lives in Paris now") == "[person] lives in [location] now"


def test_without_presidio_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(MissingExtraError, match=r"collab-sdk\[presidio\]"):
        presidio_redactor()
