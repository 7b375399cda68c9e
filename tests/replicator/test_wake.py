"""A write by another process of the home is noticed though nobody tells of it."""

from __future__ import annotations

from asyncio import to_thread
from pathlib import Path

import pytest

from crow_plugins.replicator import link, sync, wake
from tests.replicator.gateways import acquainted, open_instance, until
from tests.replicator.test_chains import gateways


@pytest.mark.anyio
async def test_a_write_whose_datagram_is_lost_is_passed_on_though_nothing_else_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake.Listeners, "tell", lambda self: None)  # every datagram is lost
    for chance in ("KEEP_ALIVE_SECONDS", "SILENCE_SECONDS"):  # that anything else brings it
        monkeypatch.setattr(link, chance, 3600.0)
    monkeypatch.setattr(sync, "CONTACT_SECONDS", 3600.0)
    async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
        await acquainted(grackle, swan)
        await grackle.remember("connected")
        await swan.holds("connected")
        beside = open_instance(grackle.home)
        try:
            await until(lambda: not grackle.sync._is_to_tend())  # nothing else has it look
            await beside.remember("unheard of")
            await swan.holds("connected", "unheard of")
        finally:
            await to_thread(beside.host.close)
