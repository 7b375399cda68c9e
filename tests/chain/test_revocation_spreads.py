"""A revocation reaches a machine that was off at the time, through any other one, and ends what is open at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from crow_hooks import FEDERATION, CallAnswer, CallFailure
from crow_plugins.outbound.urls import DEFAULT_ZONES, parse
from crow_plugins.registry.probing import RefusedThere
from crow_plugins.registry.registering import InstanceRevoked
from crow_plugins.replicator.transport import dial
from tests.federation.world import House as Caller
from tests.federation.world import body_of, post
from tests.registry.world import House, chain_home
from tests.replicator.gateways import Instance, open_instance, serving, until

pytestmark = pytest.mark.anyio


@dataclass
class Gateway:
    """One machine of the chain while it is on."""

    instance: Instance

    @property
    def house(self) -> House:
        return House(self.instance.host)

    @property
    def caller(self) -> Caller:
        return Caller(self.instance.host, self.url)

    @property
    def id(self) -> str:
        return self.instance.host.instance.id

    @property
    def url(self) -> str:
        return self.instance.url

    def connected(self, *others: Gateway) -> bool:
        return self.instance.sync.connected() >= {other.id for other in others}

    def has_heard(self, of: Gateway) -> bool:
        return any(other.instance.id == of.id and other.revoked for other in self.house.registry.others())

    async def register(self, *others: Gateway) -> None:
        for other in others:
            await self.house.registering.register(other.url)
        await self.instance.sync.sync_now()

    async def call(self, other: Gateway) -> CallAnswer | CallFailure:
        federation = self.instance.host.services.find("tests", FEDERATION)
        answer = await federation.call(other.id, "crow_local_summary", {})
        assert isinstance(answer, (CallAnswer, CallFailure))
        return answer


@asynccontextmanager
async def on(home: Path) -> AsyncIterator[Gateway]:
    instance = await asyncio.to_thread(open_instance, home)
    try:
        async with serving(instance):
            yield Gateway(instance)
    finally:
        await asyncio.to_thread(instance.host.close)


@pytest.fixture
def homes(tmp_path: Path) -> dict[str, Path]:
    return {name: chain_home(tmp_path, name) for name in ("grackle", "swan", "heron", "rook")}


async def test_a_revocation_reaches_who_was_off_and_the_revoked_one_is_refused_from_then_on(
    homes: dict[str, Path],
) -> None:
    """The grackle revokes the rook while the heron is off, and is off itself when the heron asks the swan."""
    async with AsyncExitStack() as stack:
        swan = await stack.enter_async_context(on(homes["swan"]))
        async with on(homes["grackle"]) as grackle, on(homes["rook"]) as rook:
            async with on(homes["heron"]) as heron:
                await grackle.register(swan, heron, rook)
                await heron.register(swan)
                await rook.register(swan, heron)
                await rook.instance.remember("while it was trusted")
                for each in (grackle, swan, heron):
                    await each.instance.holds("while it was trusted")
                await until(lambda: rook.connected(grackle, swan, heron))
                assert isinstance(await rook.call(heron), CallAnswer)
            await _revoke(grackle, rook)
            await until(lambda: swan.has_heard(rook))
            # What was open is closed at once, and what is written afterwards goes nowhere.
            await until(lambda: not swan.connected(rook) and not grackle.connected(rook))
            await until(lambda: not rook.instance.sync.connected())
            await rook.instance.remember("after it was revoked")
        heron = await stack.enter_async_context(on(homes["heron"]))
        await heron.instance.sync.sync_now()
        await until(lambda: heron.has_heard(rook))
        await until(lambda: heron.instance.sync.connected() == {swan.id})
        rook = await stack.enter_async_context(on(homes["rook"]))
        for each in (swan, heron):
            await _refuses(each, rook)
            assert await asyncio.to_thread(each.instance.contents) == ["while it was trusted"]
        # A machine that was revoked by mistake still has what it is told to save.
        await until(lambda: rook.house.registry.is_revoked(rook.id))
        assert await asyncio.to_thread(rook.instance.contents) == ["after it was revoked", "while it was trusted"]


async def _revoke(by: Gateway, revoked: Gateway) -> None:
    await asyncio.to_thread(by.house.registry.revoke, revoked.id, None)


async def _refuses(gateway: Gateway, revoked: Gateway) -> None:
    """At each door: sync, a call, registering from either side."""
    await asyncio.to_thread(revoked.house.registry.update, gateway.id, name=None, gateway_url=gateway.url)
    link = await revoked.instance.sync.converse(await dial(parse(gateway.url), DEFAULT_ZONES), dialled=True)
    assert link.peer is None
    assert not gateway.connected(revoked)
    body = body_of("tools/list")
    minted = revoked.caller.mint(gateway.caller, body)
    answer = await post(gateway.caller, minted, body)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert isinstance(await revoked.call(gateway), CallFailure)
    with pytest.raises(RefusedThere):
        await revoked.house.registering.register(gateway.url)
    with pytest.raises(InstanceRevoked):
        await gateway.house.registering.register(revoked.url)
    assert gateway.has_heard(revoked)
