"""The report page in a real browser: what people see, and do."""

import json

import pytest
from support.browser import Opened, chromium, needs_browser
from support.cli import collab
from support.reports import KINDS, rows_of, write_inputs, write_rows

from collab_sdk.report import write_report

pytestmark = needs_browser
VIEWS = [(kind, view) for kind in KINDS for view in ("overview", "conversations")] + [("pairs", "review")]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def pages(inputs):
    for path in inputs.values():
        write_report(path, path.with_suffix(".html"))
    return {kind: path.with_suffix(".html") for kind, path in inputs.items()}


@pytest.fixture(scope="module")
def browser(pages):  # made first: no call runs once the browser's loop does
    with chromium() as running:
        yield running


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("kind", "view"), VIEWS)
def test_a_view_opens_from_disk_asks_nobody_and_is_accessible(browser, pages, kind, view, dark):
    with Opened(browser, pages[kind], view, dark=dark) as report:
        if view == "conversations" and report.page.locator(".opener").count():
            report.page.locator(".opener").first.click()
        assert report.page.locator(f"#view-{view}").is_visible()
        assert report.violations() == []
        assert report.trouble == []


@pytest.mark.parametrize(("kind", "view"), VIEWS)
def test_a_view_fits_a_narrow_screen(browser, pages, kind, view):
    with Opened(browser, pages[kind], view, width=320) as report:
        assert not report.has_overflow()
        if view != "conversations":
            return
        report.page.locator("#list [role=option]").first.click()
        report.page.locator(".chat-head h3").wait_for()
        assert not report.page.locator("#list").is_visible(), "one thing at a time"
        if report.page.locator(".opener").count():
            report.page.locator(".opener").first.click()
        assert not report.has_overflow()
        assert report.violations() == []
        report.page.get_by_role("button", name="All conversations").click()
        assert report.page.locator("#list").is_visible()


def test_the_overview_says_what_the_pairs_are_about(browser, pages, inputs):
    turns = rows_of(inputs["pairs"].with_name("pairs.turns.jsonl"))
    pairs = sum(turn["pair"] is not None for turn in turns)
    with Opened(browser, pages["pairs"]) as report:
        shown = report.text("#view-overview")
        assert f"pairs\n{pairs}" in shown
        assert "longer reply in" in shown
        assert "asks something" in shown
        assert "token penalty" in report.page.inner_text(".plots")
        assert "gave a pair" in shown
        assert "assistant\toffline" in shown, "models and settings"
        assert "from cache" in shown
        assert report.page.locator(".plot svg").count() == 4


def test_conversations_are_searched_filtered_and_ordered(browser, pages):
    with Opened(browser, pages["pairs"], "conversations") as report:
        page = report.page
        assert "12 conversations" in report.text("#shown")
        page.fill("#search", "A MOCHA please")
        report.sees("#shown", " of 12")
        assert 0 < page.locator("#list [role=option]").count() < 12
        page.fill("#search", "no chat says this")
        report.sees("#shown", "0 of 12")
        page.fill("#search", "")
        report.sees("#shown", "12 conversations")
        tags = page.locator("#filter option").all_inner_texts()
        assert any(tag.startswith("held out") for tag in tags)
        page.select_option("#filter", "held out")
        assert 0 < page.locator("#list [role=option]").count() < 12
        page.select_option("#filter", "all")
        page.select_option("#order", "margin")
        lines = page.locator("#list .second").all_inner_texts()
        margins = [float(line.split("margin ")[1].split()[0]) for line in lines if "margin" in line]
        assert len(margins) > 1
        assert margins == sorted(margins, reverse=True)
        assert report.trouble == []


def test_a_turn_opens_its_candidates_with_futures_and_reasons(browser, pages):
    with Opened(browser, pages["pairs"], "conversations") as report:
        page = report.page
        opener = page.locator(".opener", has_text="pair, margin").first
        assert opener.get_attribute("aria-expanded") == "false"
        opener.click()
        assert opener.get_attribute("aria-expanded") == "true"
        panel = page.locator(".panel").first
        chosen = panel.get_by_role("group", name="Chosen response")
        assert chosen.is_visible()
        assert panel.get_by_role("group", name="Rejected response").is_visible()
        assert "Future 1" in chosen.inner_text()
        assert "interactivity:" in chosen.inner_text(), "the judge's reason"
        assert "learnt by asking" in chosen.inner_text()
        assert page.locator(".talk > svg polyline").get_attribute("points"), "the curve beside the chat"
        opener.click()
        assert not panel.is_visible()


def test_a_future_says_who_played_it_and_the_overview_has_a_table(browser, inputs, tmp_path):
    rows = rows_of(inputs["scores"])
    first, second, *_ = rows[0]["futures"]
    first |= {"user": "logs:chats.jsonl", "persona": "sceptical"}
    gone = {"reward": None, "error": "human as user raised E: gone home.", "end": "user failed", "user": "human"}
    rows[0]["futures"][1] = {**second, **gone, "messages": [], "metrics": {}, "notes": {}}
    rows[0] |= {"n_ok": rows[0]["n_ok"] - 1}
    write_report(write_rows(tmp_path / "s.jsonl", rows), tmp_path / "s.html")
    with Opened(browser, tmp_path / "s.html") as report:
        shown = report.text("#view-overview")
        assert "Who played the user" in shown
        assert "logs:chats.jsonl, sceptical\t1" in shown
        assert "human\t1\tuser failed 1" in shown
        assert "1 sample is missing because of the simulated user" in shown
        report.go(f"conversation/{rows[0]['conversation_id']}")
        report.page.locator(".opener").first.click()
        futures = report.page.locator(".panel .branches > li")
        assert "Played by logs:chats.jsonl, sceptical" in futures.nth(0).inner_text()
        assert "failed · user failed" in futures.nth(1).inner_text()
        assert futures.nth(1).locator(".failed").inner_text() == gone["error"]
        assert "Played by" not in futures.last.inner_text(), "what really followed was played by nobody"
        assert report.violations() == report.trouble == []
    with Opened(browser, tmp_path / "s.html", width=320) as report:
        assert not report.has_overflow()


def test_one_user_alone_has_no_table(browser, pages):
    for kind in ("pairs", "scores", "evaluation"):
        with Opened(browser, pages[kind]) as report:
            assert "Who played the user" not in report.text("#view-overview")


def test_differences_of_the_sides_are_marked(browser, inputs, tmp_path):
    turn = next(turn for turn in rows_of(inputs["pairs"].with_name("pairs.turns.jsonl")) if turn["pair"])
    texts = ["Sure, a mocha. Which size?", "Sure, a mocha. Coming up."]
    sides = [[{"role": "assistant", "content": text}] for text in texts]
    turn["candidates"] = [{**one, "messages": side} for one, side in zip(turn["candidates"], sides, strict=False)]
    turn["pair"] |= dict(zip(("chosen", "rejected"), sides, strict=True))
    write_report(write_rows(tmp_path / "p.turns.jsonl", [turn]), tmp_path / "p.html")
    with Opened(browser, tmp_path / "p.html", "review") as report:
        assert report.page.locator(".chosen mark").all_inner_texts() == ["Which size?"]
        assert report.page.locator(".rejected mark").all_inner_texts() == ["Coming up."]


def test_an_address_leads_to_a_turn_and_to_a_pair(browser, pages):
    with Opened(browser, pages["pairs"], "conversations") as report:
        report.page.locator(".opener").nth(1).click()
        address = report.page.evaluate("location.hash.slice(1)")
        assert address.startswith("conversation/")
        report.page.locator(".panel a", has_text="Review this pair").first.click()
        report.page.locator("#view-review").wait_for()
        pair = report.page.evaluate("location.hash.slice(1)")
        report.go(address)
        assert report.page.locator(".opener[aria-expanded=true]").count() == 1
        report.go(pair)
        assert report.page.locator("#view-review .chosen").is_visible()
        assert report.page.evaluate("location.hash.slice(1)") == pair
        report.go("conversation/no such chat/1")
        report.go("review/no-such-pair")
        assert report.trouble == []


def test_a_link_to_a_turn_is_copied_and_opens_it_where_it_can_be_seen(browser, pages):
    with Opened(browser, pages["scores"], "conversations") as report:
        page = report.page
        report.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("link", name="Copy link to Turn 2").click()
        report.sees(".opening:has(.opener[data-turn='2'])", "Copied")
        link = page.evaluate("navigator.clipboard.readText()")
        assert link.endswith("/2")
        page.goto("about:blank")
        page.goto(link)
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        opener = page.locator(".opener[aria-expanded=true]")
        assert opener.inner_text().startswith("›\nTurn 2")
        assert 0 < opener.bounding_box()["y"] < 800
        assert report.trouble == []


def test_a_search_marks_its_hits_as_text_and_opens_what_hides_them(browser, inputs, tmp_path):
    [turn] = [turn for turn in rows_of(inputs["scores"]) if turn["conversation_id"] == "sample-01"][:1]
    turn["history"] = [{"role": "user", "content": "İ <b>Tea</b> or TEA\u200b? " + "x" * 3000 + " deep <i>end"}]
    turn["futures"][1]["messages"][0]["content"] = "<img src=x onerror=hacked=1> only here"
    write_report(write_rows(tmp_path / "s.jsonl", [turn]), tmp_path / "s.html")
    with Opened(browser, tmp_path / "s.html", "conversations") as report:
        page, marks = report.page, report.page.locator("#chat mark.hit")
        page.fill("#search", "tea")
        report.sees("#list .first:has(mark.hit)", "Tea")
        assert marks.all_inner_texts() == ["Tea", "TEA"]
        page.fill("#search", "onerror=hacked")
        report.sees(".hits", "1 hit")
        assert marks.count() == 0, "the turn is closed"
        page.locator("#list [role=option]").first.click()
        marks.wait_for()
        assert marks.inner_text() == "onerror=hacked"
        assert page.evaluate("typeof hacked") == "undefined"
        page.fill("#search", "deep <i>end")
        report.has_none("#chat mark.hit")
        page.locator("#list [role=option]").first.click()
        marks.wait_for()
        assert marks.inner_text() == "deep <i>end", "beyond what is shown at first"
        assert report.violations() == report.trouble == []
        page.fill("#search", "")
        report.has_none("mark.hit")


def test_the_worst_is_first_and_lost_futures_stand_beside_the_score(browser, inputs, tmp_path):
    rows = rows_of(inputs["scores"])
    rows[0] |= {"n_ok": rows[0]["n"] - 1, "bounds": [0.5, 1.5]}
    write_report(write_rows(tmp_path / "s.jsonl", rows), tmp_path / "s.html")
    with Opened(browser, tmp_path / "s.html", "conversations") as report:
        page = report.page
        worst = [line.split(" · ")[0] for line in page.locator("#list .second").all_inner_texts()]
        assert worst == sorted(worst)
        assert worst[0] == f"worst {min(row['mr'] for row in rows):.2f}"
        page.select_option("#order", "lost")
        page.locator("#list [role=option]").first.click()
        report.sees(".chat-head h3", rows[0]["conversation_id"])
        assert "1 future lost" in page.locator(".opener").first.inner_text()
        page.locator(".opener").first.click()
        assert page.inner_text(".lost") == f"1 of {rows[0]['n']} futures lost, MR 0.50 to 1.50 with them"


def test_a_wide_table_stands_one_figure_under_the_other_on_a_phone(browser, pages):
    with Opened(browser, pages["pairs"], width=390) as report:
        table = report.page.get_by_role("region", name="Calls and money by role, table")
        assert table.evaluate("box => box.scrollWidth <= box.clientWidth")
        label = table.locator("td").first.evaluate("cell => getComputedStyle(cell, '::before').content")
        assert label == '"calls"'


def test_pairs_are_reviewed_by_keyboard_and_the_decisions_applied(browser, pages, inputs, tmp_path):
    turns = rows_of(inputs["pairs"].with_name("pairs.turns.jsonl"))
    first, second, third = [turn for turn in turns if turn["pair"]][:3]
    with Opened(browser, pages["pairs"], "review") as report:
        page = report.page
        page.locator(".bar select").select_option("file")
        page.get_by_label("Your name").fill("Ada Lovelace")
        page.get_by_label("Your name").press("k")
        assert report.text(".bar").startswith("0 of "), "a letter in a name decides nothing"
        page.get_by_label("Your name").fill("Ada Lovelace")
        page.keyboard.press("Tab")
        page.locator("#main").focus()
        steps = [("k", "Kept", 1), ("f", "Flipped", 2), ("d", "Dropped", 3), ("d", "Dropped", 4), ("u", "Undone", 3)]
        for key, said, done in steps:
            page.keyboard.press(key)
            report.sees(".bar", f"{done} of ")
            report.sees("#said", said)
        assert report.text(".bar").startswith("3 of ")
        page.keyboard.press("p")
        page.wait_for_selector("[data-decision=drop][aria-pressed=true]")
        report.go("review")
        assert report.text(".bar").startswith("3 of "), "the browser kept it"
        with page.expect_download() as download:
            page.get_by_role("button", name="Save decisions").click()
        assert download.value.suggested_filename == "pairs.decisions.json"
        download.value.save_as(tmp_path / "decisions.json")
        assert report.trouble == []
    result = collab(
        "report", "--apply", tmp_path / "decisions.json", inputs["pairs"], "-o", tmp_path / "reviewed.jsonl"
    )
    assert result.exit_code == 0, result.output
    assert "1 kept, 1 flipped, 1 dropped by Ada Lovelace" in result.stderr
    reviewed = rows_of(tmp_path / "reviewed.turns.jsonl")
    by_place = {(turn["conversation_id"], turn["turn"]): turn for turn in reviewed}
    after = [by_place[turn["conversation_id"], turn["turn"]] for turn in (first, second, third)]
    assert [turn["review"]["decision"] for turn in after] == ["keep", "flip", "drop"]
    assert {turn["review"]["by"] for turn in after} == {"Ada Lovelace"}
    assert after[1]["pair"]["chosen"] == second["pair"]["rejected"]
    assert after[2]["pair"] is None
    assert json.loads((tmp_path / "decisions.json").read_text())["schema"] == "collab/decisions/v1"


def test_a_key_held_down_decides_on_no_pair_that_nobody_has_seen(browser, pages):
    with Opened(browser, pages["pairs"], "review") as report:
        report.page.locator("#main").focus()
        for _ in range(6):
            report.page.keyboard.down("k")  # without going up in between, as a key that is held repeats
        report.page.keyboard.up("k")
        report.sees(".bar", "1 of ")
        report.sees("#said", "Kept")
        assert report.text(".bar").startswith("1 of ")


def test_single_keys_can_be_switched_off(browser, pages):
    with Opened(browser, pages["pairs"], "review") as report:
        report.page.get_by_label("Single keys").uncheck()
        report.page.locator("#main").focus()
        report.page.keyboard.press("k")
        report.page.keyboard.press("d")
        assert report.text(".bar").startswith("0 of ")
        report.page.get_by_role("button", name="Keep").click()
        report.sees("#said", "Kept")
        assert report.text(".bar").startswith("1 of ")


def test_the_list_is_walked_by_keyboard(browser, pages):
    with Opened(browser, pages["scores"], "conversations") as report:
        page = report.page
        page.focus("#list")
        titles = []
        for key in ("Home", "ArrowDown", "End", "ArrowUp"):
            page.keyboard.press(key)
            titles.append(page.locator("[role=option][aria-selected=true]").get_attribute("aria-posinset"))
        assert titles == ["1", "2", "12", "11"]
        active = page.get_attribute("#list", "aria-activedescendant")
        assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "chat"


def test_the_theme_follows_the_system_until_it_is_chosen(browser, pages):
    background = "getComputedStyle(document.body).backgroundColor"
    with Opened(browser, pages["pairs"]) as report:
        light = report.page.evaluate(background)
        report.page.emulate_media(color_scheme="dark")
        dark = report.page.evaluate(background)
        assert light != dark
        plot = "getComputedStyle(document.querySelector('.plot text')).fill"
        in_dark = report.page.evaluate(plot)
        report.page.click("#theme")
        assert report.page.evaluate(background) == light
        assert report.page.evaluate(plot) != in_dark, "plots follow"
        report.go("conversations")
        assert report.page.evaluate(background) == light, "the choice is remembered"


def test_paper_shows_the_view_without_its_controls(browser, pages):
    with Opened(browser, pages["pairs"], dark=True) as report:
        report.page.emulate_media(media="print", color_scheme="dark")
        assert not report.page.locator(".top nav").is_visible()
        assert not report.page.locator("#theme").is_visible()
        assert report.page.locator(".plot").first.is_visible()
        assert report.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert report.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


def test_of_many_conversations_only_those_in_sight_are_in_the_document(browser, inputs, tmp_path):
    [turn] = rows_of(inputs["pairs"].with_name("pairs.turns.jsonl"))[:1]
    rows = [turn | {"conversation_id": f"chat-{number}"} for number in range(3000)]
    write_report(write_rows(tmp_path / "many.turns.jsonl", rows), tmp_path / "many.html")
    with Opened(browser, tmp_path / "many.html", "conversations") as report:
        page = report.page
        assert "3,000 conversations" in report.text("#shown")
        assert page.locator("#list [role=option]").count() < 60
        page.focus("#list")
        page.keyboard.press("End")
        report.sees(".chat-head h3", "chat-2999")
        page.fill("#search", "chat-1234")
        report.sees("#shown", "1 of 3,000")
        assert report.trouble == []
