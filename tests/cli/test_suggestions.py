"""What a mistyped word may have meant is said in the line that refuses it."""

import pytest
from support.cli import collab, write_chats


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_chats(tmp_path / "chats.jsonl", 1)
    (tmp_path / "my_bot.py").write_text("import os\n\n\ndef answer(messages):\n    return 'hi'\n")
    (tmp_path / "chats.toml").write_text("model = offline")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("scor chats.jsonl", "No such command 'scor'. Did you mean 'score'?"),
        ("eval -t logs", "No such command 'eval'. Did you mean 'evaluate'?"),
        ("logs lst", "No such command 'lst'. Did you mean 'list'?"),
        ("xyzzy", "No such command 'xyzzy'."),
        ("score chat.jsonl --model offline", "did you mean 'chats.jsonl'?"),
        ("report chat.jsonl -o x.html", "did you mean 'chats.jsonl'?"),
        ("score chats.jsonl --model ofline", "Unknown model 'ofline'. Did you mean 'offline'?"),
        ("score chats.jsonl --model opnai/gpt-4o-mini", "Did you mean 'openai/gpt-4o-mini'?"),
        ("score chats.jsonl -a my_bot.py --model offline", "write py:my_bot:answer"),
        ("score chats.jsonl -a my_bot:answer --model offline", "write py:my_bot:answer"),
        ("score chats.jsonl -a py:my_bot --model offline", "write py:my_bot:answer"),
        ("score chats.jsonl -a py:my_bot.py:answr --model offline", "write py:my_bot:answer"),
        ("score chats.jsonl -a py:my_bot:anser --model offline", "Did you mean 'py:my_bot:answer'?"),
        ("score chats.jsonl -a py:my_bott:answer --model offline", "Run the command in the folder of my_bott"),
        ("score https://example.com/chats.jsonl --model offline", "it is a web address: download the file"),
        ("logs list", "such as --store chats.db"),
        ("finetune chat.jsonl -m base -o adapter", "does not exist; did you mean 'chats.jsonl'?"),
        ("logs show chat-1 --store chats.jsonl", "is not a database: collab logs import LOGS --store FILE"),
        ("score --model offline", "name files or folders of chats, or - for stdin"),
        ("score chats.jsonl --model offline --log-format shargpt", "Did you mean 'sharegpt'?"),
        ("export-prefs chats.jsonl --model offline -o p.jsonl --format csv", "'csv' is unknown. Known: axolotl,"),
        ("score chats.jsonl --model offline --metric goal=high", "write NAME=WEIGHT, such as goal=1"),
        ("score chats.jsonl --model offline --temperature 0.2", "write --model-option temperature=VALUE"),
        ("score chats.jsonl --model offline --model-option temprature=1", "Error: --model-option: "),
        ("score chats.jsonl --config chat.toml", "did you mean 'chats.toml'?"),
        ("score chats.jsonl --config chats.toml", "put text in quotes"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_slip_is_answered_with_what_to_type(arguments, said):
    result = collab(*arguments.split())
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.stderr.split())
    assert "calls" not in result.stderr, "nothing was asked"


@pytest.mark.usefixtures("here")
def test_names_of_models_are_taken_as_they_are():
    for name in ("Qwen/Qwen3-8B", "llama3:8b", "answer"):
        run = collab("score", "chats.jsonl", "--model", name, "--api-base", "http://127.0.0.1:9/v1", "--dry-run")
        assert run.exit_code == 0, run.output
    assert collab("score", "chats.jsonl", "-a", "py:my_bot:answer", "--model", "offline", "--dry-run").exit_code == 0


@pytest.mark.parametrize(("name", "is_slip"), [("COLLAB_MODLE", True), ("COLLAB_LIMTI", False), ("COLLAB_SALT", False)])
@pytest.mark.usefixtures("here")
def test_a_misspelt_variable_is_named(name, is_slip, monkeypatch):
    monkeypatch.setenv(name, "offline")
    result = collab("doctor", "--model", "offline")
    assert (f"{name} is not an option of this command. Did you mean 'COLLAB_MODEL'?" in result.stderr) is is_slip
