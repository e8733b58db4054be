"""A headless Chromium for the tests of the page, and axe-core's rules of accessibility."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from demo.server import ROOT

AXE = ROOT / ".cache" / "axe" / "package" / "axe.min.js"
"""As npm's package axe-core ships it; ``./run test`` fetches it."""

CHROMIUM = shutil.which("chromium")

_SWITCHES = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

HIDING = """
Object.defineProperty(document, 'hidden', { get: () => window.isHidden === true });
window.hide = (hidden) => {
    window.isHidden = hidden;
    document.dispatchEvent(new Event('visibilitychange'));
};
"""
"""Lets a test hide the page, as a reader who goes to another tab would."""


@contextmanager
def chromium(*switches: str) -> Iterator[Browser]:
    """A headless Chromium, with further ``switches`` of its command line."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_SWITCHES, *switches])
        yield browser
        browser.close()


def opened(browser: Browser, troubles: list[str], **context: Any) -> Page:
    """A new window; ``troubles`` gathers what its pages complain of."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(60_000)
    page.add_init_script(HIDING)
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    return page


def violations(page: Page) -> list[str]:
    """What axe-core finds amiss in a page, rule by rule, with the elements.

    Its script is run by the debugger: the page's own policy lets no foreign one in.
    """
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {rule['help']}: {[node['html'] for node in rule['nodes']]}"
        for rule in found["violations"]
    ]
