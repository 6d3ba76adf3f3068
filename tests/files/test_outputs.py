"""What a run writes never replaces what it reads, and only its owner can read it."""

import json
import os
import stat
import subprocess
import sys
from itertools import pairwise, product

import click
import pytest
from collab_cli.main import main
from collab_cli.paths import GuardedCommand, ReadPath, WrittenPath
from support.cli import bot_calls, collab, write_bot, write_chats

from collab_sdk import MRScorer, PreferenceExporter, Rollout, Simulator, read_conversations
from collab_sdk.cache.disk import DiskCache
from collab_sdk.errors import CacheError, OutputError, StoreError
from collab_sdk.files import Inputs, JsonlWriter, beside
from collab_sdk.logs import ConversationStore
from collab_sdk.offline import sample_chats_path
from collab_sdk.report import apply_decisions, read_decisions, write_report

NAMES_A_PATH = {"DECISIONS", "DIR", "FILE", "FROM", "LOGS", "LOGS...", "PNG", "PREFS", "STORE...", "TO", "WHERE"}
"""Metavars of options and arguments that name files."""
VALUES = {"tasks": "math-chat", "base": "nobody/no-model", "older_than": "1"}
"""For options that are required, so that a command line can be read."""


def all_commands(group=main, names=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from all_commands(command, (*names, name))
        else:
            yield (*names, name), command


def path_params(command, kind):
    return [param for param in command.params if isinstance(param.type, kind)]


def pairs_of_paths():
    """Every path that some command writes, with every one that it reads."""
    for names, command in all_commands():
        for written, read in product(path_params(command, WrittenPath), path_params(command, ReadPath)):
            yield pytest.param(names, command, written, read, id=" ".join((*names, written.name, read.name)))


@pytest.mark.parametrize(("names", "command"), [pytest.param(*each, id=" ".join(each[0])) for each in all_commands()])
def test_every_option_that_names_a_file_says_whether_it_is_read_or_written(names, command):
    assert isinstance(command, GuardedCommand), "it would not check its outputs"
    for param in command.params:
        if isinstance(param.type, click.Path) or param.metavar in NAMES_A_PATH:
            assert isinstance(param.type, ReadPath | WrittenPath), param.name


def given(param, value):
    return [str(value)] if isinstance(param, click.Argument) else [param.opts[0], str(value)]


def command_line(names, command, chosen, tmp_path):
    """The command with these values, and with something for all else that it needs."""
    line = list(names)
    for param in command.params:
        if param in chosen:
            line += given(param, chosen[param])
        elif isinstance(param.type, ReadPath) and param.required and param.name not in VALUES:
            line += given(param, tmp_path / "other.jsonl")
        elif param.required:
            if getattr(param.type, "exists", False):
                (tmp_path / "other-output").touch()
            line += given(param, VALUES.get(param.name, tmp_path / "other-output"))
    return line


def written_files(param, target):
    """All that is written for this value, also while it is being written."""
    written = param.type.written(target)
    partial = [path.with_name(f"{path.name}.partial") for path in written["files"]]
    return [*written["files"], *partial, *written["in_place"], *(folder / "any.jsonl" for folder in written["folders"])]


@pytest.mark.parametrize("link", [None, os.link, os.symlink], ids=["same", "hard link", "symbolic link"])
@pytest.mark.parametrize(("names", "command", "written", "read"), list(pairs_of_paths()))
def test_no_command_writes_onto_what_it_reads(tmp_path, names, command, written, read, link):
    (tmp_path / "other.jsonl").touch()
    target = tmp_path / "out" / "out.jsonl"
    for number, file in enumerate(written_files(written, target)):
        file.parent.mkdir(parents=True, exist_ok=True)
        source = file if link is None else tmp_path / f"in-{number}.jsonl"
        source.write_text("# chats, or a config")
        if link is not None:
            link(source, file)
        if written.type.exists:
            target.touch()
        result = collab(*command_line(names, command, {written: target, read: source}, tmp_path))
        assert result.exit_code == 2, (file, result.output)
        assert "is an input of this run" in result.stderr
        assert result.stderr.count("Error:") == 1
        assert source.read_text() == "# chats, or a config"
        file.unlink()


@pytest.mark.parametrize(
    ("read", "other"),
    [
        ("data.jsonl", "data.turns.jsonl"),
        ("data.jsonl", "data.eval.jsonl"),
        ("data.jsonl", "data.run.json"),
        ("data.turns.jsonl", "data.jsonl"),
        ("data.turns.jsonl", "data.run.json"),
        ("data.db", "data.db-wal"),
        ("data.db", "data.db-shm"),
    ],
)
def test_what_lies_beside_an_input_is_not_replaced_either(tmp_path, read, other):
    logs, sidecar = write_chats(tmp_path / read), tmp_path / other
    sidecar.write_text("sidecar")
    result = collab("score", logs, "--model", "offline", "-o", sidecar)
    assert result.exit_code == 2
    assert "is an input of this run" in result.stderr
    assert sidecar.read_text() == "sidecar"


def test_a_store_is_exported_to_anything_but_itself(tmp_path):
    store = stored(tmp_path / "s.db")
    other = stored(tmp_path / "other.db")
    before = other.read_bytes()
    assert collab("logs", "export", store, "-o", store).exit_code == 2
    for name in ("other.db", "other.db-wal"):
        result = collab("logs", "export", store, "-o", tmp_path / name)
        assert result.exit_code == 2
        assert "is a database, such as a conversation store" in result.stderr
    assert collab("logs", "export", store, "-o", tmp_path / "chats.jsonl").exit_code == 0
    assert other.read_bytes() == before
    with ConversationStore(store) as chats:
        assert len(chats) == 2


def test_a_writer_replaces_no_database_whoever_opens_it(tmp_path):
    store = stored(tmp_path / "s.db")
    with pytest.raises(OutputError, match="is a database"):
        JsonlWriter(store)


@pytest.mark.parametrize("second", ["result.json", "link.json", "hard.json", "result.json.partial", "x/../result.json"])
def test_two_outputs_of_one_run_are_two_files(tmp_path, second):
    result = tmp_path / "result.json"
    result.touch()
    (tmp_path / "x").mkdir()
    (tmp_path / "link.json").symlink_to(result)
    (tmp_path / "hard.json").hardlink_to(result)
    command = ["evaluate", "-t", "logs", "--data", write_chats(tmp_path / "c.jsonl"), "--model", "offline"]
    ended = collab(*command, "-o", result, "--plot", tmp_path / second)
    assert ended.exit_code == 2
    assert "would be written twice" in ended.stderr


def test_instructions_of_a_bot_are_an_input(tmp_path):
    prompt = tmp_path / "polite.txt"
    prompt.write_text("Be polite.")
    chats = write_chats(tmp_path / "c.jsonl")
    command = ["evaluate", "-t", "logs", "--data", chats, "--model", "offline", "-a", f"prompt:{prompt}@offline"]
    assert collab(*command, "-o", prompt).exit_code == 2
    assert prompt.read_text() == "Be polite."


def test_nothing_goes_into_a_folder_that_is_read(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    write_chats(logs / "chats.jsonl")
    (tmp_path / "door").symlink_to(logs)
    for name in ("logs/new.jsonl", "door/new.jsonl", "door/deeper/../new.jsonl"):
        result = collab("score", logs, "--model", "offline", "-o", tmp_path / name)
        assert result.exit_code == 2
        assert "a folder of inputs" in result.stderr
    result = collab("score", logs, "--model", "offline", "-o", logs / ".hidden" / "new.jsonl")
    assert "does not exist" in result.stderr, "hidden folders are not read"


def test_a_training_does_not_write_around_what_it_reads(tmp_path):
    data = write_chats(tmp_path / "prefs.jsonl")
    (tmp_path / "saved" / "out").mkdir(parents=True)
    for read, output in [(data, tmp_path), (tmp_path / "saved", tmp_path / "saved"), (tmp_path / "saved", "saved/out")]:
        result = collab("finetune", read, "-m", "nobody/no-model", "-o", tmp_path / output)
        assert result.exit_code == 2
        assert "write to another folder" in result.stderr


@pytest.mark.parametrize(
    ("options", "output"),
    [
        (("-a", "py:mine:bot"), "mine.py"),
        (("-a", "proactive:py:package:bot"), "package/__init__.py"),
        (("-a", "offline", "--metric", "py:mine:short=1"), "mine.py"),
        (("-a", "offline", "--config", "metrics.toml"), "mine.py"),
        (("-a", "hf:weights"), "weights/config.json"),
        (("-a", "hf:elsewhere@weights"), "weights/config.json"),
    ],
)
def test_what_a_name_stands_for_is_an_input(tmp_path, monkeypatch, options, output):
    monkeypatch.chdir(tmp_path)
    logs = write_chats(tmp_path / "chats.jsonl")
    (tmp_path / "metrics.toml").write_text('[metrics]\n"py:mine:short" = 1')
    for name in ("mine.py", "package/__init__.py", "weights/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    result = collab("score", logs, "--model", "offline", *options, "-o", output)
    assert result.exit_code == 2
    assert "is an input of this run" in result.stderr or "a folder of inputs" in result.stderr
    assert (tmp_path / output).read_text() == "{}"


def test_an_unfinished_file_behind_a_link_is_an_input_too(tmp_path):
    (tmp_path / "folder").mkdir()
    logs = write_chats(tmp_path / "folder" / "real.jsonl.partial")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "folder" / "real.jsonl")
    kept = logs.read_bytes()
    result = collab("score", logs, "--model", "offline", "-o", tmp_path / "link.jsonl")
    assert result.exit_code == 2
    assert logs.read_bytes() == kept


def test_a_link_where_the_unfinished_file_would_be_is_not_followed(tmp_path):
    (tmp_path / "victim.txt").write_text("mine")
    (tmp_path / "out.jsonl.partial").symlink_to(tmp_path / "victim.txt")
    with pytest.raises(OutputError):
        JsonlWriter(tmp_path / "out.jsonl")
    assert (tmp_path / "victim.txt").read_text() == "mine"


def test_stdin_from_a_file_is_an_input(tmp_path, monkeypatch):
    chats = write_chats(tmp_path / "chats.jsonl")
    with chats.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(OutputError, match="is an input of this run"):
            Inputs(["-"]).check([chats])


@pytest.fixture
def exported(tmp_path):
    """Pairs, held-out pairs and turns of eight chats."""
    pairs = tmp_path / "pairs" / "prefs.jsonl"
    pairs.parent.mkdir()
    logs = write_chats(tmp_path / "logged.jsonl", n=8)
    assert collab("export-prefs", logs, "--model", "offline", "-o", pairs, "--eval-fraction", "0.5").exit_code == 0
    return pairs


@pytest.fixture
def decisions(tmp_path, exported):
    """A file that keeps one pair."""
    from collab_sdk.report.turns import pair_id

    turns = map(json.loads, beside(exported, "turns").read_text().splitlines())
    rows = [{"pair": name, "decision": "keep"} for turn in turns if (name := pair_id(turn))][:1]
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps({"schema": "collab/decisions/v1", "decisions": rows}))
    return path


def test_the_python_api_knows_what_was_read_too(tmp_path, monkeypatch, exported, decisions):
    monkeypatch.syspath_prepend(str(tmp_path))
    logs = write_chats(tmp_path / "p.eval.jsonl")
    bot = write_bot(tmp_path, "return 'Here you are.'", name="counted")
    rollout = Rollout(assistant=bot, simulator=Simulator("offline"))
    before = logs.read_text()
    for output in (logs, tmp_path / "p.jsonl"):
        with pytest.raises(OutputError, match="is an input of this run"):
            PreferenceExporter(MRScorer(rollout)).export(read_conversations([logs]), output)
    assert bot_calls(tmp_path) == 0
    for output in (exported, beside(exported, "turns"), decisions):
        with pytest.raises(OutputError, match="is an input of this run"):
            apply_decisions(read_decisions(decisions), exported, output)
        if output != decisions:
            with pytest.raises(OutputError, match="is an input of this run"):
                write_report(exported, output)
    with pytest.raises(OutputError, match="is an input of this run"):
        JsonlWriter(logs, inputs=Inputs([logs]))
    assert logs.read_text() == before


WRITING = {
    "export-prefs": ["export-prefs", "IN", "--model", "offline", "-o", "OUT", "--eval-fraction", "0.5"],
    "llama-factory": ["export-prefs", "IN", "--model", "offline", "-o", "OUT", "--format", "llama-factory"],
    "score": ["score", "IN", "--model", "offline", "-o", "OUT"],
    "evaluate": ["evaluate", "-t", "logs", "--data", "IN", "--model", "offline", "-o", "OUT", "--plot", "PNG"],
    "check-sim": ["check-sim", "MANY", "--model", "offline", "--calibrate", "OUT"],
    "report": ["report", "PAIRS", "-o", "OUT"],
    "report --apply": ["report", "--apply", "DECISIONS", "PAIRS", "-o", "OUT"],
    "logs export": ["logs", "export", "STORE", "-o", "OUT"],
    "logs import": ["logs", "import", "IN", "--store", "NEW"],
}


@pytest.mark.parametrize("line", WRITING.values(), ids=WRITING)
def test_a_command_writes_what_it_declares_and_for_its_owner_alone(tmp_path, exported, decisions, line):
    folder = tmp_path / "written"
    folder.mkdir()
    files = {
        "IN": write_chats(tmp_path / "chats.jsonl"),
        "MANY": sample_chats_path(),
        "STORE": stored(tmp_path / "s.db"),
        "PAIRS": exported,
        "DECISIONS": decisions,
        "OUT": folder / "out.jsonl",
        "PNG": folder / "out.png",
        "NEW": folder / "new.db",
    }
    if "logs" not in line:
        for name in ("out.jsonl", "out.png", "out.turns.jsonl", "out.run.json"):
            (folder / name).touch(0o644)
    before = {path: path.stat().st_ino for path in folder.iterdir()}
    result = collab(*(files.get(word, word) for word in line))
    assert result.exit_code == 0, result.output
    _names, command = next(each for each in all_commands() if list(each[0]) == line[: len(each[0])])
    declared = {
        file
        for param in path_params(command, WrittenPath)
        for option, value in pairwise(line)
        if option in param.opts
        for file in written_files(param, files[value])
    }
    new = {path for path in folder.iterdir() if before.get(path) != path.stat().st_ino}
    assert new
    assert new <= declared
    assert {stat.S_IMODE(path.stat().st_mode) for path in new} == {0o600}


def stored(path):
    with ConversationStore(path) as store:
        store.add(read_conversations([write_chats(path.with_suffix(".jsonl"))]))
    return path


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o722])
def test_a_cache_directory_that_others_can_write_to_is_refused(tmp_path, mode):
    folder = tmp_path / "cache"
    DiskCache(folder).close()
    folder.chmod(mode)
    result = collab("score", write_chats(tmp_path / "c.jsonl"), "--model", "offline", "--cache-dir", folder)
    assert result.exit_code == 1
    assert f"others can write in the folder {folder} (chmod go-w {folder})" in result.stderr
    folder.chmod(0o755)
    DiskCache(folder).close()


def test_a_cache_or_store_file_that_others_can_write_to_is_refused(tmp_path):
    DiskCache(tmp_path / "cache").close()
    (tmp_path / "cache" / "cache.db").chmod(0o660)
    with pytest.raises(CacheError, match=r"others can write to .*cache\.db \(chmod go-w .*cache\.db\)"):
        DiskCache(tmp_path / "cache")
    store = stored(tmp_path / "s.db")
    store.chmod(0o606)
    for command in (["logs", "list"], ["logs", "import", tmp_path / "s.jsonl"]):
        result = collab(*command, "--store", store)
        assert result.exit_code == 1
        assert f"others can write to {store} (chmod go-w {store})" in result.stderr


def test_a_store_is_not_kept_in_a_folder_in_which_anybody_can_replace_it(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreError, match="chmod go-w"):
        ConversationStore(folder / "s.db")
    assert list(folder.iterdir()) == []
    folder.chmod(0o1777)  # as /tmp is
    ConversationStore(folder / "s.db").close()


def test_a_store_that_others_could_read_is_made_private_with_all_that_is_beside_it(tmp_path):
    with ConversationStore(tmp_path / "s.db") as store:
        store.add(read_conversations([write_chats(tmp_path / "c.jsonl")]))
        for path in tmp_path.glob("s.db*"):
            path.chmod(0o644)
        ConversationStore(tmp_path / "s.db").close()
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("s.db*")} == {0o600}
        assert len(list(tmp_path.glob("s.db*"))) == 3


STARVED = """
import gc, os, resource, sys
import diskcache, tenacity
from collab_sdk.cache.disk import DiskCache
from collab_sdk.errors import CollabError
from collab_sdk.files import JsonlWriter
from collab_sdk.logs import ConversationStore

DiskCache("cache").close()
ConversationStore("chats.db").close()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
acts = [lambda: DiskCache("cache").close(), lambda: ConversationStore("chats.db").close(), lambda: JsonlWriter("out")]
for left in range(3):
    for act in acts:
        gc.collect()  # what an act left open is closed now, not in the middle of the next one
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for _ in range(left):
            os.close(held.pop())
        try:
            act()
        except CollabError as error:
            said = str(error)
        else:
            said = "done"
        for file in held:
            os.close(file)
        print(said)
"""


def test_too_many_open_files_are_named_as_that(tmp_path):
    run = subprocess.run([sys.executable, "-c", STARVED], cwd=tmp_path, capture_output=True, text=True, check=True)
    said = run.stdout.splitlines()
    assert len(said) == 9
    for line in said:
        assert line == "done" or "too many open files: raise the limit (ulimit -n)" in line
        assert "ree space" not in line
        assert "choose another" not in line
    assert [line == "done" for line in said[:3]] == [False] * 3
    assert [line == "done" for line in said[6:]] == [False, False, True]
