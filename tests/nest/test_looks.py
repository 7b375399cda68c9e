"""How the Nest looks and feels: accessible by the rules of axe, on a narrow screen, by keyboard alone.

Screenshots of every page are kept in `tests/nest/shots/`, for people to look at.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nest import browser
from tests.nest.browser import NARROW, Seen
from tests.nest.world import PAGES, PLUGINS, fill, make_instance, press, sign_in, signed_in
from tests.replicator.gateways import Instance, serving

HERE = Path(__file__).parent
SHOTS = HERE / "shots"
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
WIDE = {"width": 1280, "height": 900}
LOOK = {"viewport": WIDE, "color_scheme": "light", "reduced_motion": "reduce"}
WIDTHS = {"narrow": 360, "middle": 820}
VIOLATIONS = """async (rules) => (await axe.run(rules ? { runOnly: rules } : {})).violations.flatMap(
    (found) => found.nodes.map((node) => `${found.id}: ${node.target} ${node.failureSummary}`))"""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not browser.is_here(), reason="needs Chromium, and playwright to drive it"),
]


@pytest.fixture(params=["full", "empty"])
def grackle(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Instance, list[str]]]:
    """An installation that has something on every page, and one that has nothing."""
    made = make_instance(tmp_path, "grackle", PLUGINS)
    yield made, [*PAGES, *(_more(made) if request.param == "full" else [])]
    made.host.close()


def _more(instance: Instance) -> list[str]:
    """The pages that only a full one has."""
    ids = fill(instance.host)
    conflict = instance.conflicts()[0].id
    return [f"instances/{ids[0]}", f"instances/{ids[0]}/revoke", f"conflicts/{conflict}"]


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: npm ci --prefix tests/nest")
async def test_every_page_is_accessible_and_fits_in_every_look(grackle: tuple[Instance, list[str]]) -> None:
    instance, paths = grackle
    kind = "full" if len(paths) > len(PAGES) else "empty"
    SHOTS.mkdir(exist_ok=True)
    seen = Seen()
    async with serving(instance), browser.page(seen, **LOOK) as page:
        await page.goto(f"{instance.url}/nest/login")
        await _look(page, f"{kind}-login")
        await sign_in(page, instance)
        for path in paths:
            await page.goto(f"{instance.url}/nest/{path}")
            await _look(page, f"{kind}-{_called(path)}")
    assert seen.errors == []
    assert seen.hosts <= {instance.url.removeprefix("http://"), ""}


def _called(path: str) -> str:
    """A page's file name: that of one instance or conflict without its id."""
    return "-".join("one" if number == 1 else part for number, part in enumerate(path.split("/")))


async def _look(page: Any, name: str) -> None:
    """One page by all rules, then what is different in the dark and on other screens."""
    await page.screenshot(path=SHOTS / f"{name}-light.png")
    await page.evaluate(AXE.read_text())
    assert await page.evaluate(VIOLATIONS, None) == [], name
    await page.emulate_media(color_scheme="dark")
    await page.screenshot(path=SHOTS / f"{name}-dark.png")
    assert await page.evaluate(VIOLATIONS, ["color-contrast"]) == [], f"{name} in the dark"
    for look, width in WIDTHS.items():
        await page.set_viewport_size({"width": width, "height": 740})
        await page.screenshot(path=SHOTS / f"{name}-{look}.png", full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} is too wide"
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(WIDE)


@pytest.fixture
def swan(tmp_path: Path) -> Iterator[Instance]:
    made = make_instance(tmp_path, "swan")
    yield made
    made.host.close()


async def test_everything_can_be_done_by_keyboard_alone(swan: Instance) -> None:
    await to_thread(fill, swan.host)
    seen = Seen()
    async with serving(swan), signed_in(swan, seen, **NARROW) as page:
        await page.keyboard.press("Tab")
        assert await _focused(page) == "Skip to the page"
        await page.keyboard.press("Enter")
        await _tab_to(page, await page.get_by_role("link", name="wait for you").inner_text())
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/nest/conflicts")
        await _tab_to(page, await page.locator("tbody a").first.inner_text())
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/nest/conflicts/*")
        await _tab_to(page, str(await page.locator("button[data-take=remote-1]").text_content()))
        await page.keyboard.press("Enter")  # the first field takes the other side's text
        assert await page.locator("#merged-1").input_value() == await page.locator("#remote-1").inner_text()
        await _tab_to(page, "Save the merge")
        await page.keyboard.press("Enter")
        await page.get_by_text("The conflict is settled").wait_for()

        await page.goto(f"{swan.url}/nest/tokens")
        await page.locator("#main").focus()
        await _tab_to(page, "", field="label")
        await page.keyboard.type("by keyboard")
        await page.keyboard.press("Enter")
        await page.locator("code.token").wait_for()
    assert seen.errors == []


async def _focused(page: Any) -> str:
    return str(await page.evaluate("document.activeElement.textContent.trim()"))


async def _tab_to(page: Any, text: str, *, field: str = "", presses_max: int = 80) -> None:
    for _ in range(presses_max):
        await page.keyboard.press("Tab")
        if field and await page.evaluate("document.activeElement.name") == field:
            return
        if text and await _focused(page) == text.strip():
            assert await page.evaluate("document.activeElement.matches(':focus-visible')")
            return
    raise AssertionError(f"{text or field} was not reached by Tab")


async def test_a_page_that_is_being_filled_in_is_left_alone_and_others_follow(swan: Instance) -> None:
    seen = Seen()
    async with serving(swan), signed_in(swan, seen) as page:
        await page.goto(f"{swan.url}/nest/tokens")
        await page.get_by_label("What to call it").fill("half a na")
        other = await page.context.new_page()
        seen.watch(other)
        await other.goto(f"{swan.url}/nest/tokens")
        await other.get_by_label("What to call it").fill("desk")
        await press(other, "Make it")
        await other.locator("code.token").wait_for()
        assert await page.get_by_label("What to call it").input_value() == "half a na"
        await page.get_by_label("What to call it").fill("")
        await page.get_by_role("heading", level=1).click()
        await page.get_by_role("row", name="desk").wait_for()  # without a reload
    assert seen.errors == []
