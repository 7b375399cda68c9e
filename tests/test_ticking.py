"""Whoever looks now and then does so in the moment in which all others do, and once in it."""

from __future__ import annotations

import asyncio
import math

import pytest

from crow_plugins.ticking import OFFSET, next_tick

pytestmark = pytest.mark.anyio
SECONDS = 0.1


def tick() -> int:
    """How many ticks the clock has had."""
    return math.floor((asyncio.get_running_loop().time() - OFFSET) / SECONDS)


async def test_who_begins_to_wait_at_different_times_wakes_at_one_tick_and_not_twice_in_it() -> None:
    async def ticks() -> list[int]:
        found = []
        for _ in range(5):
            await next_tick(SECONDS)
            found.append(tick())
        return found

    await next_tick(SECONDS)
    first = asyncio.create_task(ticks())
    await next_tick(SECONDS / 3)
    second = asyncio.create_task(ticks())
    assert await first == await second
    assert len(set(await first)) == 5
