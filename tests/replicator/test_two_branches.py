"""Gateways to which a thief showed two branches of one feed: once it is revoked, both hold the one that is named."""

from __future__ import annotations

import shutil
from asyncio import to_thread
from pathlib import Path

import pytest

from crow_plugins.identity import revocation
from crow_plugins.identity.revocation import Revocation, Statement
from crow_plugins.registry.revoking import foresee
from tests.plugins.directory import DIRECTORY, introduce
from tests.replicator.gateways import Instance, acquainted, make_home, open_instance, serving, until
from tests.replicator.test_absence import seal_as_it_is
from tests.replicator.test_chains import SEED, are_equal, gateways, rows

pytestmark = pytest.mark.anyio


async def show(thief: Path, to: Instance, *contents: str) -> None:
    """Serve a thief's home to one instance, and write."""
    instance = open_instance(thief)
    try:
        await to_thread(seal_as_it_is, instance.host, instance)
        async with serving(instance):
            await acquainted(instance, to)
            before = await to_thread(to.contents)
            await instance.remember(*contents)
            await to.holds(*before, *contents)
    finally:
        await to_thread(instance.host.close)


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
        path = make_home(tmp_path, "thief", SEED)
        thief = open_instance(path)
        async with serving(thief):
            await acquainted(thief, home, laptop, reachable=False)
            for each in (home, laptop):
                await to_thread(introduce, thief.host, each.host, each.url)
            await thief.remember("before")
            for each in (home, laptop):
                await each.holds("before")
        thief_id = thief.host.instance.id
        await to_thread(thief.host.close)
        shutil.copytree(path, tmp_path / "twin")
        await show(path, home, "shown to home", "shown to home, too")
        await show(tmp_path / "twin", laptop, "shown to the laptop", *shown)
        await acquainted(home, laptop)
        frozen = "SELECT frozen FROM feeds WHERE frozen IS NOT NULL"
        await until(lambda: bool(rows(home, frozen)) and bool(rows(laptop, frozen)))
        statement = await to_thread(revoke, thief_id, home)
        for each in (laptop, home):
            await to_thread(hear, each, statement)
        for each in (home, laptop):  # both branches gave the same names to other writes
            await each.holds("before", "shown to home", "shown to home, too")
        await are_equal(home, laptop)
        assert await to_thread(rows, laptop, frozen) == []
        assert await to_thread(rows, laptop, "SELECT * FROM rejected_entries") == []
        assert await to_thread(rows, home, "SELECT * FROM rejected_entries") == []
