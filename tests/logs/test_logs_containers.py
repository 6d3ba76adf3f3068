"""Logs that are packed or are tables: compressed, archives, CSV, Parquet and the folders of Hugging Face's datasets."""

import bz2
import csv
import gzip
import io
import json
import lzma
import sqlite3
import sys
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collab_sdk.logs import ConversationStore, read_conversations, read_rows
from collab_sdk.logs.compressed import CHUNK, FREE, _Streams
from collab_sdk.messages import Message
from collab_sdk.types import Conversation


def chat(text="hello", **row):
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "hi"}], **row}


def lines(*texts: str) -> bytes:
    return b"".join(json.dumps(chat(text)).encode() + b"\n" for text in texts)


def read(path, notes=None):
    """The first messages, and the errors as (where, problem) without the folder."""
    errors = []
    conversations = list(
        read_conversations([path], on_error=errors.append, notes=Counter() if notes is None else notes)
    )
    folder = str(Path(path).parent) + "/"
    return [c.messages[0].content for c in conversations], [
        (error.where.removeprefix(folder), error.problem) for error in errors
    ]


def rows_of(path) -> list:
    return [json.loads(text) for _, text in read_rows(str(path), pytest.fail)]


@pytest.fixture
def log(tmp_path):
    def write(content: bytes, name: str = "log") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tarred(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def zstandard(content: bytes) -> bytes:
    return pytest.importorskip("zstandard").compress(content)


COMPRESSED = [gzip.compress, bz2.compress, lzma.compress, zstandard]
compressors = pytest.mark.parametrize("compress", COMPRESSED, ids=["gzip", "bzip2", "xz", "zstandard"])


# Compressed


@compressors
def test_a_compressed_log_is_read_also_of_several_streams(log, compress):
    assert read(log(compress(lines("one", "two")) + compress(lines("three")))) == (["one", "two", "three"], [])


@compressors
def test_of_one_that_is_cut_off_what_is_whole_is_read(log, compress):
    whole = compress(b"".join(lines(f"{n} {n * 7919}") for n in range(20_000)))
    found, errors = read(log(whole[: len(whole) * 3 // 4]))
    assert found[:2] == ["0 0", "1 7919"]
    [(where, problem)] = errors
    assert where == f"log:{len(found) + 1}"
    assert problem.startswith("cannot be read from here on: ")


def test_what_a_little_zstandard_expands_to_is_copied_once():
    copied = 0

    class Counted(bytes):
        def __getitem__(self, place):
            nonlocal copied
            piece = super().__getitem__(place)
            copied += len(piece)
            return Counted(piece)

    class Whole:
        eof, needs_input, unused_data = False, True, b""

        def decompress(self, data, size):
            return Counted(1 << 25)

    streams = _Streams(io.BytesIO(b"x"), Whole)
    assert sum(len(streams.read(CHUNK)) for _ in range((1 << 25) // CHUNK)) == copied == 1 << 25


@compressors
def test_what_is_behind_the_compressed_data_is_an_error_and_costs_nothing(log, compress):
    found, errors = read(log(compress(lines("one", "two")) + b"no stream"))
    assert found == ["one", "two"]
    assert len(errors) == 1


def test_without_a_package_for_zstandard_the_way_out_is_named(log, monkeypatch):
    path = log(zstandard(lines("one")))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert read(path) == (
        [],
        [("log", "compressed with Zstandard; pip install zstandard, or decompress it first (zstd -d)")],
    )


def test_pyarrow_reads_zstandard_too(log, monkeypatch):
    pytest.importorskip("pyarrow")
    path = log(zstandard(lines("one")) + zstandard(lines("two")))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert read(path) == (["one", "two"], [])


@pytest.mark.parametrize(
    ("beginning", "what"), [(b"7z\xbc\xaf'\x1c", "7z"), (b"Rar!\x1a\x07", "RAR"), (b"\x04\x22\x4d\x18", "lz4")]
)
def test_what_cannot_be_unpacked_here_is_named(log, beginning, what):
    found, [(where, problem)] = read(log(beginning + bytes(100)))
    assert (found, where) == ([], "log")
    assert what in problem


@pytest.mark.slow
@pytest.mark.parametrize("text", [b" ", b"[", b'{"a":'], ids=["blanks", "brackets", "objects"])
def test_what_expands_to_more_than_any_log_is_given_up_with_flat_memory(log, text):
    compressor = lzma.LZMACompressor(preset=0)
    piece = text * (1_000_000 // len(text))
    packed = b"".join(compressor.compress(piece) for _ in range(FREE // len(piece) + 40)) + compressor.flush()
    path = log(packed)
    tracemalloc.start()
    try:
        found, errors = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == []
    assert errors[-1][1] == "cannot be read from here on: it expands to more than 1,000 times its size"
    assert peak < FREE


# Archives


@pytest.mark.parametrize("pack", [zipped, tarred, lambda **files: gzip.compress(tarred(**files))])
def test_the_files_of_an_archive_are_read_with_their_names(log, pack):
    files = {
        "export/a.jsonl": lines("one") + b"oops\n",
        "export/b.json": json.dumps([chat("two")]).encode(),
        "export/c.jsonl.gz": gzip.compress(lines("three")),
        "export/chat.html": b"<html></html>",
        "export/image.png": b"\x89PNG\r\n\x1a\n" + bytes(20),
        "__MACOSX/._a.jsonl": bytes(20),
        "export/.hidden": b"oops",
    }
    notes = Counter()
    found, errors = read(log(pack(**files)), notes)
    assert found == ["one", "two", "three"]
    assert errors == [("log/export/a.jsonl:2", "not JSON: Expecting value at column 1")]
    assert notes == {"files beside the chats, in which there are none: chat.html, image.png": 2}


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["../a.jsonl", "/etc/a.jsonl", "x/../../a.jsonl", "C:\\a.jsonl", "..\\a.jsonl"])
def test_a_path_that_leads_out_of_an_archive_is_named_and_its_file_left_out(log, tmp_path, pack, name):
    found, errors = read(log(pack(**{name: lines("outside"), "b.jsonl": lines("one")})))
    assert found == ["one"]
    assert errors == [(f"log/{name}", "its path leads out of the archive; left out")]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_letters_that_a_terminal_acts_on_are_not_in_the_name_of_a_place(log):
    _, [(where, _)] = read(log(zipped(**{"a\x1b[31m\n.jsonl": b'{"messages": 1}'})))
    assert where == "log/a?[31m?.jsonl:1"


def test_links_and_devices_in_an_archive_are_not_followed(log, tmp_path):
    (tmp_path / "secret.jsonl").write_bytes(lines("secret"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("a.jsonl")
            info.type, info.linkname = kind, str(tmp_path / "secret.jsonl")
            archive.addfile(info)
    assert read(log(packed.getvalue()))[0] == []


def test_an_encrypted_archive_is_one_error(log):
    packed = bytearray(zipped(**{"a.jsonl": lines("one"), "b.jsonl": lines("two")}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := packed.find(mark, at + 1)) >= 0:
            packed[at + place] |= 1
    assert read(log(bytes(packed))) == ([], [("log", "an encrypted archive; unpack it with its password first")])


def test_a_damaged_file_of_an_archive_costs_the_others_nothing(log):
    packed = bytearray(zipped(**{"a.jsonl": lines("one"), "b.jsonl": lines("two")}))
    packed[packed.find(b"PK\x03\x04") + 45] ^= 0xFF
    found, errors = read(log(bytes(packed)))
    assert "two" in found
    assert errors


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_half_an_archive_is_an_error(log, pack):
    packed = pack(**{f"{n}.jsonl": lines(str(n)) for n in range(9)})
    assert read(log(packed[: len(packed) // 2 + 99]))[1]


def test_an_empty_archive_holds_no_chats(log):
    assert read(log(zipped())) == ([], [("log", "not a chat log: an empty archive")])


def test_a_header_that_would_fill_the_memory_is_an_error(log):
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    _, [(_, problem)] = read(log(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)))
    assert problem == "cannot be read: a header of 8,589,934,592 bytes"


@pytest.mark.parametrize(
    "content", [lines(*map(str, range(2000))), b"id,messages\n" + b"1,[]\n" * 20_000, b"prose\n" * 20_000]
)
def test_a_wrong_checksum_costs_neither_the_rows_before_it_nor_the_other_files(log, content):
    packed = bytearray(zipped(**{"a": content, "b": lines("two")}))
    packed[packed.find(b"PK\x01\x02") + 16] ^= 0xFF
    errors = []
    *found, last = (place.rpartition("/log/")[2] for place, _ in read_rows(str(log(bytes(packed))), errors.append))
    assert last == "b:1"
    assert all(place.startswith("a:") for place in found)
    assert bool(found) == (not content.startswith(b"prose"))
    [error] = errors
    assert "/log/a:" in error.where
    assert error.problem == "cannot be read from here on: Bad CRC-32 for file 'a'"


def test_half_a_letter_of_utf_16_costs_the_other_files_nothing(log):
    text = ("id,messages\n" + "1,[]\n" * 5000).encode("utf-16")
    found, errors = read(log(zipped(**{"a": text[:-1], "b": lines("two")})))
    assert found == ["two"]
    assert errors[-1] == ("log/a:5001", "cannot be read from here on: not UTF-16-LE text")


def test_a_sparse_file_that_is_all_hole_is_left_out_and_the_others_are_read(log):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        hole = tarfile.TarInfo("hole.jsonl")
        hole.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40)}
        archive.addfile(hole, io.BytesIO())
        after = tarfile.TarInfo("b.jsonl")
        after.size = len(lines("two"))
        archive.addfile(after, io.BytesIO(lines("two")))
    assert read(log(packed.getvalue())) == (
        ["two"],
        [("log/hole.jsonl", "a sparse file, which is read only where it is a file of its own")],
    )


def test_the_map_of_a_sparse_file_is_not_loaded(log):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        content = b"99999999\n" + b"0\n" * 2_000_000
        for name, text in (("sparse.jsonl", content), ("b.jsonl", lines("two"))):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            if name == "sparse.jsonl":
                info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"}
            archive.addfile(info, io.BytesIO(text))
    path = log(packed.getvalue())
    tracemalloc.start()
    try:
        found, errors = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == ["two"]
    assert [where for where, _ in errors] == ["log/sparse.jsonl"]
    assert peak < 5_000_000


def test_a_sparse_file_of_gnu_whose_map_goes_on_is_an_error(log):
    header = bytearray(tarfile.TarInfo("a.jsonl").tobuf(tarfile.GNU_FORMAT))
    header[156:157], header[482], header[148:156] = tarfile.GNUTYPE_SPARSE, 1, b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    assert read(log(bytes(header) + (bytes(504) + b"\1" + bytes(7)) * 1000)) == (
        [],
        [("log", "cannot be read: a sparse file with a map of any length")],
    )


def test_a_list_of_files_that_would_fill_the_memory_is_an_error(log, monkeypatch):
    packed = zipped(**{f"{n}.jsonl": lines(str(n)) for n in range(20)})
    assert len(read(log(packed))[0]) == 20
    monkeypatch.setattr("collab_sdk.logs.archives._LONGEST_DIRECTORY", 900)
    [(where, problem)] = read(log(packed))[1]
    assert where == "log"
    assert problem.startswith("a zip archive that cannot be opened: a list of files of 1,")


@pytest.mark.parametrize("name", ["log" + ":1" * 8000 + "x", "log" + ", item 1" * 2000])
def test_the_long_name_of_a_file_in_an_archive_is_cut(log, name):
    rows = b'{"up": 1}\n' * 200 + lines("one")
    found, errors = read(log(zipped(**{name: rows})))
    assert found == ["one"]
    assert len(errors) == 2
    assert all(where.startswith("log/log") and "..." in where and len(where) < 320 for where, _ in errors)


def test_archives_in_archives_have_an_end(log):
    content = lines("deep")
    for _ in range(9):
        content = zipped(**{"inner.zip": content})
    found, [(_, problem)] = read(log(content))
    assert found == []
    assert "more than 4 deep" in problem


def test_an_archive_is_read_from_a_pipe(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(zipped(**{"a.jsonl": lines("one")}))))
    assert [c.messages[0].content for c in read_conversations(["-"])] == ["one"]


def test_a_workbook_is_named_with_the_way_out(log):
    _, [(_, problem)] = read(log(zipped(**{"[Content_Types].xml": b"<xml/>", "xl/workbook.xml": b"<xml/>"})))
    assert problem == "a workbook or document of an office program; save its table as CSV"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_a_device_that_never_ends_is_no_log(device):
    assert [problem for _, problem in read(device)[1]] == ["not a chat log: binary data"]


# CSV

cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=30)


@given(
    table=st.lists(st.tuples(cells, cells), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    marked=st.booleans(),
)
def test_a_table_is_read_with_any_delimiter_and_quotes(tmp_path_factory, table, delimiter, quoting, marked):
    path = tmp_path_factory.mktemp("csv") / "log"
    expected = [
        {"id": str(n), "messages": json.dumps(chat(said)["messages"]), "note": note}
        for n, (said, note) in enumerate(table)
    ]
    with path.open("w", encoding="utf-8-sig" if marked else "utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "messages", "note"], delimiter=delimiter, quoting=quoting)
        writer.writeheader()
        writer.writerows(expected)
    assert rows_of(path) == expected


@pytest.mark.parametrize(("quote", "escape"), [("'", None), ('"', "\\"), ("'", "\\")])
def test_quotes_may_be_single_or_escaped(log, quote, escape):
    said = json.dumps([{"role": "user", "content": 'it\'s "so", yes'}, {"role": "assistant", "content": "a\nb"}])
    text = io.StringIO()
    writer = csv.writer(text, quotechar=quote, escapechar=escape, doublequote=escape is None, quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "messages"], ["1", said], ["2", said]])
    assert rows_of(log(text.getvalue().encode())) == [{"id": "1", "messages": said}, {"id": "2", "messages": said}]


def test_a_row_of_csv_that_does_not_fit_is_named_with_its_line_and_the_rest_is_read(log):
    errors = []
    text = 'id,messages\n1,"[]\n"\n2,[],3\n4,\xe9\n5,[]\n'.encode("latin-1")
    found = [json.loads(row)["id"] for _, row in read_rows(str(log(text)), errors.append)]
    assert found == ["1", "5"]
    assert [str(error).rpartition("/")[2] for error in errors] == [
        "log:4: no row of this table: 3 cells for 2 columns",
        "log:5: not UTF-8 text",
    ]


def test_a_cell_without_an_end_is_an_error_with_flat_memory(log):
    text = b'id,messages\n1,[]\n2,"' + b"x" * 40_000_000
    errors = []
    assert [json.loads(row)["id"] for _, row in read_rows(str(log(text)), errors.append)] == ["1"]
    assert errors[0].problem == "no row of this table: field larger than field limit (16777216)"


def test_a_long_cell_is_read_also_in_the_first_table_and_the_limit_of_the_process_stays(log):
    before = csv.field_size_limit(131_072)
    try:
        said = json.dumps(chat("x" * 200_000)["messages"]).replace('"', '""')
        assert read(log(f'id,messages\n1,"{said}"\n'.encode())) == (["x" * 200_000], [])
        assert csv.field_size_limit() == 131_072
    finally:
        csv.field_size_limit(before)


def test_prose_with_commas_is_no_table(log):
    text = b"Dear all,\nthis is a text, with commas, as texts have them.\n\nBest,\nA\n"
    assert read(log(text))[1] == [("log", "not a chat log: expected JSON, JSON lines or a table")]


# Parquet and Arrow


@pytest.fixture
def table():
    pyarrow = pytest.importorskip("pyarrow")
    rows = [
        {"id": "a", **chat("one"), "score": float("nan"), "tools": None, "image": b"\xff"},
        {"id": "b", "messages": [{"role": "user", "content": "two"}, None, {"role": "assistant", "content": None}]},
        {"id": "c", "messages": None},
    ]
    return pyarrow.Table.from_pylist(rows, schema=None)


def test_parquet_is_read_in_order_with_its_nulls(table, tmp_path):
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, tmp_path / "log")
    rows = list(read_rows(str(tmp_path / "log"), pytest.fail))
    assert [place.rpartition("/")[2] for place, _ in rows] == ["log, row 1", "log, row 2", "log, row 3"]
    first, second, third = (json.loads(row) for _, row in rows)
    assert first["messages"] == chat("one")["messages"]
    assert "image" not in first
    assert second["messages"][1:] == [None, {"role": "assistant", "content": None}]
    assert third["messages"] is None
    assert read(tmp_path / "log")[0] == ["one"]


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_is_read_as_a_file_and_as_a_stream(table, tmp_path, kind):
    import pyarrow.ipc

    opened = pyarrow.ipc.new_file if kind == "file" else pyarrow.ipc.new_stream
    with opened(str(tmp_path / "log"), table.schema) as writer:
        writer.write_table(table)
    assert [row["id"] for row in rows_of(tmp_path / "log")] == ["a", "b", "c"]


def test_arguments_are_not_filled_up_with_those_of_other_calls(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [
        {"messages": [{"role": "assistant", "content": None, "arguments": arguments}]}
        for arguments in ({"city": "Köln"}, {"day": {"of": 1}})
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "log")
    assert rows_of(tmp_path / "log") == rows


def test_parquet_is_read_from_an_archive(table, log, tmp_path):
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, tmp_path / "table")
    assert read(log(zipped(**{"a.parquet": (tmp_path / "table").read_bytes()})))[0] == ["one"]


def test_broken_parquet_is_one_error(table, log, tmp_path):
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, tmp_path / "table")
    whole = (tmp_path / "table").read_bytes()
    for content in (whole[:-40], b"PAR1" * 9, whole[:60] + bytes(60) + whole[120:]):
        [(where, problem)] = read(log(content))[1][-1:]
        assert where.startswith("log, row ")
        assert problem


@pytest.mark.parametrize("beginning", [b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff\x10\0\0\0"])
def test_without_pyarrow_the_package_is_named(log, monkeypatch, beginning):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    [(where, problem)] = read(log(beginning + bytes(99)))[1]
    assert where == "log"
    assert "pip install pyarrow" in problem


@pytest.mark.parametrize("splits", [False, True])
def test_a_folder_of_save_to_disk_is_read_without_what_is_beside_its_rows(tmp_path, splits):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([chat("one"), chat("two")])
    (datasets.DatasetDict(train=rows) if splits else rows).save_to_disk(tmp_path / "data")
    notes = Counter()
    assert read(tmp_path / "data", notes) == (["one", "two"], [])
    assert notes == {}


# Databases


def test_a_value_of_a_store_that_is_too_large_costs_its_chat_and_is_not_loaded(tmp_path, monkeypatch):
    chats = [
        Conversation(
            id=f"{n}", messages=(Message(role="user", content=f"{n}"), Message(role="assistant", content="hi"))
        )
        for n in range(3)
    ]
    with ConversationStore(tmp_path / "log") as store:
        store.add(chats)
    with closing(sqlite3.connect(tmp_path / "log")) as database:
        long = json.dumps({"role": "user", "content": "x" * 200_000})
        database.execute("UPDATE messages SET body = ? WHERE id = 3", [long])
        database.commit()
    monkeypatch.setattr("collab_sdk.logs.store.database.LONGEST_VALUE", 100_000)
    found, errors = read(tmp_path / "log")
    assert found == ["0", "2"]
    assert [problem for _, problem in errors] == ["a value in it has more than 100,000 bytes, which no chat has"]
