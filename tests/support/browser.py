"""A real browser, running headless."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright
from support.absent import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

# As root there is no sandbox; the other options prevent network requests.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a Chromium browser. Without Chromium, the test is skipped, or fails in CI."""
    require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(ARGUMENTS), headless=True
        )
        yield browser
        browser.close()
