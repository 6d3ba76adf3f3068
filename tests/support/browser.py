"""A real browser, and pages opened in it that tell of everything that goes wrong."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Opened:
    """A report in a tab. What it asks the network for, logs as an error or pops up is gathered."""

    def __init__(
        self, browser: Any, path: Path, at: str = "overview", *, width: int = 1280, dark: bool = False
    ) -> None:
        self.url = path.as_uri()
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.context.set_default_timeout(10_000)
        self.page = self.context.new_page()
        self.trouble: list[str] = []
        self.page.on("console", lambda said: self._note(said.type in ("error", "warning"), f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self._note(True, f"uncaught: {error}"))
        self.page.on("dialog", lambda dialog: self._note(True, f"dialog: {dialog.message}"))
        self.page.on(
            "request", lambda request: self._note(not request.url.startswith(("file:", "data:", "blob:")), request.url)
        )
        self.go(at)

    def _note(self, is_trouble: bool, what: str) -> None:
        if is_trouble:
            self.trouble.append(what)

    def go(self, at: str) -> None:
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{at}")
        self.page.wait_for_selector("html[data-ready=yes]", state="attached")

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def sees(self, selector: str, text: str) -> None:
        """Wait until the element holds the text. Waiting by a script of one's own is what the page's policy forbids."""
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_contain_text(text)

    def has_none(self, selector: str) -> None:
        """Wait until no element is like this."""
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_have_count(0)

    def has_overflow(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def violations(self) -> list[str]:
        """Of WCAG 2.2 A and AA, and of axe's best practices, as the page stands."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {node['html'][:120]}" for each in found for node in each["nodes"]]

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()
