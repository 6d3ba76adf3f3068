"""One large JSON array, whole and broken, and text in other encodings."""

import codecs
import gzip
import json
import tracemalloc
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_sdk.errors import InputError
from collab_sdk.logs import read_conversations, read_rows
from collab_sdk.logs.json_values import LARGEST, JsonValues
from collab_sdk.logs.log_rows import CHUNK
from collab_sdk.logs.reader import LONGEST


def chat(text="hello", **row):
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "hi"}], **row}


def read(path):
    """The first messages, and the errors as (where, problem) without the folder."""
    errors = []
    conversations = list(read_conversations([path], on_error=errors.append))
    return [c.messages[0].content for c in conversations], [(Path(e.where).name, e.problem) for e in errors]


@pytest.fixture
def log(tmp_path):
    def write(content: bytes, name: str = "chats.json") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def in_pieces(text: bytes, size: int):
    """A read function that never gives more than `size` bytes."""
    position = 0

    def read(_):
        nonlocal position
        position += size
        return text[position - size : position]

    return read


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


rows = st.dictionaries(st.sampled_from(["id", "x", "text"]), values, max_size=3)
chats_of_messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=9)}), min_size=1
)
blank = st.sampled_from(["", " ", "\n", "\r\n", ",", ",\n", "\n\n", "\x1e"])


@st.composite
def laid_out(draw):
    """A text of values laid in any way, and the rows in it."""
    text, found = "", []
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["row", "rows", "messages", "lists of messages"]))
        if kind == "row":
            value = draw(rows)
            found.append(value)
        elif kind == "messages":
            value = draw(chats_of_messages)
            found.append(value)
        else:
            value = draw(st.lists(rows if kind == "rows" else chats_of_messages, max_size=4))
            found += value
        indent, ascii = draw(st.none() | st.integers(0, 2)), draw(st.booleans())
        text += json.dumps(value, indent=indent, ensure_ascii=ascii) + draw(blank)
    return text.encode("utf-8", "surrogatepass"), found


def found_in(text: bytes, size: int) -> list:
    values = list(JsonValues(in_pieces(text, size)))
    assert not any(value.problem for value in values)
    return [json.loads(value.text.decode("utf-8", "surrogatepass")) for value in values]


@given(laid=laid_out(), size=st.integers(1, 40), marked=st.booleans())
def test_rows_come_out_as_they_went_in_however_they_are_laid_and_cut_into_chunks(laid, size, marked):
    text, expected = laid
    assert found_in(codecs.BOM_UTF8 * marked + text, size) == expected


@given(items=st.lists(rows, min_size=1, max_size=4), data=st.data())
def test_of_an_array_cut_anywhere_the_whole_items_come_out(items, data):
    text = json.dumps(items).encode()
    cut = data.draw(st.integers(1, len(text) - 1))
    *whole, broken = JsonValues(in_pieces(text[:cut], 7))
    assert [json.loads(value.text) for value in whole] == items[: len(whole)]
    assert broken.problem.startswith("the array breaks off")
    assert len(json.dumps(items[: len(whole) + 1])) - 1 > cut or len(whole) == len(items)


@given(
    before=st.lists(st.text(max_size=9), max_size=3),
    after=st.lists(st.text(max_size=9), min_size=1, max_size=3),
    cut=st.integers(1, 60),
    size=st.integers(1, 99),
)
def test_a_line_that_is_cut_off_costs_none_of_those_around_it(before, after, cut, size):
    lines = [*map(chat, before), None, *map(chat, after)]
    text = "\n".join(json.dumps(line) if line else json.dumps(chat("broken"))[:cut] for line in lines)
    found = [value.text for value in JsonValues(in_pieces(text.encode(), size))]
    assert [json.loads(row) for row in found if row in map(str.encode, map(json.dumps, filter(None, lines)))] == [
        line for line in lines if line
    ]


ONE, TWO, THREE = chat("one"), chat("two"), chat("three")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (f"{json.dumps([ONE])}\n{json.dumps([TWO, THREE])}\n", [", item 1", ":2, item 1", ":2, item 2"]),
        (f"{json.dumps([ONE])}{json.dumps([TWO, THREE])}", [", item 1", ":1, item 1", ":1, item 2"]),
        (json.dumps([[ONE, TWO], [THREE]]), [", item 1", ", item 2", ", item 3"]),
        ("".join(json.dumps(row, indent=2) + "\n" for row in (ONE, TWO, THREE)), [":1", ":13", ":25"]),
        (json.dumps(ONE) + json.dumps(TWO) + " " + json.dumps(THREE), [":1", ":1", ":1"]),
        (json.dumps(ONE) + "\n" + json.dumps([TWO, THREE], indent=0), [":1", ":2, item 1", ":2, item 2"]),
        ("\x1e" + "\n\x1e".join(map(json.dumps, (ONE, TWO, THREE))), [":1", ":2", ":3"]),
        ("\n".join(json.dumps(row["messages"]) for row in (ONE, TWO, THREE)), [":1", ":2", ":3"]),
    ],
    ids=["arrays", "joined arrays", "nested", "indented", "on one line", "mixed", "sequence", "messages"],
)
def test_all_that_is_in_a_file_is_read_with_its_place(log, text, places):
    path = log(text.encode())
    assert read(path) == (["one", "two", "three"], [])
    assert [place.removeprefix(str(path)) for place, _ in read_rows(str(path), pytest.fail)] == places


@pytest.mark.parametrize(("key", "indent"), [("conversations", None), ("data", 1)])
def test_a_large_object_around_rows_is_read_with_flat_memory(log, key, indent):
    many = [chat("x" * 5000, id=str(n)) for n in range(3000)]
    page = {"object": "list", "of": {"keys": ["a"]}, key: many, "next": None}
    path = log((json.dumps(page, indent=indent) + json.dumps({key: [chat("last")]})).encode())
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_rows(str(path), pytest.fail)) == 3001
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000 < path.stat().st_size


@pytest.mark.parametrize("beginning", [b"[", b'{"data":['])
@pytest.mark.parametrize("filling", [b" ", b"1,"], ids=["blanks", "numbers"])
def test_an_array_without_rows_is_read_with_flat_memory(beginning, filling):
    left = 4 * LARGEST

    def read_piece(waiting):
        nonlocal left
        size = min(left, max(CHUNK, waiting // 8))
        left -= size
        return filling * (size // len(filling))

    pieces = chain([beginning], iter(lambda: b"", None))
    tracemalloc.start()
    try:
        values = list(JsonValues(lambda waiting: next(pieces) or read_piece(waiting)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [value.problem for value in values] == ["a row of more than 64 MiB, left out"]
    assert left == 0
    assert peak < 3 * LARGEST


@pytest.mark.parametrize("filling", [0, 5_000_000], ids=["small", "large"])
def test_an_object_with_any_number_of_lists_is_looked_through_once(monkeypatch, filling):
    scans = []
    monkeypatch.setattr(JsonValues, "_is_large", lambda self, old=JsonValues._is_large: scans.append(1) or old(self))
    lists = b",".join(b'"data":[%b]' % json.dumps(chat(str(n))).encode() for n in range(3000))
    text = b'{"x":"%b",%b}' % (b"x" * filling, lists)
    values = list(JsonValues(in_pieces(text, CHUNK)))
    assert len(scans) == 1
    assert len(values) == (3000 if filling else 1)


def test_of_a_large_object_the_last_lists_are_read_too(log):
    users = {f"user{n}": {"chats": [chat(f"{n} {m} " + "x" * 5000) for m in range(20)]} for n in range(60)}
    path = log(json.dumps(users).encode())
    assert sum(1 for _ in read_rows(str(path), pytest.fail)) == 1200


def test_rows_rescued_from_an_object_that_breaks_off_have_their_lines():
    text = b'{"foo": [\n' + b"".join(json.dumps(chat(str(n))).encode() + b",\n" for n in range(100_000))
    values = [value for value in JsonValues(in_pieces(text, CHUNK)) if b"messages" in value.text]
    assert [value.place for value in values] == [f":{n + 2}" for n in range(100_000)]


def test_telemetry_in_a_large_object_is_read_in_its_wrapper(log):
    items = [{"resource": {"n": n}, "scopeSpans": [{"spans": [{"name": "x" * 5000}]}]} for n in range(3000)]
    path = log(json.dumps({"resourceSpans": items}).encode())
    found = [json.loads(text) for _, text in read_rows(str(path), pytest.fail)]
    assert found == [{"resourceSpans": [item]} for item in items]


def test_junk_between_values_is_named_with_its_place_and_the_rest_is_read(log):
    one, two, three = map(json.dumps, (ONE, TWO, THREE))
    found, errors = read(log(f"{one} oops {two}\n}}\nand\n[{three}]".encode()))
    assert found == ["one", "two", "three"]
    assert [where for where, _ in errors] == ["chats.json:1", "chats.json:2", "chats.json:3"]


@pytest.mark.parametrize(
    "beginning", ['{"messages": ["', '{"messages": [', '{"a": 1,', '[{"messages": "x\\', '{"a": "b"c"}']
)
def test_behind_a_value_without_an_end_the_next_lines_are_read(log, beginning):
    text = "\n".join([beginning, *map(json.dumps, (ONE, TWO, THREE))])
    found, errors = read(log(text.encode()))
    assert found == ["one", "two", "three"]
    assert errors


def test_what_python_writes_for_no_number_is_nothing(log):
    text = json.dumps({**ONE, "score": float("nan"), "id": float("inf")}).replace("Infinity", "-Infinity")
    [conversation] = read_conversations([log(text.encode())])
    assert conversation.messages[0].content == "one"
    assert conversation.id.startswith("chat-")
    found, errors = read(log(json.dumps(chat(float("nan"))).encode()))
    assert found == []
    assert len(errors) == 1


def test_a_row_that_is_too_large_is_skipped_in_pieces(log):
    long = json.dumps(chat("x" * (LARGEST + 10)))
    deep = '{"messages": ' + "[" * 1_000_000
    whole = f"{json.dumps(ONE)}\n{long}\n{json.dumps(TWO)}\n{deep}\n{json.dumps(THREE)}\n"
    path = log(whole.encode())
    tracemalloc.start()
    try:
        found, errors = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == ["one", "two", "three"]
    assert errors == [
        ("chats.json:2", "a row of more than 64 MiB, left out"),
        ("chats.json:4", "JSON nested too deeply"),
    ]
    assert peak < 4 * LARGEST


@pytest.mark.parametrize("orient", ["columns", "index", "split", "table"])
def test_what_pandas_writes_is_read_row_by_row(log, orient):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame([{"id": "a", **ONE}, {"id": "b", **TWO}])
    assert read(log(table.to_json(orient=orient).encode())) == (["one", "two"], [])


def test_an_array_on_one_line_is_read_with_flat_memory(log):
    rows = 3000
    path = log(json.dumps([chat("x" * 5000, id=str(n)) for n in range(rows)]).encode())
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_conversations([path])) == rows
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 2


@pytest.mark.parametrize("indent", [None, 1])
def test_of_an_array_that_breaks_off_the_whole_chats_are_read_and_the_place_is_said(log, indent):
    text = json.dumps([chat("one"), chat("two"), chat("three")], indent=indent)
    path = log(text[:-30].encode())
    line = path.read_text().count("\n") + 1
    assert read(path) == (
        ["one", "two"],
        [("chats.json", f"the array breaks off in item 3, at line {line}; what is whole is read")],
    )


def test_an_array_without_its_end_says_after_which_item(log):
    path = log(json.dumps([chat("one"), chat("two")])[:-1].encode())
    assert read(path)[1] == [("chats.json", "the array breaks off after item 2, at line 1; what is whole is read")]


def test_a_zipped_array_that_is_cut_short_gives_what_is_whole(log):
    whole = gzip.compress(json.dumps([chat(f"{n} {n * 7919}", id=str(n)) for n in range(3000)]).encode())
    found, errors = read(log(whole[: len(whole) // 2]))
    assert found[:2] == ["0 0", "1 7919"]
    assert [where.startswith("chats.json, item ") for where, _ in errors] == [True]


def test_one_bad_item_does_not_cost_the_others(log):
    text = '[{"messages": NaN}, ' + json.dumps(chat("one")) + ', null, "x", {"a" 1} , ' + json.dumps(chat("two")) + "]"
    found, errors = read(log(text.encode()))
    assert found == ["one", "two"]
    assert [where for where, _ in errors] == [f"chats.json, item {n}" for n in (1, 3, 4, 5)]
    assert errors[0][1] == "the messages must be a list, not null"


def test_an_array_may_begin_with_a_byte_order_mark_and_blank_lines(log):
    path = log(codecs.BOM_UTF8 + b"\r\n \n" + json.dumps([chat("one")]).encode())
    assert read(path) == (["one"], [])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf_16_is_read_with_a_mark_and_without(log, encoding, mark):
    text = json.dumps(chat("eins ✓")) + "\r\n" + json.dumps(chat("zwei"), ensure_ascii=False)
    assert read(log((mark + text).encode(encoding))) == (["eins ✓", "zwei"], [])


def test_utf_16_that_breaks_off_is_an_error_behind_what_is_whole(log):
    found, errors = read(log((json.dumps(ONE) + "\n" + json.dumps(TWO)).encode("utf-16")[:-3]))
    assert found == ["one"]
    assert errors == [("chats.json:2", "cannot be read from here on: not UTF-16-LE text")]


def test_latin_1_in_an_array_costs_only_its_item(log):
    bad = json.dumps(chat("café"), ensure_ascii=False).encode("latin-1")
    found, errors = read(log(b"[" + bad + b"," + json.dumps(chat("two")).encode() + b"]"))
    assert found == ["two"]
    assert errors == [("chats.json, item 1", "not UTF-8 text: byte 0xe9 at column 47")]


@pytest.mark.parametrize("as_array", [True, False], ids=["array", "lines"])
def test_a_message_of_50_mb_is_refused_with_its_place_and_the_rest_is_read(log, as_array):
    rows = [json.dumps(row) for row in (chat("one"), chat("x" * 50_000_000), chat("two"))]
    path = log(("[" + ",".join(rows) + "]" if as_array else "\n".join(rows)).encode())
    found, errors = read(path)
    assert found == ["one", "two"]
    place = "chats.json, item 2" if as_array else "chats.json:2"
    assert errors == [(place, f"message 1 has 50,000,000 characters; at most {LONGEST:,} are read")]


def test_placeholders_are_counted_and_left_in_the_text(log):
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    audio = {"type": "input_audio", "input_audio": {"data": "..."}}
    notes = Counter()
    path = log(json.dumps([chat(parts), chat([*parts, audio])]).encode())
    conversations = list(read_conversations([path], notes=notes))
    assert conversations[0].messages[0].content == "see\n[image]"
    assert notes == {
        "[image] in place of content that is not text": 2,
        "[audio] in place of content that is not text": 1,
    }


def test_a_forced_format_reads_rows_that_look_like_another(log):
    path = log(json.dumps({"chosen": "yes", "rejected": "no", **chat("one")}).encode())
    [pair] = read_conversations([path])
    assert pair.messages[-1].content == "yes"
    [conversation] = read_conversations([path], format="openai")
    assert [message.content for message in conversation.messages] == ["one", "hi"]
    with pytest.raises(InputError, match="the messages must be a list, not null"):
        list(read_conversations([path], format="sharegpt"))
