"""A real browser, if there is one: Chromium driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
TIMEOUT_MS = 60_000
NARROW = {"viewport": {"width": 360, "height": 740}}


@dataclass
class Seen:
    """What a browser complained of, and where it went."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def watch(self, page: Any) -> None:
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2] if "//" in request.url else ""))


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            yield browser
        finally:
            await browser.close()


async def page_in(browser: Any, seen: Seen, **options: Any) -> Any:
    """A page with cookies of its own."""
    context = await browser.new_context(**options)
    opened = await context.new_page()
    opened.set_default_timeout(TIMEOUT_MS)
    seen.watch(opened)
    return opened


@asynccontextmanager
async def page(seen: Seen, **options: Any) -> AsyncIterator[Any]:
    """A page in a browser of its own."""
    async with chromium() as browser:
        yield await page_in(browser, seen, **options)


def is_here() -> bool:
    """Whether there is a browser, and something to drive it with."""
    try:
        import playwright.async_api  # noqa: F401
    except ImportError:
        return False
    return CHROMIUM is not None
