"""Gateways to which two branches of one feed were shown: they end equal with what is in both, its writer there or not,
and once it is revoked, all hold the one that is named.
"""

from __future__ import annotations

import shutil
from asyncio import to_thread
from collections.abc import Callable
from pathlib import Path

import pytest

from crow_plugins.host import Host
from crow_plugins.identity import revocation
from crow_plugins.identity.revocation import Revocation, Statement
from crow_plugins.registry.revoking import foresee
from crow_plugins.replicator import mending
from crow_plugins.store import Machine, this_machine
from tests.plugins.directory import DIRECTORY, introduce
from tests.replicator.gateways import Instance, acquainted, make_home, open_instance, serving, until
from tests.replicator.test_absence import an_hour_back, seal_as_it_is
from tests.replicator.test_chains import SEED, are_equal, gateways, rows

pytestmark = pytest.mark.anyio
DISPUTED = "SELECT instance_id, fork, common FROM disputes"
REFUSED = "SELECT seq FROM rejected_entries UNION SELECT seq FROM parked_entries"


async def show(home: Path, to: Instance, *contents: str, machine: Callable[[], Machine] = this_machine) -> None:
    """Serve a copy of a home to one instance, and write."""
    instance = Instance(home, Host(home, machine=machine))
    try:
        await to_thread(seal_as_it_is, instance.host, instance)
        async with serving(instance):
            await acquainted(instance, to)
            before = await to_thread(to.contents)
            await instance.remember(*contents)
            await to.holds(*before, *contents)
    finally:
        await to_thread(instance.host.close)


async def copied(folder: Path, *others: Instance) -> tuple[Path, Path, str]:
    """The home of a machine from which the others have "before", another one that is its copy, and its id."""
    path = make_home(folder, "lost", SEED)
    lost = open_instance(path)
    async with serving(lost):
        await acquainted(lost, *others, reachable=False)
        for each in others:
            await to_thread(introduce, lost.host, each.host, each.url)
        await lost.remember("before")
        for each in others:
            await each.holds("before")
    await to_thread(lost.host.close)
    shutil.copytree(path, folder / "twin")
    return path, folder / "twin", lost.host.instance.id


def revoke(thief_id: str, by: Instance) -> Statement:
    """What the command does on a machine with the seed: what counts is what it holds."""
    keyring = by.host.keyring
    with by.host.read() as db:
        foreseen = foresee(db, thief_id)
    chain = bytes.fromhex(keyring.identity.chain)
    return revocation.issue(Revocation(chain, thief_id, 1, foreseen.branch, foreseen.upto, 1), keyring.chain_key())


def hear(instance: Instance, statement: Statement) -> None:
    instance.host.services.find("tests", DIRECTORY).hear(statement.signed, statement.revocation.instance_id)


@pytest.mark.parametrize("shown", [["and more", "and more of it"], []], ids=["longer", "shorter"])
async def test_a_branch_that_the_revocation_does_not_name_gives_way_over_the_same_connection(
    tmp_path: Path, shown: list[str]
) -> None:
    async with gateways(tmp_path, "home", "laptop") as [home, laptop]:
        path, twin, thief_id = await copied(tmp_path, home, laptop)
        await show(path, home, "shown to home", "shown to home, too")
        await show(twin, laptop, "shown to the laptop", *shown)
        await acquainted(home, laptop)
        await are_equal(home, laptop)
        assert len(await to_thread(rows, home, DISPUTED)) == len(await to_thread(rows, laptop, DISPUTED)) == 1
        statement = await to_thread(revoke, thief_id, home)
        for each in (laptop, home):
            await to_thread(hear, each, statement)
        for each in (home, laptop):
            await until(lambda each=each: rows(each, DISPUTED) == [])  # type: ignore[misc]
        heard = shown[1:]  # home had it of the laptop, under a name that the named branch gave to no other write
        for each in (home, laptop):  # both branches gave the same names to other writes
            await each.holds("before", "shown to home", "shown to home, too", *heard)
        await are_equal(home, laptop)
        for each in (home, laptop):
            assert await to_thread(rows, each, "SELECT 1 FROM feeds WHERE frozen IS NOT NULL") == []
        assert await to_thread(rows, laptop, "SELECT * FROM rejected_entries") == []
        assert await to_thread(rows, home, "SELECT * FROM rejected_entries") == []


async def test_both_branches_of_a_machine_that_does_not_come_back_reach_everybody_and_it_mends_them_if_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was put back without noticing it, and wrote before it met anybody."""
    monkeypatch.setattr(mending, "GRACE_SECONDS", mending.SETTLE_SECONDS)  # the one that it does not reach stays away
    async with gateways(tmp_path, "home", "laptop", "phone") as [home, laptop, phone]:
        path, twin, _ = await copied(tmp_path, home, laptop)
        await show(path, home, "shown to home", "shown to home, too")
        await show(twin, laptop, "shown to the laptop", "and more", "and more of it", machine=an_hour_back)
        everything = ["before", "shown to home", "shown to home, too", "shown to the laptop", "and more"]
        everything.append("and more of it")
        await acquainted(home, laptop)
        for each in (home, laptop):
            await each.holds(*everything)
        lost = open_instance(twin)
        try:
            for each in (home, laptop):  # the phone hears of both branches from one machine
                await to_thread(introduce, phone.host, each.host, each.url if each is home else None)
                await to_thread(introduce, each.host, phone.host, None)
            await to_thread(introduce, phone.host, lost.host, None)
            await phone.holds(*everything)
            await are_equal(home, laptop, phone)
            for each in (home, laptop, phone):
                assert await to_thread(rows, each, "SELECT fork, common FROM disputes") == [(0, 0)]
                assert await to_thread(rows, each, REFUSED) == []
                await until(each.sync.is_caught_up)
            async with serving(lost):  # to one that holds the same branch, and has heard of the other
                await to_thread(introduce, lost.host, home.host, None)
                await acquainted(lost, laptop)
                await lost.holds(*everything)
                await until(lambda: rows(lost, DISPUTED) == [] and lost.sync.suspect() is None)  # not before it doubts
                await lost.remember("back again")
                for each in (lost, home, laptop, phone):
                    await each.holds(*everything, "back again")
                await are_equal(lost, home, laptop, phone)
                for each in (lost, home, laptop, phone):
                    assert await to_thread(rows, each, DISPUTED) == []
                    assert await to_thread(each.conflicts) == []
        finally:
            await to_thread(lost.host.close)
