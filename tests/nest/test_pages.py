"""Every page with something on it: what others wrote is text, nothing comes from elsewhere, and plugins may be off."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bench.full_nest import add_deletion
from crow_hooks import SyncedTable
from crow_plugins.gateway import application
from crow_plugins.host import Host
from crow_plugins.overrides import switch
from tests.nest import browser
from tests.nest.browser import Seen
from tests.nest.world import MARKUP, NAME, PAGES, PLUGINS, access, fill, make_instance, signed_in
from tests.replicator.gateways import Instance, serving

needs_browser = pytest.mark.skipif(not browser.is_here(), reason="needs Chromium, and playwright to drive it")
BASE = "http://127.0.0.1"


@pytest.fixture
def grackle(tmp_path: Path) -> Iterator[Instance]:
    made = make_instance(tmp_path, "grackle", PLUGINS)
    yield made
    made.host.close()


@pytest.fixture
def web(grackle: Instance) -> Iterator[TestClient]:
    """A browser without a window, or scripts, that is signed in."""
    with TestClient(application(grackle.host), base_url=BASE) as client:
        client.post("/nest/login", data={"code": access(grackle).new_code()})
        yield client


@needs_browser
@pytest.mark.anyio
async def test_markup_in_whatever_others_wrote_is_shown_as_text(grackle: Instance) -> None:
    ids = await to_thread(lambda: fill(grackle.host, text=MARKUP, name=NAME, conflicts=1))
    seen = Seen()
    async with serving(grackle), signed_in(grackle, seen) as page:
        paths = [*PAGES, *(f"instances/{each}" for each in ids[:1]), f"instances/{ids[0]}/revoke"]
        paths += await _links(page, f"{grackle.url}/nest/conflicts", "conflicts/")
        assert len([path for path in paths if path.startswith("conflicts/")]) == len(_tables(grackle.host))
        for path in paths:
            await page.goto(f"{grackle.url}/nest/{path}")
            await page.get_by_role("heading", level=1).wait_for()
            assert await page.title() != "run", path
            assert await page.locator("main :is(b, img, script, i):not(.chips b)").count() == 0, path
            assert "<" in str(await page.locator("main").text_content()), path
    assert seen.errors == []
    assert seen.hosts <= {grackle.url.removeprefix("http://"), ""}


def _tables(host: Host) -> set[str]:
    return {table.name for _, table in host.contributions("register_synced_tables", SyncedTable)}


async def _links(page: Any, url: str, beginning: str) -> list[str]:
    await page.goto(url)
    found = await page.locator(f"main a[href^='/nest/{beginning}']").all()
    return [str(await each.get_attribute("href")).removeprefix("/nest/") for each in found]


@needs_browser
@pytest.mark.anyio
async def test_without_javascript_every_page_shows_and_forms_work(grackle: Instance) -> None:
    ids = await to_thread(fill, grackle.host)
    async with serving(grackle), signed_in(grackle, Seen(), java_script_enabled=False) as page:
        for path in (*PAGES, f"instances/{ids[0]}"):
            await page.goto(f"{grackle.url}/nest/{path}")
            assert await page.get_by_role("heading", level=1).count() == 1, path
            assert await page.locator("main button:visible[data-take]").count() == 0
        [first, *_] = await _links(page, f"{grackle.url}/nest/conflicts", "conflicts/")
        await page.goto(f"{grackle.url}/nest/{first}")
        await page.get_by_role("button", name="Keep this side").click()
        await page.get_by_text("The conflict is settled").wait_for()


def test_a_page_of_another_plugin_stands_in_the_nest(web: TestClient) -> None:
    page = web.get("/nest/clock").text
    assert '<a href="/nest/clock" aria-current="page">Clock</a>' in page
    assert '<p id="remark">&lt;b&gt;tick&lt;/b&gt;, <time' in page


def test_a_page_that_breaks_is_one_sentence_and_the_rest_goes_on(
    web: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    page = web.get("/nest/broken")
    assert page.status_code == 409
    assert "the page Broken clock of the plugin clock could not be made" in page.text
    assert "the spring is gone" not in page.text
    assert "the spring is gone" in caplog.text
    assert web.get("/nest/clock").status_code == 200


OFF = ["memories", "registry", "replicator", "federation", "summaries", "clock"]


@pytest.mark.parametrize("off", OFF)
def test_with_any_plugin_off_every_page_still_answers(grackle: Instance, web: TestClient, off: str) -> None:
    ids = fill(grackle.host)
    host = grackle.host
    for plugin in reversed(host.manifest.plugins):  # those that require it first
        if off == plugin.name or off in plugin.requires:
            switch(host.home.manifest, host.manifest_files, plugin.name, on=False)
    host.reload_manifest()
    assert not grackle.host.is_enabled(off)
    for path in (*PAGES, f"instances/{ids[0]}"):
        answer = web.get(f"/nest/{path}")
        assert answer.status_code == 200, path
        assert "<h1>" in answer.text


def test_what_a_plugin_is_set_to_is_shown_with_its_meaning(web: TestClient) -> None:
    page = web.get("/nest/plugins").text
    assert "Federation: tools of one instance called by another" in page
    assert "calls_per_minute" in page
    assert "How many requests one instance may make in a minute." in page
    assert "set here" in page


def test_a_conflict_in_which_one_side_deleted_the_row_says_which(grackle: Instance, web: TestClient) -> None:
    ids = fill(grackle.host, conflicts=0)
    add_deletion(grackle.host, "memories", ids)
    listed = web.get("/nest/conflicts").text
    assert "deleted on one side" in listed
    path = listed.split('href="/nest/conflicts/')[1].split('"')[0]
    page = web.get(f"/nest/conflicts/{path}").text
    assert "deleted the row" in page
    assert "Keep the row" in page
    assert "Delete it" in page
    assert "Save the merge" not in page


def test_where_a_row_comes_from_is_shown_and_not_merged(grackle: Instance, web: TestClient) -> None:
    fill(grackle.host, conflicts=1)
    [conflict] = [each for each in grackle.conflicts() if each.table == "memories"]
    page = web.get(f"/nest/conflicts/{conflict.id}").text
    assert ">origin_instance</h2>" in page
    assert 'name="field:content"' in page
    assert 'name="field:origin_instance"' not in page
    key = page.split('name="form_key" value="')[1].split('"')[0]
    forged = {"form_key": key, "resolution": "merge", "field:content": "mended", "field:origin_instance": "me"}
    answer = web.post(f"/nest/conflicts/{conflict.id}", data=forged)
    assert "origin_instance of memories stays as it is here in a merge" in answer.text
    assert grackle.settled(conflict.id).resolution is None
