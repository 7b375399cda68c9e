"""One name for two writes, as somebody with a stolen machine's keys can make them: all machines show the same one."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from crow_plugins.identity.revocation import Revocation
from crow_plugins.replicator.entry import rescued
from tests.replicator.chain import ROW, Machine, carry, chain, exchange, introduce, reopen
from tests.replicator.test_healing import ROWS, backup, restored, settle, texts
from tests.replicator.test_revoking import revocation


def named(by: Machine, thief: Machine, length: int) -> Revocation:
    """What `by` holds counts, up to a length, and so do the names that it has heard of."""
    names = by.rows("SELECT name, lamport FROM writer_reach WHERE name LIKE ?", f"{thief.id}%")
    return revocation(thief, length, by, **{str(name).split(".")[1]: int(str(lamport)) for name, lamport in names})


def equal(*machines: Machine) -> bool:
    return all(each.things() == machines[0].things() for each in machines)


@pytest.mark.parametrize("row", [ROWS[1], ROWS[3]], ids=["the same row", "another row"])
@pytest.mark.parametrize("kept_there", [False, True], ids=["revoked", "under a higher fork"])
def test_a_shorter_branch_with_the_names_of_the_one_that_counts_leaves_nothing_behind(
    tmp_path: Path, row: str, kept_there: bool
) -> None:
    with chain(tmp_path, "home", "thief", "laptop") as [home, thief, laptop]:
        thief.write("good", ROWS[0])
        exchange([home, thief, laptop])
        saved = backup(thief, tmp_path / "saved")
        thief = restored(thief, saved, home, laptop, again=True)
        thief.write("shown to the laptop", row)
        carry(thief, laptop)
        thief = restored(thief, saved, home, laptop, again=True)
        if kept_there:
            thief.doubt()
            thief.heal()
            with thief.store.transaction() as transaction:  # under the epoch that it had
                [[epoch]] = laptop.rows("SELECT name FROM writers WHERE name LIKE ?", f"{thief.id}%")
                transaction.db.execute_sql("UPDATE clock SET epoch = ?", (str(epoch).split(".")[1],))
        thief.write("shown to home", ROWS[1])
        thief.write("shown to home, too", ROWS[2])
        carry(thief, home)
        if not kept_there:
            branch = named(home, thief, 3)
            for each in (home, laptop):
                each.hear(branch)
        carry(home, laptop, thief)
        assert laptop.rescue(thief) == 0
        assert texts(home) == {ROWS[0]: "good", ROWS[1]: "shown to home", ROWS[2]: "shown to home, too"}
        assert equal(home, laptop)
        assert laptop.rows("SELECT 1 FROM orphans UNION ALL SELECT 1 FROM parked_entries") == []
        thief.store.close()


@pytest.mark.parametrize("order", list(permutations("ABC")), ids="".join)
def test_what_the_writers_own_feed_says_stands_and_of_what_others_rescued_always_the_same(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    with chain(tmp_path, "thief", "laptop", "desktop", "phone") as [thief, laptop, desktop, phone]:
        thief.write("good", ROWS[0])
        saved = backup(thief, tmp_path / "saved")
        blocks = {}
        for rescuer, row in ((laptop, ROWS[1]), (desktop, ROW)):
            thief = restored(thief, saved, laptop, desktop, phone, again=True)
            thief.write(f"shown to {rescuer.id}", row)
            blocks[rescuer.id] = thief.blocks()[1]
        thief = restored(thief, saved, laptop, desktop, phone, again=True)
        thief.write("the writer's own", ROWS[1])
        for rescuer in (laptop, desktop):
            with rescuer.store.transaction() as transaction:
                place = rescuer.own.append(transaction.db, [rescued(blocks[rescuer.id], rescuer.id, 1)])
                rescuer.intake.take_own(transaction, place.seq)
        feeds = dict(zip("ABC", (thief, laptop, desktop), strict=True))
        for name in order[:-1]:
            carry(feeds[name], phone)
        if "A" not in order[:-1]:
            first = min(blocks[laptop.id], blocks[desktop.id])
            assert texts(phone) == (
                {ROWS[1]: f"shown to {laptop.id}"} if first == blocks[laptop.id] else {ROW: f"shown to {desktop.id}"}
            )
        carry(feeds[order[-1]], phone)
        exchange([thief, laptop, desktop])
        assert texts(phone) == {ROWS[0]: "good", ROWS[1]: "the writer's own"}
        assert equal(phone, laptop, desktop)
        parked = "SELECT reason FROM parked_entries"
        assert phone.rows(parked) == laptop.rows(parked) == [("dot_used_twice",)] * 2
        frozen = "SELECT instance_id FROM feeds WHERE frozen IS NOT NULL"
        assert sorted(phone.rows(frozen)) == sorted([(laptop.id,), (desktop.id,)])
        phone.hear(named(phone, thief, 2))
        with phone.store.transaction() as transaction:
            phone.intake.retry_parked(transaction)
        assert texts(phone) == {ROWS[0]: "good", ROWS[1]: "the writer's own"}
        assert phone.rows(frozen) == []  # it is known now who is to blame
        thief.store.close()


def test_what_was_rescued_of_a_branch_gives_way_when_the_one_comes_that_counts(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief", "laptop", "phone") as [home, thief, laptop, phone]:
        thief.write("good", ROWS[0])
        exchange([home, thief, laptop, phone])
        saved = backup(thief, tmp_path / "saved")
        thief = restored(thief, saved, home, laptop, phone, again=True)
        thief.write("shown to home", ROWS[1])
        carry(thief, home)
        branch = named(home, thief, 2)
        thief = restored(thief, saved, home, laptop, phone, again=True)
        thief.write("shown to the laptop", ROWS[2])
        carry(thief, laptop)
        thief = restored(thief, saved, home, laptop, phone)
        thief.doubt()
        thief.heal()
        carry(thief, laptop)
        assert laptop.rescue(thief) == 1
        carry(laptop, phone)
        assert texts(phone) == {ROWS[0]: "good", ROWS[2]: "shown to the laptop"}
        carry(laptop, home)
        for each in (home, laptop, phone):
            each.hear(branch)
        settle(home, laptop, phone)
        for each in (laptop, phone):
            carry(home, each, thief)
            assert each.rescue(thief) == 0
        settle(home, laptop, phone)
        assert texts(home) == {ROWS[0]: "good", ROWS[1]: "shown to home"}
        assert equal(home, laptop, phone)
        thief.store.close()


def test_nothing_is_rescued_before_all_of_the_new_branch_is_applied(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan", "heron") as [grackle, swan, heron]:
        grackle.write("before", ROWS[0])
        saved = backup(grackle, tmp_path / "saved")
        grackle = reopen(tmp_path / "grackle", grackle.keyring)
        introduce(grackle, swan, heron)
        grackle.doubt()
        grackle.heal()
        grackle.write("under a higher fork", ROWS[1])
        carry(grackle, swan)
        grackle = restored(grackle, saved, swan, heron)
        grackle.write("the other one", ROWS[2])
        carry(grackle, heron)
        grackle.doubt()
        grackle.heal(swan, heron)
        carry(grackle, heron, apply=False)
        assert len(heron.rows("SELECT 1 FROM orphans")) == 1
        assert heron.rescue(grackle) == 0
        heron.take(grackle)
        assert heron.rescue(grackle) == 0
        assert heron.rows("SELECT 1 FROM orphans") == []
        assert heron.things() == grackle.things()
        grackle.store.close()
