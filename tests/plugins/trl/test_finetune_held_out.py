"""What is held out of preferences: a chat is on one side, and who chooses the checkpoint does not report on it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.training import ASKS, GUESSES, guest, pair, prepared, request, write_base, write_pairs, write_rows

from collab_sdk.errors import InputError
from collab_sdk.preferences import whole_of


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def user(number: int) -> dict[str, str]:
    return {"role": "user", "content": request(number)}


def says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


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


@pytest.mark.parametrize(("n", "held_out"), [(20, 5), (40, 10), (200, 24), (400, 40)])
def test_of_a_few_hundred_chats_enough_are_held_out_to_tell(base, tmp_path, n, held_out):
    chats = [pair(k, prompt=[{"role": "user", "content": f"a table for guest number {k}"}]) for k in range(n)]
    preflight = prepared(
        write_rows(tmp_path / "prefs.jsonl", chats), base, tmp_path / "out", eval_fraction=None
    ).preflight
    assert preflight.held_out == held_out
