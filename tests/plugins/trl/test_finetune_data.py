"""What the fine-tuner reads, and what it holds out."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fakes import says as reply
from support.training import ASKS, GUESSES, guest, pair, prepared, request, write_base, write_pairs, write_rows

from collab_sdk import MRScore, PreferencePair
from collab_sdk.errors import InputError
from collab_sdk.logs import get_preference_format, preference_format_names
from collab_sdk.messages import as_messages
from collab_sdk.preferences import whole_of


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def user(number: int) -> dict[str, str]:
    return {"role": "user", "content": request(number)}


def says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


PAIRS = {
    "openai": lambda n: {
        "input": {"messages": [user(n)], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [says(ASKS)],
        "non_preferred_output": [says(GUESSES)],
    },
    "prompt within": lambda n: {"chosen": [user(n), says(ASKS)], "rejected": [user(n), says(GUESSES)]},
    "prompt twice": lambda n: {
        "prompt": request(n),
        "chosen": [user(n), says(ASKS)],
        "rejected": [user(n), says(GUESSES)],
    },
    "plain text": lambda n: {"prompt": request(n), "chosen": ASKS, "rejected": GUESSES},
    "with what the model thought": lambda n: {
        "prompt": request(n),
        "chosen": f"<think>\nhm\n</think>\n\n{ASKS}",
        "rejected": [says(GUESSES) | {"reasoning_content": "hm"}],
    },
}


@pytest.mark.parametrize("form", PAIRS.values(), ids=PAIRS)
def test_every_format_of_pairs_gives_the_same_example(base, tmp_path, form):
    ours = prepared(write_pairs(tmp_path / "ours.jsonl"), base, tmp_path / "out", eval_fraction=0.0).preflight
    data = write_rows(tmp_path / "theirs.jsonl", [form(number) for number in range(40)])
    theirs = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight
    assert (theirs.examples, theirs.lengths, theirs.rendered) == (ours.examples, ours.lengths, ours.rendered)


def scored_pair(number: int) -> PreferencePair:
    """As the exporter holds it, from a conversation of several turns."""
    turns = [user(number), says("Sure, what else?"), {"role": "user", "content": "make it large"}]
    chosen, rejected = (MRScore(response=reply(text), futures=(), value=1.0, stderr=0.1) for text in (ASKS, GUESSES))
    prompt = as_messages(turns)
    return PreferencePair(conversation_id=f"chat-{number}", turn=1, prompt=prompt, chosen=chosen, rejected=rejected)


@pytest.mark.parametrize("name", preference_format_names())
def test_every_format_that_is_exported_is_read(base, tmp_path, name):
    rows = [row for number in range(4) for row in get_preference_format(name).rows(scored_pair(number))]
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    method = name if name in ("sft", "kto") else "dpo"
    preflight = prepared(data, base, tmp_path / "out", method=method, eval_fraction=0.0).preflight
    assert preflight.examples == (8 if method == "kto" else 4)
    assert not preflight.faults
    prompt, counted = preflight.rendered[0]
    assert not counted
    assert prompt.count("<|im_start|>user") == 2
    assert "Sure, what else?" in prompt
    assert ASKS in preflight.rendered[1][0]


DECAF = {"role": "system", "content": "Only sell decaf."}
BEFORE = [{"role": "user", "content": "hello"}, says("hi, who is it?")]
TOOL = {"name": "brew", "parameters": {"type": "object"}}
TWICE = {"chosen": [user(0), says(ASKS)], "rejected": [user(0), says(GUESSES)]}
ASKED = {
    "completions repeat the end of the prompt": ({**TWICE, "prompt": [DECAF, user(0)]}, [DECAF, user(0)]),
    "completions repeat more than the prompt": (
        {side: [DECAF, *messages] for side, messages in TWICE.items()} | {"prompt": request(0)},
        [DECAF, user(0)],
    ),
    "a whole chat in place of the prompt": ({**TWICE, "messages": TWICE["chosen"]}, [user(0)]),
    "system in a field": (pair(0, prompt=request(0), system=DECAF["content"]), [DECAF, user(0)]),
    "system twice": (pair(0, prompt=[DECAF, user(0)], system="Only  sell decaf. "), [DECAF, user(0)]),
    "history in pairs": (
        pair(0, prompt=request(0), history=[["hello", "hi, who is it?"]], system=DECAF["content"]),
        [DECAF, *BEFORE, user(0)],
    ),
    "history twice": (pair(0, prompt=[*BEFORE, user(0)], history=BEFORE), [*BEFORE, user(0)]),
    "nothing in these fields": (pair(0, system="", history=[], functions=None), [user(0)]),
}


@pytest.mark.parametrize(("row", "prompt"), ASKED.values(), ids=ASKED)
def test_all_that_a_row_asks_with_is_in_the_prompt_whatever_field_it_is_in(tmp_path, row, prompt):
    example = read(tmp_path, row)
    assert list(example.prompt) == prompt
    assert (example.chosen, example.rejected) == ((says(ASKS),), (says(GUESSES),))


def test_functions_are_tools(tmp_path):
    assert read(tmp_path, pair(0, functions=[TOOL])).tools == ({"type": "function", "function": TOOL},)


LOOK = {"name": "look", "arguments": '{"a": 1}'}


def calls_of(*functions):
    calls = [{"id": f"call{n:05d}", "type": "function", "function": each} for n, each in enumerate(functions, 1)]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def test_calls_and_refusals_of_older_and_other_fields_are_in_the_prompt(tmp_path):
    called = [
        {"role": "assistant", "content": None, "function_call": LOOK},
        {"role": "function", "name": "look", "content": "open 17"},
    ]
    refused = {"role": "assistant", "content": None, "refusal": "I cannot do it."}
    prompt = read(tmp_path, pair(0, prompt=[user(1), *called, user(2), refused, user(0)])).prompt
    result = {"role": "tool", "name": "look", "content": "open 17", "tool_call_id": "call00001"}
    assert list(prompt) == [user(1), calls_of(LOOK), result, user(2), says("I cannot do it."), user(0)]
    [call, answer, _] = read(tmp_path, pair(0, chosen=[*called, says("Open.")])).chosen
    assert call["tool_calls"][0]["function"] == LOOK
    assert call["tool_calls"][0]["id"] == answer["tool_call_id"]


REFUSED = {
    **{
        f"arguments that are {arguments!r}": (
            pair(0, chosen=[calls_of({"name": "look", "arguments": arguments})]),
            "the arguments of a call in a reply are no JSON object",
        )
        for arguments in ("not json", None, "[1]", '"x"', [1])
    },
    "a function that nobody called": (
        pair(0, prompt=[user(1), {"role": "function", "name": "look", "content": "17"}, user(0)]),
        "a function message has no call before it",
    ),
    "two kinds of calls": (
        pair(0, chosen=[calls_of(LOOK) | {"function_call": LOOK}]),
        "function_call must be an object with name and arguments, and alone",
    ),
    "content and a refusal": (pair(0, chosen=[says(ASKS) | {"refusal": "No."}]), "a refusal must be text, without"),
    "speech alone": (
        pair(0, prompt=[user(1), {"role": "assistant", "content": None, "audio": {"id": "a"}}, user(0)]),
        "an assistant message has no content, and its audio is not read",
    ),
    "another prompt than is repeated": (
        {**TWICE, "prompt": [DECAF, user(1)]},
        "the prompt is another one than chosen and rejected begin with",
    ),
    "another system prompt than is repeated": (
        {side: [DECAF, *messages] for side, messages in TWICE.items()}
        | {"prompt": [{"role": "system", "content": "Sell anything."}, user(0)]},
        "the prompt is another one than chosen and rejected begin with",
    ),
    "two system prompts": (
        pair(0, prompt=[DECAF, user(0)], system="Sell anything."),
        "system is another one than the prompt's system message",
    ),
    "a system prompt that is no text": (pair(0, system=["Sell"]), "system must be text"),
    "history as text": (pair(0, history="hello"), "history must be a list of messages"),
    "two histories": (pair(0, prompt=[says("?"), user(0)], history=BEFORE), "history is not what the prompt begins"),
    "tools and functions": (pair(0, tools=[TOOL], functions=[TOOL]), "tools and functions in one row"),
    "a weight of 0": (pair(0, chosen=[says(ASKS) | {"weight": 0}]), "a reply has a weight of 0"),
}


@pytest.mark.parametrize(("row", "said"), REFUSED.values(), ids=REFUSED)
def test_a_row_of_which_not_all_would_be_learnt_is_refused_with_its_line(base, tmp_path, row, said):
    data = write_rows(tmp_path / "rows.jsonl", [pair(1), row])
    [fault] = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight.faults
    assert fault.problem.startswith(said)
    assert fault.places == ("rows.jsonl:2",)


def read(tmp_path, row):
    """The example in a file of one row."""
    from collab_trl.preference.examples import read_examples

    [example] = read_examples(write_rows(tmp_path / "row.jsonl", [row]), method="dpo", eval_fraction=0.0).train
    return example


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [user(0), says(ASKS)]},
        {"prompt": [user(0)], "completion": [says(ASKS)]},
        {"prompt": request(0), "completion": ASKS},
        pair(0),
    ],
    ids=["messages", "completion", "text", "pair"],
)
def test_sft_reads_replies_with_or_without_a_worse_one(base, tmp_path, row):
    data = write_rows(tmp_path / "rows.jsonl", [row])
    preflight = prepared(data, base, tmp_path / "out", method="sft", eval_fraction=0.0).preflight
    assert [text.strip() for text, counted in preflight.rendered if counted] == [f"{ASKS}<|im_end|>"]


def test_a_pair_is_a_good_and_a_bad_reply_for_kto(base, tmp_path):
    data = write_pairs(tmp_path / "prefs.jsonl")
    preflight = prepared(data, base, tmp_path / "out", method="kto", eval_fraction=0.0).preflight
    assert (preflight.examples, preflight.conversations) == (80, 40)


def test_a_data_set_folder_is_read(base, tmp_path):
    from datasets import Dataset, DatasetDict

    rows = [pair(number) for number in range(40)]
    Dataset.from_list(rows).save_to_disk(tmp_path / "flat")
    DatasetDict({"train": Dataset.from_list(rows)}).save_to_disk(tmp_path / "split")
    for name in ("flat", "split"):
        assert prepared(tmp_path / name, base, tmp_path / "out", eval_fraction=0.0).preflight.examples == 40


def test_a_gzipped_file_is_read(base, tmp_path):
    data = write_pairs(tmp_path / "prefs.jsonl")
    zipped = tmp_path / "prefs.jsonl.gz"
    zipped.write_bytes(gzip.compress(data.read_bytes()))
    assert prepared(zipped, base, tmp_path / "out", eval_fraction=0.0).preflight.examples == 40


def test_tools_are_laid_out_by_the_template(base, tmp_path):
    template = (base / "chat_template.jinja").read_text()
    with_tools = write_base(tmp_path / "base")
    shown = "{% if tools %}{{ tools[0].function.name }}|{% endif %}"
    calls = "{% for m in messages if m.tool_calls %}{{ m.tool_calls | tojson }}{% endfor %}"
    (with_tools / "chat_template.jinja").write_text(shown + calls + template)
    tools = [{"name": "brew", "parameters": {"size": 1}}]  # as LLaMA-Factory writes them
    data = write_rows(tmp_path / "prefs.jsonl", [pair(0, tools=json.dumps(tools))])
    preflight = prepared(data, with_tools, tmp_path / "out", eval_fraction=0.0).preflight
    assert preflight.rendered[0][0].startswith("brew|")


def turns(number: int, **fields: object) -> list[dict]:
    """Two pairs of one conversation."""
    later = [user(number), says(ASKS), {"role": "user", "content": "large"}]
    return [pair(number, **fields), pair(number, prompt=later, turn=1, **fields)]


@pytest.mark.parametrize("with_ids", [True, False])
def test_the_turns_of_a_conversation_are_held_out_together(base, tmp_path, with_ids):
    rows = [row for number in range(40) for row in turns(number)]
    if not with_ids:
        rows = [{key: value for key, value in row.items() if key != "conversation_id"} for row in rows]
    preflight = prepared(write_rows(tmp_path / "prefs.jsonl", rows), base, tmp_path / "out").preflight
    trained_on = len(preflight.trained_on)
    assert 0 < trained_on < preflight.conversations == 40
    assert preflight.examples == 2 * trained_on
    assert preflight.held_out == 2 * (40 - trained_on)


def test_what_is_held_out_does_not_change_when_chats_are_added(base, tmp_path):
    before = prepared(write_pairs(tmp_path / "less.jsonl", 20), base, tmp_path / "out")
    after = prepared(write_pairs(tmp_path / "more.jsonl", 40), base, tmp_path / "out")
    few, many = before.preflight.trained_on, after.preflight.trained_on
    assert few < many
    held_out = {pair(number)["conversation_id"] for number in range(20)} - few
    assert held_out
    assert not held_out & many


def test_a_file_that_export_prefs_held_out_is_used_as_such(base, tmp_path):
    data = write_pairs(tmp_path / "prefs.jsonl", 20)
    write_rows(tmp_path / "prefs.eval.jsonl", [pair(number) for number in range(20, 25)])
    preflight = prepared(data, base, tmp_path / "out").preflight
    assert (preflight.examples, preflight.held_out) == (20, 5)
    write_rows(tmp_path / "prefs.eval.jsonl", [pair(3)])
    with pytest.raises(InputError, match=r"1 conversations are in prefs\.jsonl too"):
        prepared(data, base, tmp_path / "out")


def test_a_chat_that_is_in_both_files_under_two_ids_is_refused_with_its_lines(base, tmp_path):
    opening = {"role": "user", "content": "My order with the number 77 has not come yet."}
    later = [opening, says(ASKS), {"role": "user", "content": "large"}]
    data = write_rows(tmp_path / "prefs.jsonl", [*map(pair, range(5)), pair(77, prompt=[opening])])
    for prompt in ([opening], later):
        again = pair(77, prompt=prompt, chosen=[says("Since when?")], conversation_id="again")
        write_rows(tmp_path / "prefs.eval.jsonl", [*map(pair, range(20, 25)), again])
        with pytest.raises(
            InputError, match=r"1 conversations are in prefs\.jsonl too \(prefs\.eval\.jsonl:6 begins as prefs"
        ):
            prepared(data, base, tmp_path / "out")
    greeted = [pair(number, prompt=[{"role": "user", "content": "Hi"}]) for number in (5, 30)]
    write_rows(tmp_path / "prefs.jsonl", [*map(pair, range(5)), greeted[0]])
    write_rows(tmp_path / "prefs.eval.jsonl", [*map(pair, range(20, 25)), greeted[1] | {"chosen": "Hello, what for?"}])
    assert prepared(data, base, tmp_path / "out").preflight.held_out == 6, "many chats begin with a greeting"


def test_held_out_rows_that_say_what_short_chats_in_training_say_are_named(base, tmp_path):
    data = write_rows(tmp_path / "prefs.jsonl", list(map(pair, range(20))))

    def again(number):
        system = {"role": "system", "content": f"It is 10:{number:02}."}
        asked = {"role": "user", "content": f" {request(number).upper()} !\u200b"}
        return pair(number, prompt=[system, asked], conversation_id=f"again-{number}")

    write_rows(tmp_path / "prefs.eval.jsonl", [*map(again, (0, 10)), *map(pair, range(30, 35))])
    preflight = prepared(data, base, tmp_path / "out").preflight
    [note] = [note for note in preflight.notes if "too short to tell apart" in note]
    assert note.startswith("2 rows held out have the same user messages as rows trained on")
    assert "(prefs.eval.jsonl:1 as prefs.jsonl:1, prefs.eval.jsonl:2 as prefs.jsonl:11)" in note


def chats(n, first, second):
    """A pair of each of two turns of `n` chats."""
    rows = []
    for number in range(n):
        opening = {"role": "user", "content": first(number)}
        later = [opening, says(ASKS), {"role": "user", "content": second(number)}]
        rows += [pair(number, prompt=[opening]), pair(number, prompt=later, turn=1)]
    return rows


def sides(data, base, tmp_path, **settings):
    """What is trained on and what is held out, as rows with all their words."""
    from collab_trl.preference.examples import read_examples

    preflight = prepared(data, base, tmp_path / "out", **settings).preflight
    found = read_examples(data, method="dpo", eval_fraction=settings.get("eval_fraction", 0.3))
    return preflight, found.train, found.held_out


def test_a_chat_under_four_ids_is_on_one_side_and_its_rows_are_learnt_from_once(base, tmp_path):
    rows = [row | {"conversation_id": f"{row['conversation_id']}-{copy}"} for copy in range(4) for row in turns_of(10)]
    data = write_rows(tmp_path / "prefs.jsonl", rows)
    preflight, train, held_out = sides(data, base, tmp_path)
    assert train
    assert held_out
    assert not {example.words for example in train} & {example.words for example in held_out}
    names = [{example.conversation.rpartition("-")[0] for example in side} for side in (train, held_out)]
    assert not names[0] & names[1]
    assert preflight.examples + preflight.held_out == len(rows) // 4
    assert preflight.repeated == 3 * len(rows) // 4
    assert preflight.conversations == 10
    [note] = [note for note in preflight.notes if "word for word" in note]
    assert note == (
        "60 rows say what another one does, word for word, 60 of them under another id, and are left out "
        "(prefs.jsonl:21 as prefs.jsonl:1, prefs.jsonl:22 as prefs.jsonl:2, prefs.jsonl:23 as prefs.jsonl:3, ...)."
    )


def turns_of(n):
    return [row for number in range(n) for row in turns(number)]


def test_chats_that_begin_with_the_same_request_are_on_one_side_whatever_follows(base, tmp_path):
    rows = chats(40, lambda n: f"Can I get a mocha for guest {n % 8}, please?", lambda n: f"with syrup {n}")
    _, train, held_out = sides(write_rows(tmp_path / "prefs.jsonl", rows), base, tmp_path)
    openings = [{example.said[0] for example in side} for side in (train, held_out)]
    assert all(openings)
    assert not openings[0] & openings[1]


GREETINGS = {
    "a greeting": lambda n: "Hi",
    "in capitals and with signs": lambda n: ("HI!", "hi...", "Hi")[n % 3],
    "in Japanese": lambda n: "こんにちは",
    "long, and the same for all": lambda n: "Hello, I have got a question about an order of mine.",
}


@pytest.mark.parametrize("first", GREETINGS.values(), ids=GREETINGS)
def test_chats_that_all_begin_with_a_greeting_are_told_apart_by_what_follows(base, tmp_path, first):
    rows = chats(60, first, lambda n: f"My order with the number {n} has not come yet.")
    _, train, held_out = sides(write_rows(tmp_path / "prefs.jsonl", rows), base, tmp_path)
    assert 6 < len({example.conversation for example in held_out}) < 30
    assert not {example.conversation for example in train} & {example.conversation for example in held_out}
    assert not {example.words for example in train} & {example.words for example in held_out}


def test_a_system_prompt_is_no_part_of_what_decides(base, tmp_path):
    found = []
    for system in ("You are a barista.", "You are a travel agent. Today is Sunday."):
        prompts = [[{"role": "system", "content": system}, *pair(number)["prompt"]] for number in range(40)]
        rows = [pair(number, prompt=prompt) for number, prompt in enumerate(prompts)]
        found.append(prepared(write_rows(tmp_path / "prefs.jsonl", rows), base, tmp_path / "out").preflight.trained_on)
    assert found[0] == found[1]


MESSAGES = st.sampled_from(["Hi", "hi!", "A mocha for guest 1, please.", "With oat milk and no syrup.", "Thanks"])
CHATS = st.lists(st.lists(MESSAGES, min_size=1, max_size=4), min_size=1, max_size=12)
"""What users say, chat by chat."""


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=CHATS, fraction=st.sampled_from([0.1, 0.5, 0.9]), names=st.sampled_from([("",), ("", "again"), None]))
def test_a_chat_is_on_one_side_whatever_its_ids_and_no_row_is_lost(tmp_path, said, fraction, names):
    from collab_trl.preference.examples import read_examples

    rows = [
        row if names is None else row | {"conversation_id": f"{name}{number}"}
        for name in names or ("",)
        for number, texts in enumerate(said)
        for row in rows_of(texts, f"{ASKS} {name}")
    ]
    file = write_rows(tmp_path / "prefs.jsonl", rows)
    found = read_examples(file, method="dpo", eval_fraction=fraction)
    assert found.train
    assert len(found.train) + len(found.held_out) + found.repeated == len(rows)
    assert_disjoint(found, lambda example: example.known_by)
    assert_disjoint(found, lambda example: example.words)
    if names is None:
        return
    assert_disjoint(found, lambda example: example.conversation)
    assert_disjoint(found, lambda example: whole_of(said[int(example.conversation.removeprefix("again"))]))


def assert_disjoint(found, known_by):
    train, held_out = ({known_by(example) for example in side} for side in (found.train, found.held_out))
    assert not train & held_out


def rows_of(texts, chosen):
    """A pair of each turn of a chat in which the user says `texts`."""
    prompt = []
    for turn, text in enumerate(texts):
        prompt += [{"role": "user", "content": text}]
        yield {"prompt": list(prompt), "chosen": chosen, "rejected": GUESSES, "turn": turn}
        prompt += [says(ASKS)]


def test_turns_of_chats_without_ids_that_begin_alike_are_on_one_side(base, tmp_path):
    rows = chats(60, lambda n: "Hi", lambda n: f"My order with the number {n} has not come yet.")
    later = [
        row | {"prompt": [*row["prompt"], says(ASKS), {"role": "user", "content": "Thanks"}]} for row in rows[1::2]
    ]
    unnamed = [{key: value for key, value in row.items() if key != "conversation_id"} for row in [*rows, *later]]
    _, train, held_out = sides(write_rows(tmp_path / "prefs.jsonl", unnamed), base, tmp_path)
    seconds = [{example.said[1] for example in side if len(example.said) > 1} for side in (train, held_out)]
    assert all(seconds)
    assert not seconds[0] & seconds[1]


def test_a_single_chat_is_trained_on_and_not_held_out_by_chance(base, tmp_path):
    for number in range(12):
        data = write_rows(tmp_path / "prefs.jsonl", [pair(number)])
        preflight = prepared(data, base, tmp_path / "out", eval_fraction=0.5).preflight
        assert (preflight.examples, preflight.held_out) == (1, 0)
        assert any("this run cannot be judged" in note for note in preflight.notes)


@pytest.mark.parametrize(("fraction", "sides_of"), [(0.999, (1, 19)), (0.001, (19, 1))])
def test_a_share_that_would_leave_a_side_empty_leaves_a_conversation_there(base, tmp_path, fraction, sides_of):
    data = write_pairs(tmp_path / "prefs.jsonl", 20)
    preflight = prepared(data, base, tmp_path / "out", eval_fraction=fraction).preflight
    assert (preflight.examples, preflight.held_out) == sides_of


def test_what_chooses_the_checkpoint_is_not_what_reports_on_it(base, tmp_path):
    from collab_trl.preference.held_out import in_two
    from collab_trl.preference.tokens import NOTHING, Tokens

    data = write_rows(tmp_path / "prefs.jsonl", list(map(guest, range(120))))
    _, _, held_out = sides(data, base, tmp_path, eval_fraction=0.5)
    tokens = [Tokens(example=example, prompt=[], chosen=NOTHING, rejected=NOTHING) for example in held_out]
    watching, reporting = in_two(tokens, chooses=True)
    names = [{each.example.conversation for each in side} for side in (watching, reporting)]
    assert not names[0] & names[1]
    assert abs(len(names[0]) - len(names[1])) <= 1
    assert names[0] | names[1] == {example.conversation for example in held_out}
    assert in_two(tokens, chooses=False) == (tokens, tokens)
    assert in_two(tokens[:47], chooses=True) == (tokens[:47], tokens[:47])


def test_turns_of_one_chat_are_too_few_to_report_on_it(base, tmp_path):
    from collab_trl.preference.held_out import in_two

    rows = [row for number in range(6) for row in long_chat(number, 6)]
    tokens = laid_out(write_rows(tmp_path / "prefs.jsonl", rows))
    assert in_two(tokens, chooses=True) == (tokens, tokens)


def long_chat(number, n):
    """Pairs of `n` turns."""
    said = [user(number)]
    rows = []
    for turn in range(n):
        rows.append(pair(number, prompt=list(said), turn=turn))
        said += [says(ASKS), {"role": "user", "content": f"number {turn}"}]
    return rows


def laid_out(data):
    """All examples of a file, as if they were tokens."""
    from collab_trl.preference.examples import read_examples
    from collab_trl.preference.tokens import NOTHING, Tokens

    found = read_examples(data, method="dpo", eval_fraction=0.0)
    return [Tokens(example=each, prompt=[], chosen=NOTHING, rejected=NOTHING) for each in found.train]


def judged(labels):
    return [{"prompt": f"{request(n)} {n}", "completion": ASKS, "label": label} for n, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("settings", "reported", "note"),
    [
        ({"eval_fraction": 0.5}, "half", "choose the checkpoint, and"),
        ({"eval_fraction": 0.5, "patience": 0}, "all", None),
        ({"eval_fraction": 0.1}, "all", "too few to choose the checkpoint by some and report on others"),
    ],
)
def test_how_many_of_those_held_out_report_is_said(base, tmp_path, settings, reported, note):
    data = write_rows(tmp_path / "prefs.jsonl", list(map(guest, range(120))))
    preflight = prepared(data, base, tmp_path / "out", **settings).preflight
    assert preflight.held_out
    half = preflight.held_out // 2
    expected = {"half": (half, half + 1), "all": (preflight.held_out,)}[reported]
    assert preflight.reported in expected
    said = [each for each in preflight.notes if "held out" in each]
    assert any(note in each for each in said) if note else not said


def test_the_margin_of_a_row_is_the_one_that_it_says_and_not_the_difference_of_its_scores(base, tmp_path):
    data = write_rows(tmp_path / "prefs.jsonl", [pair(number, margin=0.25) for number in range(4)])
    preflight = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight
    assert set(preflight.margins) == {0.25}


def test_a_file_may_be_one_json_array(base, tmp_path):
    data = tmp_path / "prefs.json"
    data.write_text(json.dumps([pair(number) for number in range(4)], indent=1))
    assert prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight.examples == 4


LOGGED = {
    "sharegpt": [{"from": "human", "value": request(0)}, {"from": "gpt", "value": ASKS}],
    "and the user goes on": [user(0), says(ASKS), {"role": "user", "content": "large"}],
}


@pytest.mark.parametrize("said", LOGGED.values(), ids=LOGGED)
def test_sft_learns_the_last_reply_of_a_logged_chat(base, tmp_path, said):
    data = write_rows(tmp_path / "chats.jsonl", [{"conversations" if "from" in said[0] else "conversation": said}])
    preflight = prepared(data, base, tmp_path / "out", method="sft", eval_fraction=0.0).preflight
    assert [text.strip() for text, counted in preflight.rendered if counted] == [f"{ASKS}<|im_end|>"]


@pytest.mark.parametrize(
    ("said", "margin"),
    [
        ({"margin": 0.5, "score_chosen": 3}, 0.5),
        ({"margin": True}, 1.5),
        ({"margin": "none"}, 1.5),
        ({"margin": "0.25"}, 0.25),
        ({"score_chosen": True}, None),
        ({"score_chosen": 10**400}, None),
        ({"score_rejected": None}, None),
    ],
)
def test_the_margin_of_a_row_is_read_the_same_for_training_and_in_the_report(base, tmp_path, said, margin):
    from collab_sdk.report.pair_rows import turn_of_pair

    row = pair(0, score_chosen=2.5, score_rejected=1.0) | said
    data = write_rows(tmp_path / "prefs.jsonl", [row])
    found = prepared(data, base, tmp_path / "out", eval_fraction=0.0).preflight.margins
    assert found == (() if margin is None else (margin,))
    assert turn_of_pair(row, 1)["pair"]["margin"] == margin


def test_a_margin_that_is_no_number_is_left_out(base, tmp_path):
    from datasets import Dataset

    Dataset.from_list([pair(n, score_chosen=float("nan")) for n in range(3)]).save_to_disk(tmp_path / "data")
    assert prepared(tmp_path / "data", base, tmp_path / "out", eval_fraction=0.0).preflight.margins == ()


def test_a_label_that_is_neither_true_nor_false_is_refused(base, tmp_path):
    rows = [
        {"prompt": request(n), "completion": ASKS, "label": label} for n, label in enumerate((True, 0, "bad", None))
    ]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    preflight = prepared(data, base, tmp_path / "out", method="kto", eval_fraction=0.0).preflight
    assert [fault.places for fault in preflight.faults] == [("rows.jsonl:3",), ("rows.jsonl:4",)]


@pytest.mark.parametrize(("n", "held_out"), [(20, 5), (40, 10), (200, 24), (400, 40)])
def test_of_a_few_hundred_chats_enough_are_held_out_to_tell(base, tmp_path, n, held_out):
    chats = [pair(k, prompt=[{"role": "user", "content": f"a table for guest number {k}"}]) for k in range(n)]
    preflight = prepared(
        write_rows(tmp_path / "prefs.jsonl", chats), base, tmp_path / "out", eval_fraction=None
    ).preflight
    assert preflight.held_out == held_out
