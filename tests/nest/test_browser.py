"""The Nest as a person uses it: in Chromium, against two real gateways of one chain."""

from __future__ import annotations

import re
import time
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.files import make_private_folder
from crow_plugins.keyring import Keyring
from tests.nest import browser
from tests.nest.browser import Seen
from tests.replicator.gateways import Instance, open_instance, serving, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not browser.is_here(), reason="needs Chromium, and playwright to drive it"),
]
SEED = b"\x0b" * 32
MARKUP = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\"><b>bold</b>"


def make_home(folder: Path, name: str) -> Path:
    home = folder / name
    make_private_folder(home)
    Keyring.create(home, name=name, role="home", now=int(time.time()), seed=SEED)
    return home


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[list[Instance]]:
    made = [open_instance(make_home(tmp_path, name)) for name in ("grackle", "swan")]
    yield made
    for each in made:
        each.host.close()


@asynccontextmanager
async def signed_in(instance: Instance, seen: Seen, **options: Any) -> AsyncIterator[Any]:
    """A page of an instance's Nest, after the first login."""
    code = await to_thread(_code, instance)
    async with browser.page(seen, **options) as page:
        await page.goto(f"{instance.url}/nest/login?code={code}")
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/nest/instances")
        yield page


def _code(instance: Instance) -> str:
    from crow_plugins.nest.access import Access

    return Access(instance.host.hook.handle("nest")).new_code()


async def press(page: Any, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def test_two_machines_are_chained_and_looked_after_in_a_browser(instances: list[Instance]) -> None:
    grackle, swan = instances
    seen = Seen()
    async with serving(grackle), serving(swan), signed_in(grackle, seen) as page:
        await page.get_by_label("Address of its gateway").fill(swan.url)
        await press(page, "Register")
        await page.get_by_text("swan is registered").wait_for()
        await until(lambda: bool(swan.sync.connected()))

        await page.goto(f"{grackle.url}/nest/sync")
        row = page.get_by_role("row", name=re.compile("^swan"))
        await swan.remember("seen without a reload")
        await row.get_by_role("cell", name="1", exact=True).nth(2).wait_for()

        for number, act in enumerate(("Keep this side", "Take the other", "Save the merge")):
            await _conflict(grackle, swan, number)
            await page.goto(f"{grackle.url}/nest/conflicts")
            await (
                page.get_by_role("link", name=f"grackle {number}")
                .or_(page.get_by_role("link", name=f"swan {number}"))
                .first.click()
            )
            if act == "Save the merge":
                await page.get_by_role("textbox", name="content").fill("both together")
            await press(page, act)
            await page.get_by_text("The conflict is settled").wait_for()
            await until(lambda: swan.conflicts() == [] and grackle.conflicts() == [])
        await until(lambda: "both together" in swan.contents())

        await page.goto(f"{grackle.url}/nest/plugins")
        await press(page, "Switch memories off")
        await page.get_by_role("button", name="Switch memories on").wait_for()
        await press(page, "Switch memories on")
        await page.get_by_role("button", name="Switch memories off").wait_for()

        await page.goto(f"{grackle.url}/nest/tokens")
        await page.get_by_label("What to call it").fill("desk")
        await press(page, "Make it")
        token = await page.locator("code.token").inner_text()
        assert token.startswith("crow_")
        await press(page, "Revoke desk")
        await page.get_by_text("desk may call no more").wait_for()

        await page.goto(f"{grackle.url}/nest/instances")
        await page.get_by_role("link", name="Revoke swan").click()
        await page.get_by_label("Type its name to confirm").fill("swan")
        await press(page, "Revoke it")
        await page.get_by_text("swan is revoked").wait_for()
        await until(lambda: not grackle.sync.connected())
    assert seen.errors == []
    assert seen.hosts <= {grackle.url.removeprefix("http://"), ""}


async def _conflict(grackle: Instance, swan: Instance, number: int) -> None:
    memory = await to_thread(grackle.memories.store, {"content": f"before {number}"})
    await until(lambda: f"before {number}" in swan.contents())
    for each in (grackle, swan):
        await each.apart()
    await to_thread(grackle.memories.update, memory.id, {"content": f"grackle {number}"})
    await to_thread(swan.memories.update, memory.id, {"content": f"swan {number}"})
    for each in (grackle, swan):
        await each.together()
    await until(lambda: len(grackle.conflicts()) == 1 and len(swan.conflicts()) == 1)


async def test_markup_in_what_was_stored_is_shown_as_text(instances: list[Instance]) -> None:
    grackle, swan = instances
    seen = Seen()
    async with serving(grackle), serving(swan), signed_in(grackle, seen) as page:
        await page.get_by_label("Address of its gateway").fill(swan.url)
        await press(page, "Register")
        memory = await to_thread(grackle.memories.store, {"content": MARKUP})
        await until(lambda: MARKUP in swan.contents())
        for each in (grackle, swan):
            await each.apart()
        await to_thread(grackle.memories.update, memory.id, {"content": MARKUP + " here"})
        await to_thread(swan.memories.update, memory.id, {"content": MARKUP + " there", "category": "<i>x</i>"})
        for each in (grackle, swan):
            await each.together()
        await until(lambda: len(grackle.conflicts()) == 1)
        await page.goto(f"{grackle.url}/nest/conflicts/{(await to_thread(grackle.conflicts))[0].id}")
        assert MARKUP.split(">")[0] in await page.locator("pre").first.inner_text()
        assert "run" not in await page.title()
        assert await page.locator("pre b, pre img, pre script").count() == 0
    assert seen.errors == []


async def test_it_works_on_a_narrow_screen_and_by_keyboard_alone(instances: list[Instance], tmp_path: Path) -> None:
    grackle, _ = instances
    seen = Seen()
    options = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
    async with serving(grackle), signed_in(grackle, seen, **options) as page:
        for name in ("instances", "conflicts", "sync", "plugins", "tokens"):
            await page.goto(f"{grackle.url}/nest/{name}")
            assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
            await page.screenshot(path=tmp_path / f"{name}.png")
        await page.goto(f"{grackle.url}/nest/tokens")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the page"
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.type("by keyboard")
        await page.keyboard.press("Enter")
        await page.locator("code.token").wait_for()
    assert seen.errors == []
