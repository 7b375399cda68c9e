"""Whoever calls hears of revocations with the answer, though nothing syncs."""

from __future__ import annotations

import asyncio
import threading
from asyncio import to_thread

import pytest
from fastmcp.exceptions import ToolError

from crow_hooks import REGISTRY, CallAnswer, Credentials
from crow_plugins.federation.telling import STATEMENT_BYTES_MAX, TOLD_MAX, digest, heard, told
from tests.federation.chain import call_tool, chain, federation, know
from tests.federation.chain import made as made
from tests.federation.test_many import Wire
from tests.replicator.gateways import Instance

pytestmark = pytest.mark.anyio
STATEMENTS = [b'{"statement":%d}' % number for number in range(3 * TOLD_MAX)]


async def test_a_caller_hears_of_a_revocation_and_refuses_from_then_on(made: dict[str, Instance]) -> None:
    """The grackle has revoked the heron; the swan syncs with nobody, and asks the grackle something."""
    async with chain(made) as [grackle, swan, heron]:
        lost = heron.host.instance.id
        assert (await call_tool(heron, "crow_call_instance", instance="swan", tool="crow_local_summary"))["structured"]
        await to_thread(grackle.host.services.find("tests", REGISTRY).revoke, lost, None)
        await call_tool(swan, "crow_call_instance", instance="grackle", tool="crow_local_summary")
        known = swan.host.services.find("tests", REGISTRY)
        assert [other.instance.id for other in known.others() if other.revoked] == [lost]
        with pytest.raises(ToolError):
            await call_tool(heron, "crow_call_instance", instance="swan", tool="crow_local_summary")
        with pytest.raises(ToolError, match="revoked"):
            await call_tool(swan, "crow_call_instance", instance="heron", tool="crow_local_summary")


async def test_who_goes_away_while_a_revocation_is_kept_takes_no_connection_along(
    made: dict[str, Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chain(made) as [grackle, swan, heron], (wire := Wire(grackle.url)).open() as url:
        await to_thread(know, swan, grackle, url)
        revoking, learning = (each.host.services.find("tests", REGISTRY) for each in (grackle, swan))
        await call_tool(swan, "crow_call_instance", instance="grackle", tool="crow_local_summary")
        await to_thread(revoking.revoke, heron.host.instance.id, None)
        begun, may_end, learn = asyncio.Event(), threading.Event(), learning.learn
        loop = asyncio.get_running_loop()

        def slowly(heard: Credentials) -> frozenset[str]:
            loop.call_soon_threadsafe(begun.set)
            assert may_end.wait(20)
            return learn(heard)

        monkeypatch.setattr(learning, "learn", slowly)
        call = asyncio.create_task(federation(swan).call(grackle.host.instance.id, "crow_local_summary", {}))
        await begun.wait()
        call.cancel()
        may_end.set()
        await asyncio.wait([call])
        outcome = await federation(swan).call(grackle.host.instance.id, "crow_local_summary", {})
        assert isinstance(outcome, CallAnswer), outcome
        assert wire.connections == 1


async def test_what_is_no_statement_of_the_chain_is_passed_over(
    made: dict[str, Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chain(made) as [_, swan, _]:
        monkeypatch.setattr("crow_plugins.federation.inbound.told", lambda known, asked: told(STATEMENTS[:2], asked))
        await call_tool(swan, "crow_call_instance", instance="grackle", tool="crow_local_summary")
        assert not [other for other in swan.host.services.find("tests", REGISTRY).others() if other.revoked]


def test_statements_are_told_to_who_has_heard_of_others_only() -> None:
    few = STATEMENTS[:3]
    assert told(few, None) is told(few, digest(few[::-1])) is told([], digest(few)) is None
    assert set(heard(told(few, digest(few[:2])))) == set(few)


def test_many_statements_are_told_some_at_a_time() -> None:
    have: set[bytes] = set()
    for _ in range(1000):
        answer = told(STATEMENTS, digest(list(have)))
        if answer is None:
            break
        some = heard(answer)
        assert len(some) == TOLD_MAX
        have.update(some)
    assert have == set(STATEMENTS)


@pytest.mark.parametrize(
    "header", ["", "*", "a", ",,", "\u00e9", "A" * (STATEMENT_BYTES_MAX + 1), None], ids=lambda header: repr(header)[:9]
)
def test_a_header_that_makes_no_sense_tells_nothing(header: str | None) -> None:
    assert [statement for statement in heard(header) if statement] == []


def test_of_a_header_that_is_too_long_no_more_is_read_than_anybody_tells() -> None:
    assert len(heard(",".join(["YQ=="] * 1000))) == TOLD_MAX
