"""The Nest as a person uses it: in Chromium, against two real gateways of one chain."""

from __future__ import annotations

import re
from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.nest.access import CONFIRMED_SECONDS
from tests.nest import browser
from tests.nest.browser import Seen, chromium, page_in
from tests.nest.world import access, make_instance, press, sign_in
from tests.replicator.gateways import Instance, serving, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not browser.is_here(), reason="needs Chromium, and playwright to drive it"),
]
PASSWORD = "correct horse battery"


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[list[Instance]]:
    made = [make_instance(tmp_path, name) for name in ("grackle", "swan")]
    yield made
    for each in made:
        each.host.close()


async def test_two_machines_are_chained_and_looked_after_in_a_browser(instances: list[Instance]) -> None:
    grackle, swan = instances
    seen, seen_there = Seen(), Seen()
    async with serving(grackle), serving(swan), chromium() as opened:
        page, there = await page_in(opened, seen), await page_in(opened, seen_there)
        await sign_in(page, grackle)
        await sign_in(there, swan)
        await _register(page, grackle, swan)
        await there.get_by_role("link", name="grackle").wait_for()  # registered in turn, and shown without a reload

        await page.goto(f"{grackle.url}/nest/sync")
        row = page.get_by_role("row", name=re.compile("^swan"))
        await swan.remember("seen without a reload")
        await row.get_by_role("cell", name="1", exact=True).nth(2).wait_for()

        await there.goto(f"{swan.url}/nest/conflicts")
        for number, act in enumerate(("Keep this side", "Take the other", "Save the merge")):
            await _settle(page, there, grackle, swan, number, act)

        await _switch(page, grackle)
        await _make_and_end_a_token(page, grackle)
        await _expose(page, grackle)
        await _revoke(page, grackle)
        await until(lambda: not grackle.sync.connected())
        for each in (page, there):
            await each.close()
    assert seen_there.errors == []
    assert [error for error in seen.errors if "409" not in error] == []  # the password that was not given
    assert seen.hosts == {grackle.url.removeprefix("http://"), ""} - ({""} - seen.hosts)
    assert seen_there.hosts <= {swan.url.removeprefix("http://"), ""}


async def _register(page: Any, grackle: Instance, swan: Instance) -> None:
    await page.get_by_label("Address of its gateway").fill(swan.url)
    await press(page, "Register")
    await page.get_by_text("swan is registered").wait_for()
    await until(lambda: bool(swan.sync.connected()) and bool(grackle.sync.connected()))
    await page.goto(f"{grackle.url}/nest/instances")
    await page.get_by_text("Everything is in sync").wait_for()


async def _settle(page: Any, there: Any, grackle: Instance, swan: Instance, number: int, act: str) -> None:
    """Edit one memory on both while cut off, heal, settle it here, and see it gone there."""
    await _conflict(grackle, swan, number)
    await there.get_by_text("1 open conflict").wait_for()
    await page.goto(f"{grackle.url}/nest/conflicts")
    await page.get_by_role("link", name=re.compile(f"(grackle|swan) {number}")).first.click()
    await page.get_by_role("heading", name="Before").first.wait_for()
    if act == "Save the merge":
        await press(page, "content as before")
        merged = page.get_by_role("textbox", name="content, merged")
        assert await merged.input_value() == f"before {number}"
        await merged.fill("both together")
    shown, other = await _sides(page)
    await press(page, act)
    await page.get_by_text("The conflict is settled").wait_for()
    await there.get_by_text("Nothing to settle.").wait_for()
    kept = {"Keep this side": shown, "Take the other": other}.get(act, "both together")
    await until(lambda: kept in swan.contents() and kept in grackle.contents())


async def _sides(page: Any) -> tuple[str, str]:
    return await page.locator("#local-1").inner_text(), await page.locator("#remote-1").inner_text()


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


async def _switch(page: Any, grackle: Instance) -> None:
    await page.goto(f"{grackle.url}/nest/plugins")
    await press(page, "Switch memories off")
    await page.get_by_role("button", name="Switch memories on").wait_for()
    assert not grackle.host.is_enabled("memories")
    await press(page, "Switch memories on")
    await page.get_by_role("button", name="Switch memories off").wait_for()
    assert grackle.host.is_enabled("memories")


async def _make_and_end_a_token(page: Any, grackle: Instance) -> None:
    await page.goto(f"{grackle.url}/nest/tokens")
    await page.get_by_label("What to call it").fill("desk")
    await page.get_by_label("It ends").select_option("in 30 days")
    await press(page, "Make it")
    assert (await page.locator("code.token").inner_text()).startswith("crow_")
    row = page.get_by_role("row", name="desk")
    await row.get_by_role("cell", name=re.compile("in 29 days|[0-9-]{10}")).first.wait_for()
    await press(page, "Revoke desk")
    await page.get_by_text("desk may call no more").wait_for()


async def _expose(page: Any, grackle: Instance) -> None:
    """A tool that can write opens with the password only, once the sign-in is a while ago."""
    await to_thread(access(grackle).set_password, PASSWORD)  # ends every session
    await page.goto(f"{grackle.url}/nest/instances")
    await page.get_by_label("Password").fill(PASSWORD)
    await press(page, "Sign in")
    await to_thread(_age_sessions, grackle)
    await page.get_by_role("link", name="swan").click()
    await page.get_by_label("Open another tool to it").select_option("crow_store_memory")
    await press(page, "Open it")
    await page.get_by_text("that is not the password").wait_for()
    await page.get_by_role("link", name="Back to where you were").click()
    await page.get_by_label("Open another tool to it").select_option("crow_store_memory")
    await page.get_by_label("Your password again").fill(PASSWORD)
    await press(page, "Open it")
    await page.get_by_text("crow_store_memory is open to swan").wait_for()
    await page.get_by_text("call it, and write").wait_for()
    await press(page, "Close crow_store_memory")
    await page.get_by_text("crow_store_memory is closed to swan").wait_for()


def _age_sessions(instance: Instance) -> None:
    """As if everybody had signed in a while ago."""
    with instance.host.store.transaction() as transaction:
        transaction.db.execute_sql("UPDATE nest_sessions SET confirmed = confirmed - ?", (CONFIRMED_SECONDS,))


async def _revoke(page: Any, grackle: Instance) -> None:
    await page.goto(f"{grackle.url}/nest/instances")
    await page.get_by_role("link", name="swan").click()
    await page.get_by_role("link", name="Revoke").click()
    await page.get_by_label("Type its name to confirm").fill("swan")
    await press(page, "Revoke it")
    await page.get_by_text("swan is revoked").wait_for()
