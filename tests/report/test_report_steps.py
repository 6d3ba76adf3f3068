"""What an assistant did, as the page shows it: calls with what came back, folded beside what it said."""

import re

import pytest
from support.browser import Opened, chromium, needs_browser
from support.reports import HOSTILE, called, came_back, future, said, tool_turn, with_every_text, write_rows

from collab_sdk.report import write_report

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page of rows, as far as it is asked for."""
    pages = []

    def open_rows(*rows, at="conversations", name="p.turns.jsonl", **options):
        path = write_rows(tmp_path / name, list(rows))
        write_report(path, tmp_path / "page.html")
        report = Opened(browser, tmp_path / "page.html", at, **options)
        pages.append(report)
        return report

    yield open_rows
    for report in pages:
        report.__exit__()


def of_score(*response, history=(), **fields):
    """A row of `collab score`."""
    row = {"schema": "collab/score/v2", "conversation_id": "c", "turn": 0, "goal": "", "made_with": {}}
    scores = {"mr": 1.0, "stderr": None, "n_ok": 1, "n": 1, "metrics": {}, "futures": [], "observed": None}
    return {**row, "history": [*history, said("go on", "user")], "response": list(response), **scores, **fields}


def steps_in(report, selector):
    return [" ".join(text.split()) for text in report.page.locator(f"{selector} .step summary").all_inner_texts()]


def open_turn(report, number=0):
    if not report.page.locator("#chat").is_visible():
        report.page.locator("#list [role=option]").first.click()
    report.page.locator(".opener").nth(number).click()


def unfold(report):
    folded = report.page.locator("#chat details:not([open]) > summary:visible")
    while folded.count():
        folded.first.click()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_steps_are_folded_in_history_candidates_and_futures_and_all_of_it_is_accessible(opened, dark):
    report = opened(tool_turn(), dark=dark)
    open_turn(report)
    assert steps_in(report, ".talk > .turn")[0].startswith('1 look_up(order=5) → {"status": "SHIPPED"')
    assert steps_in(report, ".candidate.chosen > .response") == [
        "2 cancel_order(order=5, refund=true) → error: it has shipped error grounded"
    ]
    assert steps_in(report, ".candidate.chosen .future") == ["3 return_label(order=5) → label 77-A grounded"]
    assert steps_in(report, ".candidate.rejected") == []
    assert report.violations() == []
    assert not report.page.locator(".deed").first.is_visible()
    unfold(report)
    assert report.violations() == []
    assert report.trouble == []


def test_a_step_is_opened_by_keyboard_and_shows_json_by_lines_with_its_numbers_as_they_were(opened):
    report = opened(tool_turn())
    step = report.page.locator(".talk .step").first
    step.locator("summary").focus()
    report.page.keyboard.press("Enter")
    arguments, result = step.locator(".code").all_inner_texts()
    assert arguments == '{\n  "order": 5\n}'
    assert result.splitlines()[:4] == [
        "{",
        '  "status": "SHIPPED",',
        '  "number": 12345678901234567890,',
        '  "items": [',
    ]
    assert '      "sku": "mug",' in result


def test_a_reason_stands_beside_the_step_and_the_text_that_it_speaks_of(opened):
    report = opened(tool_turn())
    open_turn(report)
    chosen, rejected = (report.page.locator(f".candidate.{side}") for side in ("chosen", "rejected"))
    reason = chosen.locator(".future > .reasons")
    assert "grounded: What call 2 refused" in reason.inner_text()
    reason.get_by_role("button", name="call 2").click()
    step = chosen.locator(".response .step")
    assert step.locator("details").get_attribute("open") is not None
    assert report.page.evaluate("document.activeElement.textContent").startswith("2cancel_order")
    assert step.locator(".reasons").inner_text().startswith("grounded 1.00, future 1: What call 2 refused")
    assert step.locator(".reasons").is_visible()
    reason.get_by_role("button", name="call 3").click()
    own = chosen.locator(".future .step .reasons")
    assert own.inner_text().startswith("grounded 1.00: What call 2 refused"), "it is the future's own step"
    beside = rejected.locator(".response > .reasons")
    assert beside.is_visible()
    assert beside.inner_text().startswith("grounded 0.00, future 1: No call stands behind")


def test_a_reason_that_names_a_tool_leads_to_its_call(opened):
    notes = {"goal": "It never used look_up for that, though a search was asked for."}
    played = future(said("ok", "user"), metrics={"goal": 0.5}, notes=notes)
    steps = [called("look_up"), came_back("1"), called("search", id="c2"), came_back("2", "c2"), said("Done.")]
    report = opened(of_score(*steps, futures=[played]))
    open_turn(report)
    assert report.page.locator(".future .to-step").all_inner_texts() == ["look_up"], "the other name is a word"
    assert steps_in(report, ".response") == ["1 look_up() → 1 goal", "2 search() → 2"]


def test_results_go_to_their_calls_in_any_order_and_what_is_missing_is_said(opened):
    calls = [called(name, id=name)["tool_calls"][0] for name in ("a", "b", "lost")]
    both = {"role": "assistant", "content": "", "tool_calls": calls}
    bad = called("", "[not json", "d")
    report = opened(of_score(both, came_back("of b", "b"), came_back("", "a"), came_back("whose?", "z"), bad))
    open_turn(report)
    assert steps_in(report, ".response") == [
        "1 a() → nothing",
        "2 b() → of b",
        "3 lost() no result",
        "? result of no call → whose?",
        "4 ?([not json) broken arguments no result no name",
    ]


def test_a_decision_is_called_one_and_its_result_is_in_what_followed(opened):
    made_with = {"per": "decision"}
    history = [said("order 5?", "user")]
    first = of_score(called("look_up", '{"order":5}'), turn=0, made_with=made_with)
    first |= {"history": history, "futures": [future(came_back("SHIPPED"), said("It has."))]}
    second = of_score(said("It has shipped."), turn=1, made_with=made_with)
    second["history"] = [*history, called("look_up", '{"order":5}'), came_back("SHIPPED")]
    report = opened(first, second)
    assert report.page.locator(".opener").all_inner_texts()[1].split("\n")[-1].endswith("Decision 2 · MR 1.00")
    assert "2 decisions" in report.text("#list")
    assert report.page.locator(".talk > .turn").count() == 3
    open_turn(report)
    assert steps_in(report, ".response") == ["1 look_up(order=5)"], "its result follows"
    assert steps_in(report, ".future") == ["1 result of look_up → SHIPPED"]
    report.go("overview")
    assert "2\ndecisions" in report.text(".tiles") or "decisions\n2" in report.text(".tiles")


def test_calls_that_differ_between_the_sides_are_marked(opened):
    sides = [[called("cancel_order", f'{{"order": {number}}}')] for number in (5, 6)]
    turn = tool_turn(pair={"chosen": sides[0], "rejected": sides[1], "margin": 1.0})
    turn["candidates"] = [{**one, "messages": side} for one, side in zip(turn["candidates"], sides, strict=True)]
    report = opened(turn, at="review")
    assert report.page.locator(".chosen .call mark").all_inner_texts() == ["5"]
    assert report.page.locator(".rejected .call mark").all_inner_texts() == ["6"]


def test_search_finds_calls_and_results_wherever_they_are(opened):
    report = opened(
        tool_turn(), tool_turn(conversation_id="other", history=[said("hi", "user")], candidates=[], pair=None)
    )
    for words in ("SHIPPED", "cancel_order", '"refund": true', "label 77-a"):
        report.page.fill("#search", "nobody says this")
        report.sees("#shown", "0 of 2")
        report.page.fill("#search", words)
        report.sees("#shown", "1 of 2")


@pytest.mark.parametrize("width", [1280, 320])
def test_a_long_result_is_cut_in_the_middle_and_whole_when_asked_for(opened, width):
    result = "begin " + "x" * 200_000 + " end"
    report = opened(of_score(called("read"), came_back(result), said("Read.")), width=width)
    open_turn(report)
    report.page.locator(".response .step summary").click()
    shown = report.page.locator(".response .code").last
    text = shown.inner_text()
    assert text.startswith("begin xxx")
    assert text.endswith("xxx end")
    assert "… 197,010 characters left out …" in text
    assert not report.has_overflow()
    assert report.violations() == []
    report.page.locator(".response").get_by_role("button", name="Show all 200,010 characters").click()
    assert len(shown.inner_text()) == 200_010
    assert not report.has_overflow()


def test_hostile_calls_and_results_stay_text(opened):
    hostile = with_every_text(tool_turn(), lambda text: HOSTILE + text)
    nested = of_score(called("deep", "[" * 100_000), came_back("{" * 100_000), said("x"), conversation_id=HOSTILE)
    report = opened({**hostile, "schema": "collab/scored-turn/v2"}, {**nested, "schema": "collab/scored-turn/v2"})
    open_turn(report)
    unfold(report)
    shown = report.text("#chat")
    assert "<script>hacked = 1</script>" in shown
    for code in ("U+202E", "U+200B", "U+001B", "U+0000"):
        assert code in shown
    assert not re.search("[\u202e\u200b\x1b\x00]", shown)
    assert report.page.evaluate("typeof hacked") == "undefined"
    assert report.page.locator("main img, main script, main a[href^=javascript]").count() == 0
    assert report.violations() == []
    assert report.trouble == []
