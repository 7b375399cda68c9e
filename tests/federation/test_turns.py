"""Of one peer's eight turns: who waits for one in vain is told so, and the peer is not taken for a broken one."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crow_hooks import CallFailure
from crow_plugins.federation.breaker import FAILURES_MAX, FIRST_SECONDS, Breaker
from crow_plugins.federation.peer import CALLS_AT_ONCE
from tests.federation.chain import federation
from tests.federation.test_many import many
from tests.federation.waiting_tool import NAME, WaitingTool

pytestmark = pytest.mark.anyio
CALLS, SECONDS, SHORT = 30, 5.0, 0.5


def ends(outcomes: list[object]) -> Counter[str]:
    return Counter(each.code if isinstance(each, CallFailure) else "ok" for each in outcomes)


async def test_calls_of_a_slow_peer_end_in_time_and_it_stays_open_to_others(tmp_path: Path) -> None:
    """Eight have turns and are answered at last; eight get theirs then, and their time is over; the rest find none."""
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        there, swan_id, tool = federation(grackle), swan.host.instance.id, WaitingTool()
        await tool.open_on(swan)

        def calls(count: int, seconds: float) -> list[asyncio.Task[Any]]:
            return [asyncio.create_task(there.call(swan_id, NAME, {}, timeout_seconds=seconds)) for _ in range(count)]

        first = calls(CALLS_AT_ONCE, 4 * SECONDS)
        await tool.until(came=CALLS_AT_ONCE)
        second, rest = calls(CALLS_AT_ONCE, SECONDS), calls(CALLS - 2 * CALLS_AT_ONCE, SHORT)
        outcomes = await asyncio.gather(*rest)
        assert ends(outcomes) == {"busy": len(rest)}
        assert {each.reason for each in outcomes} == {
            f"other calls to it took all of {SHORT} seconds; this one was not sent, call again when there are fewer"
        }
        assert tool.came == CALLS_AT_ONCE, "what found no turn never left"
        tool.let(CALLS_AT_ONCE)
        assert ends(await asyncio.gather(*first)) == {"ok": CALLS_AT_ONCE}
        outcomes = await asyncio.gather(*second)
        assert ends(outcomes) == {"timed_out": CALLS_AT_ONCE}
        assert max(each.milliseconds for each in outcomes) < 1000 * (SECONDS + 1)
        await tool.until(came=2 * CALLS_AT_ONCE, cancelled=CALLS_AT_ONCE)
        assert ends([await there.call(swan_id, "crow_search", {"query": "x"})]) == {"ok": 1}


async def test_a_peer_that_answers_nobody_is_left_alone_though_most_calls_only_waited(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        there, swan_id, tool = federation(grackle), swan.host.instance.id, WaitingTool()
        await tool.open_on(swan)
        seconds = [4 * SHORT] * CALLS_AT_ONCE + [SHORT] * (CALLS - CALLS_AT_ONCE)  # who comes first has the turns
        outcomes = await asyncio.gather(*(there.call(swan_id, NAME, {}, timeout_seconds=each) for each in seconds))
        assert ends(outcomes) == {"timed_out": CALLS_AT_ONCE, "busy": CALLS - CALLS_AT_ONCE}
        assert ends([await there.call(swan_id, NAME, {})]) == {"breaker_open": 1}


def test_a_call_that_had_its_time_tells_nothing_of_a_peer_that_answered_others_since() -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0])
    now[0] = 5.0
    breaker.worked()
    for _ in range(FAILURES_MAX):
        breaker.timed_out(made_at=1.0)
    assert breaker.may_call()
    for _ in range(FAILURES_MAX):
        breaker.timed_out(made_at=6.0)
    assert not breaker.may_call()
    now[0] += FIRST_SECONDS
    assert breaker.may_call()
    breaker.timed_out(made_at=1.0)
    assert breaker.may_call(), "the one that tried is told nothing either, so another may"
