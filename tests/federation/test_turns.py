"""Of one peer's eight turns: who waits for one in vain is told so, and the peer is not taken for a broken one."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from crow_hooks import CallFailure
from crow_plugins.federation.breaker import FAILURES_MAX, FIRST_SECONDS, Breaker
from crow_plugins.federation.peer import CALLS_AT_ONCE
from tests.federation.chain import federation
from tests.federation.test_many import many
from tests.federation.waiting_tool import NAME, WaitingTool

pytestmark = pytest.mark.anyio
CALLS, SECONDS = 30, 2.0


def ends(outcomes: list[object]) -> Counter[str]:
    return Counter(each.code if isinstance(each, CallFailure) else "ok" for each in outcomes)


async def test_thirty_calls_of_a_slow_peer_end_in_time_and_it_stays_open_to_others(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        there, swan_id, tool = federation(grackle), swan.host.instance.id, WaitingTool()
        await tool.open_on(swan)
        calls = [asyncio.create_task(there.call(swan_id, NAME, {}, timeout_seconds=SECONDS)) for _ in range(CALLS)]
        await tool.until(came=CALLS_AT_ONCE)
        tool.let(CALLS_AT_ONCE)
        outcomes = await asyncio.gather(*calls)
        assert ends(outcomes) == {"ok": CALLS_AT_ONCE, "timed_out": CALLS_AT_ONCE, "busy": CALLS - 2 * CALLS_AT_ONCE}
        assert max(each.milliseconds for each in outcomes) < 1000 * (SECONDS + 1)
        assert {each.reason for each in outcomes if isinstance(each, CallFailure) and each.code == "busy"} == {
            "other calls to it took all of 2 seconds; this one was not sent, call again when there are fewer"
        }
        await tool.until(came=2 * CALLS_AT_ONCE, cancelled=CALLS_AT_ONCE)
        assert tool.came == 2 * CALLS_AT_ONCE, "what found no turn never left"
        assert ends([await there.call(swan_id, "crow_search", {"query": "x"})]) == {"ok": 1}


async def test_a_peer_that_answers_nobody_is_left_alone_though_most_calls_only_waited(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        there, swan_id, tool = federation(grackle), swan.host.instance.id, WaitingTool()
        await tool.open_on(swan)
        calls = [there.call(swan_id, NAME, {}, timeout_seconds=SECONDS / 2) for _ in range(CALLS)]
        outcomes = await asyncio.gather(*calls)
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
