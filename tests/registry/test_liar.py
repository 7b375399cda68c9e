"""Who answers at an address and knows all that is public of a chain learns no feed key, and nothing of any call."""

from __future__ import annotations

import asyncio
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest

from crow_hooks import FEDERATION, CallFailure, Credentials, CrowError
from crow_plugins.host import Host
from crow_plugins.replicator import SYNC
from crow_plugins.summaries import REFRESHING
from tests.registry.liar import Liar, is_told, lying, until_heard
from tests.registry.world import PATH, House, Machine, chain_home

pytestmark = pytest.mark.anyio
OWN_URL = 'gateway_url = "http://127.0.0.1:4100"'
LIES = {
    Liar.self_made: "certificate_forged",
    Liar.borrowed: "probe_forged",
    Liar.recorded: "probe_forged",
}


async def test_a_liar_at_a_dialled_address_learns_no_feed_key_and_sees_no_call(tmp_path: Path) -> None:
    swan = Machine("swan")
    with Host(chain_home(tmp_path, "grackle", settings=OWN_URL)) as host:
        house = House(host)
        async with lying(swan) as liar, host.serving():
            for lie, code in LIES.items():
                liar.lie = lie
                with pytest.raises(CrowError) as refused:
                    await house.registering.register(liar.url)
                assert refused.value.code == code
            await asyncio.to_thread(_move_to, house, swan, liar.url)
            for lie, code in LIES.items():
                liar.lie = lie
                error = await house.registering.check(house.known("swan"))
                assert error is not None
                assert error.code == code
                called = await host.services.find("tests", FEDERATION).call(swan.id, "crow_search", {"query": "tea"})
                assert isinstance(called, CallFailure)
                assert called.code == "not_proven"
            await host.services.find("tests", REFRESHING).refresh(swan.id)
            await host.services.find("tests", SYNC).sync_now(swan.id)
            await until_heard(liar, "/sync")
        assert set(liar.paths) == {"/health", PATH, "/sync", "introduced"}
        assert not any(part in said.lower() for said in liar.heard for part in (b"bearer", b"crow_", b"tea"))
        feed_key = bytes.fromhex(host.keyring.identity.feed_key)
        assert not is_told(feed_key, b"\n".join(liar.heard))


def _move_to(house: House, swan: Machine, url: str) -> None:
    """Know the true one, at an address where somebody else answers by now."""
    house.registry.learn(Credentials((swan.signed,), ()))
    house.registry.update(swan.id, name=None, gateway_url=url)


@pytest.mark.parametrize("before", [b"", b"a", b"ab"])
def test_a_key_that_is_told_is_found_however_it_is_spelled(before: bytes) -> None:
    for key in (bytes(range(200, 232)), b"\xff" * 32, b"\0" * 31 + b"\1"):
        said = before + key + b"more"
        for told in (said, said.hex().encode(), said.hex().upper().encode(), b64encode(said), urlsafe_b64encode(said)):
            assert is_told(key, told)
        assert not is_told(key[:15] + b"\x07" + key[16:], b64encode(said) + said)
