"""A caller whose clock is off is told the hour once, under the other's signature, and keeps to it."""

from __future__ import annotations

import time
from asyncio import to_thread
from pathlib import Path

import pytest

from crow_hooks import CallAnswer
from tests.federation.chain import federation, know
from tests.federation.test_many import Wire, many

pytestmark = pytest.mark.anyio
TEN_MINUTES = 600


class Clock:
    """A clock that is off, and by how much."""

    def __init__(self, later: float) -> None:
        self.later = later

    def __call__(self) -> float:
        return time.time() + self.later


class Leaping(Wire):
    """Before a gateway whose clock leaps with each request that comes."""

    def __init__(self, target: str, clock: Clock) -> None:
        super().__init__(target)
        self._clock, self.leap = clock, 0

    def note(self, part: bytes) -> None:
        super().note(part)
        self._clock.later += self.leap * part.count(b"POST /mcp")


@pytest.mark.parametrize("off", [TEN_MINUTES, -TEN_MINUTES])
async def test_a_clock_that_is_ten_minutes_off_is_corrected_once(tmp_path: Path, off: float) -> None:
    async with many(tmp_path, "grackle", "swan", clocks={"grackle": Clock(off)}) as made:
        grackle, swan = made.values()
        wire = Wire(swan.url)
        async with wire.open() as url:
            await to_thread(know, grackle, swan, url)
            posts = []
            for _ in range(3):
                outcome = await federation(grackle).call(swan.host.instance.id, "crow_search", {"query": "x"})
                assert isinstance(outcome, CallAnswer), outcome
                posts.append(wire.heard.count(b"POST /mcp"))
            assert posts == [2, 3, 4], "told the hour, called again; then one for each call"


async def test_what_is_still_off_after_that_is_refused_and_not_tried_for_ever(tmp_path: Path) -> None:
    clock = Clock(0)
    async with many(tmp_path, "grackle", "swan", clocks={"swan": clock}) as made:
        grackle, swan = made.values()
        wire = Leaping(swan.url, clock)
        async with wire.open() as url:
            await to_thread(know, grackle, swan, url)
            there, swan_id = federation(grackle), swan.host.instance.id
            assert isinstance(await there.call(swan_id, "crow_search", {"query": "x"}), CallAnswer)
            before, wire.leap = wire.heard.count(b"POST /mcp"), TEN_MINUTES
            outcome = await there.call(swan_id, "crow_search", {"query": "x"})
            assert outcome.code == "refused"
            assert "clock" in outcome.reason
            assert wire.heard.count(b"POST /mcp") - before == 2
