"""One large JSON array, whole and broken, and text in other encodings."""

import codecs
import gzip
import json
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_sdk.errors import InputError
from collab_sdk.logs import read_conversations
from collab_sdk.logs.json_array import BrokenArrayError, array_items
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


@given(
    items=st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), max_size=6),
    size=st.integers(1, 40),
    indent=st.none() | st.integers(0, 2),
    ascii=st.booleans(),
)
def test_items_come_out_as_they_went_in_however_the_file_is_cut_into_chunks(items, size, indent, ascii):
    text = json.dumps(items, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    found = [json.loads(item.decode("utf-8", "surrogatepass")) for item in array_items(in_pieces(text, size))]
    assert found == items


@given(items=st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), min_size=1, max_size=4), data=st.data())
def test_of_an_array_cut_anywhere_the_whole_items_come_out(items, data):
    text = json.dumps(items).encode()
    cut = data.draw(st.integers(1, len(text) - 1))
    found = []
    with pytest.raises(BrokenArrayError):
        found.extend(json.loads(item) for item in array_items(in_pieces(text[:cut], 7)))
    assert found == items[: len(found)]
    assert len(json.dumps(items[: len(found) + 1])) - 1 > cut or len(found) == len(items)


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
    assert [where for where, _ in errors] == [f"chats.json, item {n}" for n in (1, 3, 4)]
    assert errors[0][1] == "not JSON: NaN is not a JSON number"


def test_an_array_may_begin_with_a_byte_order_mark_and_blank_lines(log):
    path = log(codecs.BOM_UTF8 + b"\r\n \n" + json.dumps([chat("one")]).encode())
    assert read(path) == (["one"], [])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named_with_the_way_out(log, encoding):
    mark = "" if encoding == "utf-16" else "\ufeff"
    path = log((mark + json.dumps(chat())).encode(encoding))
    assert read(path) == ([], [("chats.json", "UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)")])


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
        "[image] in place of content that is no text": 2,
        "[audio] in place of content that is no text": 1,
    }


def test_a_forced_format_reads_rows_that_look_like_another(log):
    path = log(json.dumps({"chosen": "yes", "rejected": "no", **chat("one")}).encode())
    assert read(path)[0] == []
    [conversation] = read_conversations([path], format="openai")
    assert conversation.messages[0].content == "one"
    with pytest.raises(InputError, match="the messages must be a list, not NoneType"):
        list(read_conversations([path], format="sharegpt"))
