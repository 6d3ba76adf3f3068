"""A user learnt from logged chats: which turns are examples, of what, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from collab_trl.preference.tokens import Completion, FaultyExampleError, Tokens
from collab_trl.preference.user_turns import end_of, examples_of
from support.chat_templates import WAYS, laid_out_by
from support.cli import collab
from support.tiny import packaged_templates
from support.training import ASKS, GUESSES, pair, prepared, request, trained, write_base, write_pairs, write_rows

from collab_sdk import Conversation, Engine, Simulator
from collab_sdk.concurrency import run_sync
from collab_sdk.errors import CollabError, InputError, OutputError, UsageError
from collab_sdk.goals import GoalReader
from collab_sdk.messages import as_messages
from collab_sdk.simulator import END_OF_CONVERSATION, PlainUser
from collab_sdk.testing import FakeChatModel
from collab_sdk.training import read_user_chats, users_of_bot
from collab_sdk.types import Goal, Persona

GOAL = Goal(text="wants a latte, large")
USER = {"role": "user", "method": "sft"}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def asks(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def chat(number: int, **fields) -> dict:
    messages = [asks(f"{request(number)}, for guest {number}"), says(ASKS), asks("a large one"), says(GUESSES)]
    return {"id": f"chat-{number}", "messages": messages, "goal": f"wants {request(number)}, large", **fields}


def write_user_chats(path: Path, n: int = 40) -> Path:
    return write_rows(path, [chat(number) for number in range(n)])


def turns(messages: list[dict], **fields) -> list[tuple[str, list[str]]]:
    """What is learnt of a chat, each behind the last thing that its user read."""
    conversation = Conversation(id="c", messages=as_messages(messages), **{"goal": GOAL, **fields})
    return [(example.prompt[-1]["content"], example.chosen[0]["content"]) for example in examples_of(conversation)]


def test_a_turn_is_learnt_with_the_prompt_that_its_user_is_asked_with():
    messages = as_messages([asks("a latte"), says(ASKS), asks("large"), says(GUESSES)])
    asked = FakeChatModel(lambda _: "hello")
    user = Simulator(PlainUser(asked), engine=Engine())
    for example, place in zip(examples_of(Conversation(id="c", messages=messages, goal=GOAL)), (0, 2, 4), strict=True):
        user.reply(messages[:place], goal=GOAL)
        assert [message.to_dict() for message in asked.requests[-1].messages] == list(example.prompt)


def test_the_opening_is_learnt_from_the_goal_alone():
    [(_, opening), *_] = turns([asks("a latte"), says(ASKS)])
    [example, *_] = examples_of(Conversation(id="c", messages=as_messages([asks("a latte"), says(ASKS)]), goal=GOAL))
    assert opening == "a latte"
    assert GOAL.text in example.prompt[0]["content"]
    assert not any("latte" in message["content"] for message in example.prompt[1:])


def test_where_the_assistant_has_the_last_word_leaving_is_a_turn_of_its_own():
    assert turns([asks("a latte"), says(ASKS)])[-1] == (ASKS, END_OF_CONVERSATION)


def test_where_the_last_message_is_the_users_they_leave_with_it():
    learnt = turns([asks("a latte"), says(ASKS), asks("never mind")])
    assert learnt[-1] == (ASKS, f"never mind\n{END_OF_CONVERSATION}")
    assert len(learnt) == 2


def test_where_the_log_is_broken_off_nobody_knows_that_they_left():
    learnt = turns([asks("a latte"), says(ASKS), asks("large"), says("Here")], metadata={"partial_turns": [1]})
    assert [said for _, said in learnt] == ["a latte", "large"]


def test_several_messages_in_a_row_are_one_turn_and_what_the_user_never_saw_is_not_there():
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Sell cake."},
        asks("a latte"),
        asks("please"),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "out of milk", "tool_call_id": "1"},
        says(ASKS),
        asks("large"),
    ]
    [opening, answer] = examples_of(Conversation(id="c", messages=as_messages(messages), goal=GOAL))
    assert opening.chosen[0]["content"] == "a latte\n\nplease"
    seen = json.dumps([opening.prompt, answer.prompt])
    assert "Sell cake" not in seen
    assert "look_up" not in seen
    assert "out of milk" not in seen


FAULTS = {
    "no goal": ({"goal": None}, "chats without a goal"),
    "an empty goal": ({"goal": Goal(text=" ")}, "chats without a goal"),
    "no user": ({"messages": as_messages([says("Hi, what can I do?")])}, "no user speaks"),
    "neither user nor goal": ({"goal": None, "messages": as_messages([says("Hi!")])}, "no user speaks"),
    "the end as text": ({"messages": as_messages([asks(f"what is {END_OF_CONVERSATION}?")])}, "as text"),
}


@pytest.mark.parametrize(("fields", "problem"), FAULTS.values(), ids=FAULTS)
def test_a_chat_that_cannot_be_learnt_from_says_why(fields, problem):
    with pytest.raises(InputError, match=problem):
        examples_of(Conversation(**{"id": "c", "messages": as_messages([asks("a latte")]), "goal": GOAL, **fields}))


def test_all_turns_of_a_chat_are_on_one_side_which_is_that_of_its_pairs(base, tmp_path):
    chats = write_user_chats(tmp_path / "chats.jsonl")
    users = prepared(chats, base, tmp_path / "out", **USER).preflight
    assert users.examples + users.held_out == 120, "two messages and the end of each"
    assert users.examples == 3 * len(users.trained_on)
    pairs = [pair(number, prompt=[chat(number)["messages"][0]]) for number in range(40)]
    bots = prepared(write_rows(tmp_path / "pairs.jsonl", pairs), base, tmp_path / "out").preflight
    assert users.trained_on == bots.trained_on


def test_a_chat_that_is_logged_twice_counts_once_and_users_who_say_the_same_count_each(base, tmp_path):
    rows = [chat(0), chat(0, id="again"), *(chat(number) for number in range(1, 20))]
    found = prepared(write_rows(tmp_path / "chats.jsonl", rows), base, tmp_path / "out", **USER).preflight
    assert found.repeated == 1
    assert found.examples + found.held_out == 60, "`a large one` is said in each"
    assert any("again as chat-0" in note for note in found.notes)


def test_what_lies_beside_the_logs_is_held_out(base, tmp_path):
    chats = write_user_chats(tmp_path / "chats.jsonl", 10)
    write_rows(tmp_path / "chats.eval.jsonl", [chat(number) for number in range(10, 16)])
    found = prepared(chats, base, tmp_path / "out", **USER).preflight
    assert (found.examples, found.held_out) == (30, 18)
    assert "Held out is what is in chats.eval.jsonl." in found.notes


def test_rows_without_a_goal_are_refused_and_can_be_left_out(base, tmp_path):
    rows = [chat(number, goal=None if number < 5 else "wants tea") for number in range(30)]
    data = write_rows(tmp_path / "chats.jsonl", rows)
    [fault] = prepared(data, base, tmp_path / "out", **USER).preflight.faults
    assert (fault.problem, len(fault.places)) == ("chats without a goal", 5)


def test_preferences_are_refused_with_what_to_give_instead(base, tmp_path):
    data = write_rows(tmp_path / "prefs.jsonl", [chat(0), pair(1)])
    with pytest.raises(InputError, match=r"prefs.jsonl:2.*give --role user the logged chats"):
        prepared(data, base, tmp_path / "out", **USER)


def test_a_tokenizer_that_cannot_write_the_end_is_refused(tmp_path):
    folder = write_base(tmp_path / "base")
    file = folder / "tokenizer.json"
    known = json.loads(file.read_text())
    known["model"] = {"type": "WordLevel", "vocab": {"latte": 3, "<unk>": 4}, "unk_token": "<unk>"}
    known["pre_tokenizer"] = {"type": "Whitespace"}
    file.write_text(json.dumps(known))
    data = write_user_chats(tmp_path / "chats.jsonl", 4)
    with pytest.raises(UsageError, match=r"cannot write.*add it with tokenizer.add_tokens"):
        prepared(data, folder, tmp_path / "out", **USER)


def test_an_end_that_is_a_special_token_is_learnt_as_one_and_read_from_a_reply(tmp_path):
    from transformers import AutoTokenizer

    folder = write_base(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([END_OF_CONVERSATION], special_tokens=True)
    tokenizer.save_pretrained(folder)
    training = prepared(write_user_chats(tmp_path / "chats.jsonl", 8), folder, tmp_path / "out", **USER)
    assert not training.preflight.faults
    ids = tokenizer(f"bye\n{END_OF_CONVERSATION}<|im_end|>", add_special_tokens=False)["input_ids"]
    assert training.base.chat_format().text(ids) == f"bye\n{END_OF_CONVERSATION}"


def problem_under(name: str, layouts: tuple[str, ...]) -> str | None:
    """Why a user cannot be learnt under a template; None where they are asked with what they were learnt with."""
    opened = [asks("a latte"), says(ASKS), asks("large"), says(GUESSES)]
    greeted = [says("Good morning!"), asks("a latte"), says(ASKS)]
    try:
        _, form, layout = laid_out_by(name, layouts)
        for messages in (opened, greeted):
            for example in examples_of(Conversation(id="c", messages=as_messages(messages), goal=GOAL)):
                assert layout.tokenize(example).prompt == form.prompt(as_messages(example.prompt)), name
    except (CollabError, FaultyExampleError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", [name for name in packaged_templates() if not name.endswith("_training")])
def test_under_every_packaged_template_a_user_is_asked_with_what_they_were_learnt_with(name):
    ways = [way for way in ((), *WAYS) if "trl" not in way or f"{name}_training" in packaged_templates()]
    assert any(problem_under(name, way) is None for way in ways), problem_under(name, ())


STRICT = (
    "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('must alternate') }}{% endif %}"
    "[{{ message.role }}] {{ message.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def test_a_template_that_refuses_a_system_message_names_the_way_out_and_takes_it(base, tmp_path):
    (tmp_path / "strict.jinja").write_text(STRICT)
    data = write_user_chats(tmp_path / "chats.jsonl", 8)
    strict = {"chat_template": str(tmp_path / "strict.jinja"), **USER}
    with pytest.raises(InputError, match=r"no system role.*--layout system-in-first-user"):
        prepared(data, base, tmp_path / "out", **strict)
    assert not prepared(data, base, tmp_path / "out", **strict, layout=("system-in-first-user",)).preflight.faults


@pytest.mark.parametrize("settings", [{"method": "dpo"}, {"method": "kto"}, {"sft_first": True}, {"rounds": 2}])
def test_a_user_is_learnt_by_sft_alone(base, tmp_path, settings):
    data = write_user_chats(tmp_path / "chats.jsonl", 4)
    with pytest.raises(CollabError, match="sft"):
        prepared(data, base, tmp_path / "out", **{**USER, **settings})
    with pytest.raises(UsageError, match="assistant, user"):
        prepared(data, base, tmp_path / "out", role="judge")


def refused(*arguments: object) -> str:
    result = collab("finetune", *arguments, "--role", "user")
    assert result.exit_code in (1, 2), result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    return line


OPTIONS = {
    "--evaluate": ("chats.jsonl", "check-sim LOGS --simulator plain:hf:"),
    "--simulator": ("offline", "leave it out with --role user"),
    "--beta": ("0.2", "leave it out with --role user"),
    "--rounds": ("2", "leave it out with --role user"),
    "--loss": ("sigmoid=1", "leave it out with --role user"),
    "--window": ("1", "leave it out with --role user"),
    "--method": ("dpo", "leave --method dpo out"),
}


@pytest.mark.parametrize(("option", "value", "said"), [(name, *each) for name, each in OPTIONS.items()], ids=OPTIONS)
def test_options_of_other_trainings_are_refused_in_a_line(base, tmp_path, monkeypatch, option, value, said):
    data = write_user_chats(tmp_path / "chats.jsonl", 4)
    monkeypatch.chdir(tmp_path)
    assert said in refused(data, "-m", base, "-o", tmp_path / "out", option, value)


@pytest.mark.parametrize("table", ["", "[finetune]\n"])
@pytest.mark.parametrize("line", ["window = 1", 'simulator = "offline"', 'persona = ["terse"]', "beta = 0.2"])
def test_options_of_other_trainings_in_a_file_are_refused_too(base, tmp_path, table, line):
    data = write_user_chats(tmp_path / "chats.jsonl", 4)
    config = tmp_path / "collab.toml"
    config.write_text(f"{table}{line}")
    said = refused(data, "-m", base, "-o", tmp_path / "out", "--config", config)
    assert f"--{line.partition(' ')[0]} is for training an assistant: leave it out with --role user." in said


def without_goals(path: Path) -> Path:
    return write_rows(path, [chat(number, **({"goal": None} if number % 2 else {})) for number in range(40)])


def test_goals_that_rows_lack_are_inferred_by_the_model_that_is_named(base, tmp_path):
    data = without_goals(tmp_path / "chats.jsonl")
    arguments = (data, "-m", base, "-o", tmp_path / "out")
    assert "20 chats of 40 say no goal" in refused(*arguments)
    result = collab("finetune", *arguments, "--role", "user", "--model", "offline", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "20 goals will be inferred by offline: 20 calls" in result.stderr
    assert not (tmp_path / "out").exists()
    result = collab("finetune", *arguments, "--role", "user", "--judge", "offline", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "20 goals will be inferred by offline: 20 calls" in result.stderr
    result = collab("finetune", *arguments, "--role", "user", "--skip-bad", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Left out: 20 rows, chats without a goal" in result.stderr


def test_a_goal_that_could_not_be_inferred_leaves_its_chat_out(tmp_path):
    rows = [chat(0, goal=None), chat(1, goal=None), chat(2)]
    chats = read_user_chats(write_rows(tmp_path / "chats.jsonl", rows))
    assert [chat.id for chat in chats.without_goal] == ["chat-0", "chat-1"]
    failed = InputError("no answer")
    found = chats.with_goals([Goal(text="tea"), failed], by="a model")
    assert [known.goal.text for known in found.train] == ["tea", chat(2)["goal"]]
    assert list(found.faults.values()) == [["chat-1"]]
    assert "1 goal was inferred" in found.notes[0]


def test_two_files_that_number_their_chats_alike_keep_their_own_goals(tmp_path):
    file = write_rows(tmp_path / "chats.jsonl", [chat(0, goal=None), chat(1, goal=None), chat(2)])
    write_rows(tmp_path / "chats.eval.jsonl", [chat(0, goal="own"), chat(1, goal=None), chat(2, goal=None)])
    inferred = iter([Goal(text="first"), InputError("no answer"), Goal(text="other first"), Goal(text="other second")])
    chats = read_user_chats(file)
    found = chats.with_goals(list(inferred), by="a model")
    assert [(known.id, known.goal.text) for known in found.train] == [("chat-0", "first"), ("chat-2", chat(2)["goal"])]
    assert [known.goal.text for known in found.held_out] == ["own", "other first", "other second"]
    assert list(found.faults.values()) == [["chat-1"]]


def test_no_goal_is_asked_of_chats_in_which_no_user_speaks(tmp_path):
    rows = [chat(0, goal=None), chat(1, goal=None, messages=[says("Hello?")])]
    chats = read_user_chats(write_rows(tmp_path / "chats.jsonl", rows))
    assert [known.id for known in chats.without_goal] == ["chat-0"]
    assert [known.id for known in chats.with_stand_ins(by="a model").train] == ["chat-0", "chat-1"]


def test_goals_are_inferred_for_the_chats_that_have_none(tmp_path):
    def infer(request):
        seen = [message.content for message in request.messages]
        return "?" if "guest 1" in str(seen) else json.dumps({"goal": "tea", "open": []})

    file = write_rows(tmp_path / "chats.jsonl", [chat(0, goal=None), chat(1, goal=None), chat(2)])
    reader, told = GoalReader(FakeChatModel(infer, name="reader"), engine=Engine(cache=None)), []
    found = run_sync(read_user_chats(file).ainferred(reader, on_progress=lambda *counts: told.append(counts)))
    assert [known.goal.text for known in found.train] == ["tea", chat(2)["goal"]]
    assert sorted(told)[-1] == (2, 1)
    assert "1 goal was inferred by reader" in found.notes[0]


def test_a_long_turn_is_decoded_from_its_end():
    text, decoded = f"{'a very long order ' * 50}{END_OF_CONVERSATION}", []

    def decode(ids):
        decoded.append(len(ids))
        return "".join(map(chr, ids))

    ids = list(map(ord, text))
    [example] = examples_of(Conversation(id="c", messages=as_messages([asks("a latte")]), goal=GOAL))
    turn = Tokens(
        example=example,
        prompt=[],
        chosen=Completion(ids=ids, learnt=[1] * len(ids)),
        rejected=Completion(ids=[], learnt=[]),
    )
    assert sum(end_of(turn, decode).chosen.learnt) == len(END_OF_CONVERSATION)
    assert max(decoded) == len(END_OF_CONVERSATION)


def test_the_hub_name_of_a_bot_does_not_read_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"trained_against": ["offline"]}))
    assert users_of_bot("hf:gpt2") == ()
    (tmp_path / "merged").mkdir()
    assert users_of_bot("hf:merged") == ("offline",)


def test_who_the_user_is_stands_in_what_they_are_learnt_with():
    known = replace(GOAL, persona=Persona(name="hasty", traits=("never reads to the end",)))
    [opening, _] = examples_of(Conversation(id="c", messages=as_messages([asks("a latte"), says(ASKS)]), goal=known))
    assert "never reads to the end" in opening.prompt[0]["content"]


def test_folders_and_stores_of_chats_give_the_same_examples_as_their_file(base, tmp_path):
    (tmp_path / "folder").mkdir()
    file = write_user_chats(tmp_path / "folder" / "chats.jsonl", 12)
    assert collab("logs", "import", file, "--store", tmp_path / "chats.db").exit_code == 0
    one, *others = [
        prepared(data, base, tmp_path / "out", **USER).preflight for data in (file, file.parent, tmp_path / "chats.db")
    ]
    for other in others:
        assert (other.examples, other.held_out, sorted(other.lengths)) == (
            one.examples,
            one.held_out,
            sorted(one.lengths),
        )


def test_a_limit_takes_the_first_chats(base, tmp_path):
    data = write_user_chats(tmp_path / "chats.jsonl")
    result = collab(
        "finetune", data, "-m", base, "-o", tmp_path / "out", "--role", "user", "--limit", "12", "--dry-run"
    )
    assert result.exit_code == 0, result.output
    assert "from 12 conversations" in result.stdout


@pytest.fixture(scope="module")
def learnt(base, tmp_path_factory):
    """A user who says the same to every assistant, and leaves."""
    folder = tmp_path_factory.mktemp("learnt")
    data = write_user_chats(folder / "chats.jsonl")
    return data, folder / "out", trained(data, base, folder / "out", **USER, epochs=4.0)


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.slow
def test_it_is_judged_by_the_turns_and_the_ends_of_users_it_has_not_seen(learnt):
    _, _, report = learnt
    assert report.verdict.found == "better"
    assert {"loss", "end_logp", "leaves", "reply_tokens", "ends"} <= report.held_out.difference.keys()
    assert "ordinary_logp" not in report.held_out.difference, "that it answers worse is wanted"
    end = report.held_out.difference["end_logp"]
    assert end.low > 0
    assert end.n == report.held_out.conversations, "each leaves once"
    assert report.held_out.real.keys() == {"reply_tokens", "asks", "ends", "leaves"}
    assert report.held_out.real["ends"].mean == 1.0


@pytest.mark.slow
def test_its_card_says_that_it_is_a_user_and_how_to_use_it(learnt, base):
    _, output, report = learnt
    card = (output / "README.md").read_text()
    assert "It is a simulated user, and no assistant" in card
    assert "## Use it as a simulated user" in card
    assert "Serve it" not in card
    assert "--assistant hf:" not in card
    assert f"--simulator plain:hf:{base}@{output}" in card
    assert report.role == "user"


@pytest.mark.slow
def test_it_plays_the_user_and_what_it_leaves_with_is_not_said(learnt, base):
    _, output, _ = learnt
    user = Simulator(f"plain:hf:{base}@{output}", engine=Engine())
    turns = [user.reply([], goal=GOAL, sample=str(sample)) for sample in range(4)]
    assert all(END_OF_CONVERSATION not in turn.message for turn in turns)


@pytest.mark.slow
def test_a_training_that_was_stopped_ends_with_the_same_user(learnt, base, tmp_path):
    data, output, _ = learnt

    def stop(progress):
        if progress.step >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(data, base, tmp_path / "out", **USER, epochs=4.0).run(stop)
    again = trained(data, base, tmp_path / "out", **USER, epochs=4.0)
    assert again.resumed
    weights = "adapter_model.safetensors"
    assert (tmp_path / "out" / weights).read_bytes() == (output / weights).read_bytes()
    assert metrics_of(tmp_path / "out")["held_out"] == metrics_of(output)["held_out"]


@pytest.mark.slow
def test_an_assistant_is_not_trained_into_the_folder_of_a_user(learnt, base):
    data, output, _ = learnt
    with pytest.raises(OutputError, match=r"it differs in.*role"):
        trained(data, base, output, method="sft", epochs=4.0)


@pytest.mark.slow
def test_a_bot_does_not_go_on_from_the_adapter_of_a_user(learnt, base, tmp_path):
    _, output, _ = learnt
    with pytest.raises(UsageError, match="is a simulated user"):
        prepared(write_pairs(tmp_path / "prefs.jsonl"), base, tmp_path / "out", adapter=output)


@pytest.mark.slow
def test_goals_are_inferred_once_and_then_learnt_with(base, tmp_path):
    data = without_goals(tmp_path / "chats.jsonl")
    arguments = ("finetune", data, "-m", base, "-o", tmp_path / "out", "--role", "user", "--model", "offline")
    result = collab(*arguments, "--max-steps", "2", "--cache", tmp_path / "cache")
    assert result.exit_code in (0, 1), result.output
    assert "20 goals were inferred by offline" in result.stderr
    assert "Use it as a simulated user:" in result.stderr or "What was trained is in" in result.stderr
    assert metrics_of(tmp_path / "out")["notes"][0].startswith("20 goals were inferred")


@pytest.mark.slow
def test_a_bot_is_not_evaluated_unnoticed_with_the_user_that_it_was_trained_against(base, tmp_path):
    pairs = write_pairs(tmp_path / "prefs.jsonl")
    made_with = {"simulators": [{"name": "offline"}, {"name": "plain:openai/user"}]}
    (tmp_path / "prefs.run.json").write_text(json.dumps({"schema": "collab/run/v1", "made_with": made_with}))
    trained(pairs, base, tmp_path / "out", max_steps=1)
    assert metrics_of(tmp_path / "out")["trained_against"] == ["offline", "plain:openai/user"]
    assert "Trained against the user offline and plain:openai/user" in (tmp_path / "out" / "README.md").read_text()
    chats = write_rows(tmp_path / "chats.jsonl", [chat(number, id=f"other-{number}") for number in (50, 51)])
    task = ("evaluate", "-t", "logs", "--data", chats, "-a", f"hf:{base}@{tmp_path / 'out'}", "--dry-run")
    [warning] = [line for line in collab(*task, "--model", "offline").stderr.splitlines() if "Warning" in line]
    assert "was trained against offline, who plays the user here too" in warning
    others = ("--simulator", "plain:openai/other", "--judge", "offline")
    assert "Warning" not in collab(*task, *others).stderr
    gain = ("finetune", pairs, "-m", base, "-o", tmp_path / "next", "--evaluate", chats, "--dry-run")
    assert "The adapter was trained against offline" in collab(*gain, "--model", "offline").stderr


@pytest.mark.slow
def test_a_merged_user_plays_too(base, tmp_path):
    data = write_user_chats(tmp_path / "chats.jsonl", 12)
    report = trained(data, base, tmp_path / "out", **USER, epochs=1.0, merge=True)
    merged = report.serve["in process, merged"]
    assert f"plain:hf:{tmp_path / 'out' / 'merged'}" in merged
    assert "--assistant" not in merged
