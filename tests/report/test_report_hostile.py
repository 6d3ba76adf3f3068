"""Whatever is in a chat, the page shows it as text, and nothing of it runs."""

import pytest
from support.browser import Opened, chromium, needs_browser
from support.cli import collab
from support.reports import HOSTILE, KINDS, rows_of, with_every_text, write_inputs, write_rows

from collab_sdk.report import write_report

pytestmark = needs_browser
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Of files in which every text that a chat, a model or a user can set is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    pages = {}
    for kind, path in write_inputs(folder).items():
        source = path.with_name("pairs.turns.jsonl") if kind == "pairs" else path
        hostile = [with_every_text(row, lambda text: HOSTILE + text) for row in rows_of(source)]
        pages[kind] = folder / f"{kind}.html"
        write_report(write_rows(source, hostile), pages[kind])
    return pages


@pytest.fixture(scope="module")
def browser(pages):
    with chromium() as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_runs_nothing_anywhere(browser, pages, kind):
    with Opened(browser, pages[kind]) as report:
        page = report.page
        assert "javascript:hacked=1" in page.content()
        for view in ["overview", "conversations", *(["review"] if kind == "pairs" else [])]:
            report.go(view)
            for opener in page.locator(".opener").all():
                opener.click()
            for summary in page.locator("summary").all():
                if summary.is_visible():
                    summary.click()
            page.mouse.move(400, 300)
            assert page.evaluate("typeof hacked") == "undefined"
            assert page.locator("main img, main a[href^=javascript]").count() == 0
            assert page.locator("main script, main iframe, main object").count() == 0
            assert page.evaluate("document.querySelectorAll('[onload],[onerror],[onclick]').length") == 0
        assert report.violations() == []
        assert report.trouble == []
        assert page.url.startswith("file:")


def test_hostile_text_is_shown_as_it_is_and_hidden_characters_are_seen(browser, pages):
    with Opened(browser, pages["pairs"], "review") as report:
        said = report.text(".candidate.chosen .said")
        for part in (
            "<script>hacked = 1</script>",
            "onerror=hacked=1",
            "{{ 7*7 }}",
            "${hacked=1}",
            "<!-- <script> ]]>",
        ):
            assert part in said
        assert "&lt;b&gt;" in said
        assert "\U0001f469\u200d\U0001f467" in said, "joiners that emoji need stay"
        for code in ("U+202E", "U+202C", "U+200B", "U+FEFF", "U+2028", "U+0000", "U+001B"):
            assert code in said
        assert "\u202e" not in report.text("main")


def test_the_policy_stops_a_script_that_is_not_the_pages_own(browser, pages):
    with Opened(browser, pages["pairs"]) as report:
        report.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked = 1'}));"
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked = 1\">');"
            "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\" id=styled>x</p>');"
        )
        assert report.page.evaluate("typeof hacked") == "undefined"
        assert report.page.evaluate("getComputedStyle(document.getElementById('styled')).color") != "rgb(255, 0, 0)"
        assert sum("Content Security Policy" in what for what in report.trouble) >= 3
        policy = report.page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'")


def test_a_megabyte_of_message_is_shown_by_its_beginning_and_whole_when_asked_for(browser, pages, tmp_path):
    [row] = rows_of(pages["scores"].with_suffix(".jsonl"))[:1]
    row["history"] = [{"role": "user", "content": "wide " * (MEGABYTE // 5)}]
    row["response"] = [{"role": "assistant", "content": "x" * MEGABYTE}]
    write_report(write_rows(tmp_path / "scores.jsonl", [row]), tmp_path / "scores.html")
    with Opened(browser, tmp_path / "scores.html", "conversations", width=320) as report:
        report.page.locator("#list [role=option]").first.click()
        buttons = report.page.get_by_role("button", name="Show all 1,000,000 characters")
        buttons.first.wait_for()
        assert buttons.count() == 2
        assert len(report.text("#chat")) < 20_000
        buttons.first.click()
        assert len(report.text("#chat")) > MEGABYTE
        assert not report.has_overflow()
        assert report.trouble == []


def test_lines_that_are_no_utf_8_or_no_json_are_named_and_the_others_shown(browser, pages, tmp_path):
    good = pages["pairs"].with_name("pairs.turns.jsonl").read_bytes().splitlines(keepends=True)[:2]
    path = tmp_path / "p.turns.jsonl"
    path.write_bytes(good[0] + good[1].replace(b"mocha", b"m\xffcha", 1)[:-1] + b"\xff\n" + b'7\n{"cut": \n' + good[1])
    result = collab("report", path)
    assert result.exit_code == 3, result.output
    assert f"{path}:2: not UTF-8 text" in result.stderr
    assert f"{path}:3: a row must be an object, not int" in result.stderr
    assert f"{path}:4: not JSON" in result.stderr
    with Opened(browser, tmp_path / "p.html", "conversations") as report:
        assert "conversation" in report.text("#shown")
        assert report.trouble == []
