"""A write by another process of the home is noticed though nobody tells of it."""

from __future__ import annotations

import time
from asyncio import to_thread
from pathlib import Path

import pytest

from crow_plugins.replicator import link, sync
from tests.replicator.gateways import acquainted, open_instance
from tests.replicator.test_chains import gateways


@pytest.mark.anyio
async def test_a_write_whose_datagram_is_lost_is_passed_on_within_about_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "wake", lambda folder: None)  # every datagram of who does not serve is lost
    async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
        await acquainted(grackle, swan)
        await grackle.remember("connected")
        await swan.holds("connected")
        beside = open_instance(grackle.home)
        try:
            taken = []
            for count in (1, 2):  # the first may still come with what two who just met have to say
                begun = time.monotonic()
                await beside.remember("unheard of")
                await swan.holds("connected", *["unheard of"] * count)
                taken.append(time.monotonic() - begun)
            print(f"passed on after {taken} s")
            assert max(taken) < link.KEEP_ALIVE_SECONDS  # so it was no chance that brought it
        finally:
            await to_thread(beside.host.close)
