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
TIMEOUT_MS = 15_000


@dataclass
class Seen:
    """What a browser complained of, and where it went."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@asynccontextmanager
async def page(seen: Seen, **options: Any) -> AsyncIterator[Any]:
    """A page in a browser of its own."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        context = await browser.new_context(**options)
        opened = await context.new_page()
        opened.set_default_timeout(TIMEOUT_MS)
        opened.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: seen.errors.append(str(error)))
        opened.on("request", lambda request: seen.hosts.add(request.url.split("/")[2] if "//" in request.url else ""))
        try:
            yield opened
        finally:
            await browser.close()


def is_here() -> bool:
    """Whether there is a browser, and something to drive it with."""
    try:
        import playwright.async_api  # noqa: F401
    except ImportError:
        return False
    return CHROMIUM is not None
