"""What may be called is read once, and again after any commit: a word counts for the next call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from crow_plugins.federation.exposure import Exposure, Word
from crow_plugins.federation.remembered import RememberedExposure
from crow_plugins.host import Host

pytestmark = pytest.mark.anyio
TOOL = "crow_store_memory"


class Reading(Exposure):
    """Counts how often the database is read."""

    reads = 0

    def words(self) -> list[Word]:
        self.reads += 1
        return super().words()


@pytest.fixture
def reading(host: Host) -> Reading:
    return Reading(host.handle("federation"), ("crow_search",))


@pytest.fixture
def remembered(host: Host, reading: Reading) -> Iterator[RememberedExposure]:
    made = RememberedExposure(reading, host.home.database)
    yield made
    made.close()


async def test_what_nobody_changed_is_read_once(remembered: RememberedExposure, reading: Reading) -> None:
    for who in ("grackle", "swan", "grackle"):
        assert (await remembered.of(who)).allows("crow_search")
    assert reading.reads == 1


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
async def test_a_word_counts_for_the_next_call(
    remembered: RememberedExposure, reading: Reading, host: Host, elsewhere: bool
) -> None:
    assert not (await remembered.of("grackle")).allows(TOOL)
    with Host(host.home.folder) if elsewhere else nullcontext(host) as saying:
        said = Exposure(saying.handle("federation"), ())
        await asyncio.to_thread(said.expose, TOOL, "grackle")
        assert (await remembered.of("grackle")).allows(TOOL)
        assert not (await remembered.of("swan")).allows(TOOL)
        await asyncio.to_thread(said.deny, TOOL, "grackle")
        assert not (await remembered.of("grackle")).allows(TOOL)


async def test_after_a_stop_it_is_read_anew(remembered: RememberedExposure, reading: Reading) -> None:
    await remembered.of("grackle")
    remembered.close()
    await remembered.of("grackle")
    assert reading.reads == 2


async def test_where_it_cannot_be_told_it_is_read_each_time(tmp_path: Path, reading: Reading) -> None:
    blind = RememberedExposure(reading, tmp_path / "not there.db")
    for _ in range(2):
        await blind.of("grackle")
    assert reading.reads == 2
