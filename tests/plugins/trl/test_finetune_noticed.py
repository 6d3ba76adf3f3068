"""What the fine-tuner notices about preferences before it learns from them."""

from pathlib import Path

import pytest
from support.training import (
    ASKS,
    GUESSES,
    LOOK_UP,
    calling,
    pair,
    prepared,
    request,
    turn,
    write_base,
    write_rows,
    write_tool_base,
)

from collab_sdk.errors import InputError

LONG = "Here you are, all done, and all the best to you and to your sister on Sunday."


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def preferring(number: int, chosen: str, rejected: str) -> dict:
    sides = {"chosen": chosen, "rejected": rejected}
    return pair(number, **{side: [{"role": "assistant", "content": text}] for side, text in sides.items()})


def preflight(base, tmp_path, rows, **settings):
    data = write_rows(tmp_path / "p.jsonl", rows)
    return prepared(data, base, tmp_path / "out", **{"eval_fraction": 0.0, **settings}).preflight


def notes(base, tmp_path, rows, about, **settings):
    return [note for note in preflight(base, tmp_path, rows, **settings).notes if about in note]


def apart(n: int) -> list[dict]:
    """Pairs in which neither length nor a question tells which is chosen."""
    sides = [(ASKS, GUESSES), (GUESSES, ASKS), (GUESSES, "No."), ("No.", GUESSES)]
    return [preferring(number, *sides[number % 4]) for number in range(n)]


def spaced(row: dict) -> dict:
    """The same with other blanks."""
    return row | {
        side: [message | {"content": f" {message['content']}\n".replace(" ", "  ")} for message in row[side]]
        for side in ("prompt", "chosen", "rejected")
    }


CONTRADICTED = {
    "the other way round": [(ASKS, GUESSES), (GUESSES, ASKS)],
    "in a circle of three": [(ASKS, GUESSES), (GUESSES, "No."), ("No.", ASKS)],
    "in two circles": [(ASKS, GUESSES), (GUESSES, ASKS), (GUESSES, "No."), ("No.", GUESSES)],
}


@pytest.mark.parametrize("sides", CONTRADICTED.values(), ids=CONTRADICTED)
def test_pairs_that_contradict_each_other_are_named_with_their_lines(base, tmp_path, sides):
    rows = [preferring(0, *pair) for pair in sides] + apart(40)[1:]
    [note] = notes(base, tmp_path, rows, "contradicted")
    assert note.startswith(f"{len(sides)} of {len(rows)} pairs are contradicted by others")
    lines = " and ".join(f"p.jsonl:{number}" for number in range(1, len(sides) + 1))
    assert f"({lines})" in note


def test_a_pair_is_contradicted_under_another_id_and_with_other_blanks(base, tmp_path):
    rows = [*apart(10), spaced(preferring(0, GUESSES, ASKS)) | {"conversation_id": "again"}]
    [note] = notes(base, tmp_path, rows, "contradicted")
    assert "(p.jsonl:1 and p.jsonl:11)" in note


def under(system: str, row: dict) -> dict:
    """The same under a system prompt."""
    return row | {"prompt": [{"role": "system", "content": system}, *row["prompt"]]}


def in_capitals(row: dict) -> dict:
    return row | {side: [m | {"content": m["content"].upper()} for m in row[side]] for side in ("prompt", "chosen")}


NEARLY = {
    "in capitals": (preferring(0, ASKS, GUESSES), in_capitals(preferring(0, GUESSES, ASKS))),
    "under system prompts with the time": (
        under("It is 10:00.", preferring(0, ASKS, GUESSES)),
        under("It is 10:01.", preferring(0, GUESSES, ASKS)),
    ),
}


@pytest.mark.parametrize("rows", NEARLY.values(), ids=NEARLY)
def test_pairs_that_contradict_each_other_but_for_case_or_system_prompt_are_named(base, tmp_path, rows):
    [note] = notes(base, tmp_path, [*rows, *apart(12)[1:]], "contradicted")
    assert note.startswith("2 of 13 pairs are contradicted by others that differ in case, punctuation or the system")
    assert "(p.jsonl:1 and p.jsonl:2)" in note


@pytest.mark.parametrize("method", ["dpo", "kto", "sft"])
def test_rows_whose_scores_say_the_opposite_are_named(base, tmp_path, method):
    worse = {"score_chosen": 0.1, "score_rejected": 2.0}
    rows = [pair(number, **(worse if number in (2, 5) else {})) for number in range(10)]
    [note] = notes(base, tmp_path, rows, "score the rejected", method=method)
    assert note.startswith("2 of 10 rows score the rejected reply above the chosen one (p.jsonl:3, p.jsonl:6)")


@pytest.mark.parametrize("method", ["dpo", "sft"])
def test_a_call_that_is_gone_on_from_without_its_result_is_noted(tmp_path, method):
    base = write_tool_base(tmp_path / "base")
    answer = {"role": "assistant", "content": "It is open."}
    chosen = [turn(0), [calling(1)], [calling(2), answer]]
    rows = [pair(number, chosen=each, tools=[LOOK_UP]) for number, each in enumerate(chosen)]
    [note] = notes(base, tmp_path, rows, "without its result", method=method)
    assert note.startswith("1 rows go on behind a tool call without its result (p.jsonl:3)")


AGREEING = {
    "an order of three": [(0, ASKS, GUESSES), (0, GUESSES, "No."), (0, ASKS, "No.")],
    "another prompt": [(0, ASKS, GUESSES), (1, GUESSES, ASKS)],
    "one of two better ones": [(0, ASKS, GUESSES), (0, "No.", GUESSES)],
}


@pytest.mark.parametrize("rows", AGREEING.values(), ids=AGREEING)
def test_pairs_that_agree_are_none(base, tmp_path, rows):
    assert not notes(base, tmp_path, [preferring(*row) for row in rows], "contradicted")


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_nothing_is_learnt_from_pairs_that_are_all_contradicted(base, tmp_path, method):
    rows = [row for number in range(20) for row in (pair(number), preferring(number, GUESSES, ASKS))]
    with pytest.raises(InputError, match=r"nothing to learn: .*\(p\.jsonl:\d+ and p\.jsonl:\d+, ") as refused:
        preflight(base, tmp_path, rows, method=method, eval_fraction=0.3)
    assert "\n" not in str(refused.value)


def test_a_reply_that_is_good_in_one_row_and_bad_in_another_is_named_with_both(base, tmp_path):
    said = [(0, ASKS, True), (0, GUESSES, False), (1, ASKS, True), (0, ASKS, False)]
    rows = [{"prompt": request(n), "completion": text, "label": label} for n, text, label in said]
    [note] = notes(base, tmp_path, rows, "good in one row", method="kto")
    assert note.startswith("2 of 4 replies are good in one row and bad in another (p.jsonl:1 and p.jsonl:4)")


def test_replies_that_are_all_good_are_noted_on_the_side_where_they_are(base, tmp_path):
    def judged(label, more=""):
        return [{"prompt": f"{request(n)}{more}", "completion": ASKS, "label": label(n)} for n in range(20)]

    write_rows(tmp_path / "p.eval.jsonl", judged(lambda n: True, more=", now"))
    found = notes(base, tmp_path, judged(lambda n: n % 2 == 0), "are good ones", method="kto")
    assert found == [
        "All 20 replies held out are good ones, so it cannot be measured how well good is told from bad: add some that "
        "are bad."
    ]
    [note] = notes(base, tmp_path, judged(lambda n: False), "are bad ones", method="kto")
    assert note.startswith("All 20 replies trained on are bad ones, so the model does not learn to tell good from bad")


def test_sides_that_differ_in_blanks_alone_are_named(base, tmp_path):
    blank = preferring(3, ASKS, f"{ASKS}\n")
    [note] = notes(base, tmp_path, [*apart(3), blank], "blanks")
    assert note.startswith("1 of 4 pairs differ in blanks alone (p.jsonl:4)")
    with pytest.raises(InputError, match=r"nothing to learn: 1 of 1 pairs differ in blanks alone \(p\.jsonl:1\)"):
        preflight(base, tmp_path, [blank])
    rest = [preferring(0, *sides) for sides in ((ASKS, GUESSES), (GUESSES, ASKS))]
    with pytest.raises(InputError, match=r"1 of 3 pairs differ in blanks .*; 2 of 3 pairs are contradicted"):
        preflight(base, tmp_path, [blank, *rest])


def test_a_chat_whose_calls_have_other_ids_and_whose_texts_have_other_blanks_is_the_same(tmp_path):
    base = write_tool_base(tmp_path / "base")
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    first, again = (
        pair(0, chosen=[calling(0) | {"tool_calls": [calling(0)["tool_calls"][0] | {"id": id}]}], tools=tools)
        for id in ("one", "other")
    )
    found = preflight(base, tmp_path, [first, spaced(again) | {"conversation_id": "again"}])
    assert (found.examples, found.repeated, found.conversations) == (1, 1, 1)
    assert any("1 of them under another id" in note and "(p.jsonl:2 as p.jsonl:1)" in note for note in found.notes)


@pytest.mark.parametrize(("longer", "word"), [(37, "longer"), (3, "shorter"), (20, None), (26, None)])
def test_pairs_whose_length_tells_which_is_chosen_are_noted(base, tmp_path, longer, word):
    rows = [preferring(n, *((LONG, GUESSES) if n < longer else (GUESSES, LONG))) for n in range(40)]
    found = notes(base, tmp_path, rows, "length tells chosen from rejected")
    assert len(found) == (word is not None)
    if word:
        told = max(longer, 40 - longer) / 40
        assert f"in {told:.0%} of the pairs" in found[0]
        assert f"may learn to write {word}" in found[0]


ASKING = {
    "asks always": (38, 2, "learn to ask where nothing is open"),
    "never asks": (2, 38, "learn never to ask"),
    "asks where it should": (26, 14, None),
    "rarely asks": (4, 0, None),
}


@pytest.mark.parametrize(("asks", "answers", "told"), ASKING.values(), ids=ASKING)
def test_over_asking_is_foretold_from_the_pairs(base, tmp_path, asks, answers, told):
    sides = [(ASKS, GUESSES)] * asks + [(GUESSES, ASKS)] * answers
    sides += [(GUESSES, LONG)] * (40 - len(sides)) + [(LONG, GUESSES)] * 20
    unlike = [preferring(n % 40, *each) | {"conversation_id": f"{n}"} for n, each in enumerate(sides)]
    rows = [row | {"prompt": f"{request(n % 40)} for guest {n}"} for n, row in enumerate(unlike)]
    found = preflight(base, tmp_path, rows)
    said = [note for note in found.notes if "one reply alone asks" in note]
    assert len(said) == (told is not None)
    assert all(told in note for note in said)
    assert found.pairs["chosen asks"].count == asks
    assert found.pairs["rejected asks"].count == answers


@pytest.mark.parametrize("clear", [False, True], ids=["all first messages are open", "some are clear"])
def test_over_asking_is_foretold_from_what_is_chosen_on_first_messages(base, tmp_path, clear):
    rows = []
    for number in range(40):
        opening = {"role": "user", "content": f"{request(number)} for guest {number}"}
        later = [opening, {"role": "assistant", "content": ASKS}, {"role": "user", "content": "large"}]
        at_first = (GUESSES, ASKS) if clear and number % 3 == 0 else (ASKS, GUESSES)
        rows.append(preferring(number, *at_first) | {"prompt": [opening]})
        rows.append(preferring(number, GUESSES, ASKS) | {"prompt": later})
    found = notes(base, tmp_path, rows, "learn to ask where nothing is open")
    assert len(found) == (not clear)
    assert all("Of 40 pairs on a first message in which one reply alone asks, it is the chosen one" in n for n in found)


def test_of_a_few_chats_nothing_is_said(base, tmp_path):
    found = preflight(base, tmp_path, [preferring(number, ASKS, LONG) for number in range(4)])
    assert not [note for note in found.notes if "learn" in note]
    assert found.pairs["chosen asks"].low is None


def test_replies_alone_are_not_compared(base, tmp_path):
    found = preflight(
        base, tmp_path, [row for n in range(9) for row in (pair(n), preferring(n, GUESSES, ASKS))], method="sft"
    )
    assert found.examples == 18
    assert not found.pairs
