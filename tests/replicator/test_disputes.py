"""Two branches of one feed whose writer is not there to mend it: who holds either rescues it, and all end equal."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.feed import Conflict, Proof, RemoteProtocolError
from crow_plugins.feed.conflict import from_nothing
from crow_plugins.feed.errors import NotHeld
from crow_plugins.identity.keys import KeyPair
from crow_plugins.replicator import branches, disputes, entry, healing
from crow_plugins.replicator.entry import Heads, read, shown
from crow_plugins.replicator.uptake import Uptake
from tests.replicator.chain import Machine, _feed, carry, chain, exchange, introduce, reopen
from tests.replicator.test_full_disk import Applies
from tests.replicator.test_healing import ROWS, backup, restored, settle, texts
from tests.replicator.test_one_name_twice import named
from tests.replicator.test_revoking import revocation

SHOWN = "SELECT common, told FROM two_branches"
DISPUTED = "SELECT common FROM disputes"
PARKED = "SELECT reason FROM parked_entries"
ORDERS = 4


@dataclass
class Lost:
    """A chain in which `writer` left one branch of its feed with `home` and another one with `laptop`."""

    writer: Machine
    home: Machine
    laptop: Machine
    others: list[Machine]

    @property
    def all(self) -> list[Machine]:
        return [self.home, self.laptop, *self.others]


@contextmanager
def two_branches(
    folder: Path, *others: str, common: int = 4, at_home: int = 2, there: int = 3, same_names: bool = False
) -> Iterator[Lost]:
    """`common` blocks, then so many more on each side; `same_names`: the names of the one are given again."""
    with chain(folder, "home", "writer", "laptop", *others) as [home, writer, laptop, *more]:
        for number in range(common):
            writer.write(f"before {number}", ROWS[0])
        for each in (home, laptop):
            carry(writer, each)
        saved = backup(writer, folder / "saved")
        writer = reopen(folder / "writer", writer.keyring)
        introduce(writer, home, laptop, *more)
        for number in range(at_home):
            writer.write(f"shown to home {number}", ROWS[1 + number])
        carry(writer, home)
        writer = restored(writer, saved, home, laptop, *more, again=same_names)
        for number in range(there):
            writer.write(f"shown to the laptop {number}", ROWS[5 + number])
        carry(writer, laptop)
        yield Lost(writer, home, laptop, more)
        writer.store.close()


def retry(*machines: Machine) -> None:
    for each in machines:
        with each.store.transaction() as transaction:
            each.intake.retry_parked(transaction)


def relayed(machines: list[Machine], author: Machine) -> None:
    """Give the author's feed to each other, as it is held; its writer is not there."""
    for source in machines:
        for target in machines:
            if source is not target:
                carry(source, target, author)


def settled(lost: Lost) -> None:
    """All meet until nothing is new; the writer is not there."""
    for _ in range(2):
        relayed(lost.all, lost.writer)
        for each in lost.all:
            each.rescue(lost.writer)
        exchange(lost.all)
        retry(*lost.all)


def rescued_by(machine: Machine) -> list[bytes]:
    """The entries of others that a machine has put into its own feed."""
    return [found.original for found in entry.read_all(machine.blocks()) if isinstance(found, entry.Read)]


def heads(lost: Lost) -> Heads:
    """What shows the two branches."""
    with lost.home.store.read() as db:
        dispute = disputes.of_feed(db, lost.home._source(db, lost.writer).feed)
    assert dispute is not None
    return dispute.heads


def told(by: Machine, *blocks: bytes) -> None:
    """Have a machine put something into its feed."""
    with by.store.transaction() as transaction:
        by.own.append(transaction.db, blocks)


def test_all_end_with_both_branches_and_what_is_shown_to_be_in_both_is_not_rescued(tmp_path: Path) -> None:
    with two_branches(tmp_path, "phone") as lost:
        settled(lost)
        home, laptop, [phone] = lost.home, lost.laptop, lost.others
        assert len(texts(home)) == 1 + 2 + 3
        assert home.things() == laptop.things() == phone.things()
        assert rescued_by(home) == lost.home.blocks(lost.writer)[4:]
        assert rescued_by(laptop) == lost.laptop.blocks(lost.writer)[4:]
        for each in lost.all:
            assert each.rows(SHOWN) == [(4, 1)]
            assert each.rows(PARKED) == []


def test_a_shorter_beginning_that_is_shown_later_counts_and_the_rest_is_rescued_then(tmp_path: Path) -> None:
    with two_branches(tmp_path, common=6) as lost:
        home, laptop = lost.home, lost.laptop
        with home.store.read() as db, laptop.store.read() as there:
            feeds = [_feed(db, lost.writer), _feed(there, lost.writer)]
            one, other = (feed.prove(from_nothing(7)) for feed in feeds if feed is not None)
        for each in (home, laptop):
            each.learn(lost.writer, Conflict(0, 7, one, other))
            each.rescue(lost.writer)
        assert home.rows(SHOWN) == [(6, 1)]
        assert rescued_by(home) == home.blocks(lost.writer)[6:]
        carry(home, laptop, lost.writer)  # eight blocks are one subtree, and another one in the other branch
        assert home.rows(SHOWN) == [(0, 0)]
        settled(lost)
        assert home.rows(SHOWN) == laptop.rows(SHOWN) == [(0, 1)]
        for each in (home, laptop):
            assert sorted(rescued_by(each)) == sorted(each.blocks(lost.writer))
            each.learn(lost.writer, Conflict(0, 7, one, other))
            assert each.rows(SHOWN) == [(0, 1)]
        assert home.things() == laptop.things()


@pytest.mark.parametrize("at", ["before the first", "within the first", "between two"])
def test_who_is_killed_while_it_rescues_loses_nothing_and_rescues_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(branches, "RESCUED_AT_ONCE", 2)
    with two_branches(tmp_path, there=5) as lost:
        relayed(lost.all, lost.writer)
        laptop = lost.laptop
        if at != "before the first":
            with contextlib.suppress(ZeroDivisionError), laptop.store.transaction() as transaction:
                source = laptop._source(transaction.db, lost.writer)
                assert branches.rescue_disputed(transaction, laptop.own, laptop.intake, source) == 2
                if at == "within the first":
                    raise ZeroDivisionError
        laptop.store.close()
        lost.laptop = laptop = reopen(tmp_path / "laptop", laptop.keyring)
        introduce(lost.home, lost.writer, laptop)
        assert len(rescued_by(laptop)) == (2 if at == "between two" else 0)
        assert laptop.rows(DISPUTED) == [(4,)]
        settled(lost)
        assert rescued_by(laptop) == laptop.blocks(lost.writer)[4:]
        assert lost.home.things() == laptop.things()
        laptop.store.close()


def test_nothing_is_rescued_while_our_own_feed_is_in_doubt(tmp_path: Path) -> None:
    with two_branches(tmp_path) as lost:
        relayed(lost.all, lost.writer)
        lost.laptop.doubt()
        assert lost.laptop.rescue(lost.writer) == 0
        assert lost.laptop.blocks() == []
        lost.laptop.heal(lost.home, everybody=True)
        settled(lost)
        assert lost.home.things() == lost.laptop.things()


def test_what_waits_for_a_plugin_or_a_newer_release_is_rescued_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two_branches(tmp_path, "phone") as lost:
        laptop = lost.laptop
        lost.home.on.clear()
        relayed([lost.home, laptop], lost.writer)
        with monkeypatch.context() as older:
            older.setattr(entry, "FORMAT", entry.FORMAT - 1)
            laptop.rescue(lost.writer)
            assert rescued_by(laptop) == []
        with laptop.store.transaction() as transaction:
            branches.read_again(transaction.db, transaction.now)
        lost.home.rescue(lost.writer)
        assert len(rescued_by(lost.home)) == 2
        settled(lost)
        lost.home.on.add("things")
        retry(lost.home)
        settled(lost)
        assert len(texts(lost.home)) == 1 + 2 + 3
        assert lost.home.things() == laptop.things() == lost.others[0].things()
        assert laptop.rows("SELECT block FROM unread_blocks UNION ALL SELECT entry FROM orphans") == []


def test_a_higher_fork_ends_it_and_nothing_is_there_twice(tmp_path: Path) -> None:
    with two_branches(tmp_path, "phone") as lost:
        settled(lost)
        writer, laptop = lost.writer, lost.laptop
        before = laptop.things()
        carry(laptop, writer)
        assert writer.look_for_branches()
        with writer.store.transaction() as transaction:  # as if all had said that they have no other branch
            healing.finish(transaction, writer.own, writer.intake, [], all_agree=True)
        assert writer.rows(DISPUTED) == []
        settle(writer, *lost.all)
        assert writer.things() == lost.home.things() == laptop.things() == lost.others[0].things() == before
        for each in lost.all:
            assert each.rows(DISPUTED) == each.rows("SELECT 1 FROM orphans") == []
            assert len(set(rescued_by(each))) == len(rescued_by(each))


@pytest.mark.parametrize("seed", range(ORDERS))
def test_of_the_writes_that_have_one_name_all_show_the_same_in_whatever_order_they_hear(
    tmp_path: Path, seed: int
) -> None:
    """One of them joins late, and one hears of all from it alone; in the end the writer is revoked or comes back."""
    order = random.Random(seed)
    with two_branches(
        tmp_path, "phone", "desk", common=order.randint(1, 5), at_home=3, there=order.randint(1, 5), same_names=True
    ) as lost:
        home, laptop, [phone, desk] = lost.home, lost.laptop, lost.others
        meetings = [(home, laptop), (home, phone), (laptop, phone), (phone, home), (phone, laptop), (phone, desk)]
        for _ in range(order.randint(0, 25)):
            source, target = order.choice(meetings)
            for author in order.sample([lost.writer, *lost.all], 5):
                if author is not target:
                    some = 1 << 20 if author is lost.writer else order.choice((1, 2, 1 << 20))
                    with contextlib.suppress(NotHeld):
                        carry(source, target, author, blocks_max=some)
            if order.random() < 0.4:
                order.choice(lost.all).rescue(lost.writer)
            if order.random() < 0.2:
                retry(order.choice(lost.all))
        settled(lost)
        names = {read(block).entry.version for each in (home, laptop) for block in each.blocks(lost.writer)}
        known = {
            version for each in lost.all for version in each.rows("SELECT DISTINCT writer, lamport FROM feed_entries")
        }
        assert len(known) == len(names)
        things = home.things()
        assert all(each.things() == things for each in lost.all)
        assert {read(block).entry.version for block in rescued_by(home)} >= {
            read(block).entry.version for block in home.blocks(lost.writer)[5:]
        }
        branch = named(home, lost.writer, len(home.blocks(lost.writer)))
        for each in order.sample(lost.all, 4):
            each.hear(branch)
            relayed(order.sample(lost.all, 4), lost.writer)
        for _ in range(2):
            relayed(lost.all, lost.writer)
            retry(*lost.all)
            settled(lost)
        assert all(each.things() == home.things() for each in lost.all)
        assert all(each.rows(DISPUTED) == [] for each in lost.all)
        for number in range(3):
            assert texts(desk)[ROWS[1 + number]] == f"shown to home {number}"


def test_what_gave_way_is_there_when_who_rescued_the_other_write_of_its_name_is_revoked(tmp_path: Path) -> None:
    with two_branches(tmp_path, "phone", same_names=True) as lost:
        home, laptop, [phone] = lost.home, lost.laptop, lost.others
        relayed([home, laptop], lost.writer)
        home.rescue(lost.writer)
        carry(home, laptop)
        assert texts(laptop)[ROWS[1]] == "shown to home 0"
        laptop.rescue(lost.writer)
        for each in (laptop, phone):
            each.hear(revocation(home, 0))
        carry(laptop, phone)
        retry(laptop, phone)
        for number in range(3):
            assert texts(laptop)[ROWS[5 + number]] == texts(phone)[ROWS[5 + number]] == f"shown to the laptop {number}"
        assert ROWS[1] not in texts(laptop)


def test_a_writer_that_is_revoked_has_nothing_of_it_rescued_that_does_not_count(tmp_path: Path) -> None:
    with two_branches(tmp_path, "phone") as lost:
        branch = named(lost.home, lost.writer, 6)  # it has heard of nothing that the laptop was shown
        relayed(lost.all, lost.writer)
        for each in lost.all:
            each.hear(branch)
            assert each.rows(DISPUTED) == []
        settled(lost)
        assert rescued_by(lost.home) == rescued_by(lost.laptop) == []
        assert len(texts(lost.home)) == 1 + 2
        assert all(each.things() == lost.home.things() for each in lost.all)
        told(lost.home, shown(Heads(lost.writer.id, b"", b""), lost.home.id, 1))
        carry(lost.home, lost.laptop)
        assert lost.laptop.rows("SELECT 1 FROM two_branches UNION SELECT 1 FROM parked_entries") == []


def test_what_does_not_show_two_branches_changes_nothing(tmp_path: Path) -> None:
    with two_branches(tmp_path, "phone") as lost:
        relayed([lost.home, lost.laptop], lost.writer)
        both, (phone,) = heads(lost), lost.others
        altered = Heads(both.instance_id, both.one[:-1] + bytes([both.one[-1] ^ 1]), both.other)
        wrong = {
            "impossible": [
                Heads(both.instance_id, both.one, both.one),
                altered,
                Heads(both.instance_id, b"", both.other),
                Heads(both.instance_id, disputes.heads_of("", Conflict(0, 0, Proof(0), Proof(0))).one, both.other),
                Heads(lost.home.id, both.one, both.other),
            ],
            "unknown_writer": [Heads("00000000-0000-4000-8000-000000000000", both.one, both.other)],
        }
        blocks = [shown(each, lost.home.id, 1) for found in wrong.values() for each in found]
        told(lost.home, *blocks, shown(both, lost.laptop.id, 1))
        carry(lost.home, phone)
        assert phone.rows("SELECT reason FROM parked_entries ORDER BY seq") == [
            *[("impossible",)] * 5,
            ("unknown_writer",),
            ("foreign_writer",),
        ]
        assert phone.rows("SELECT 1 FROM two_branches") == []
        told(lost.home, shown(both, lost.home.id, 1))
        carry(lost.home, phone)
        assert phone.rows("SELECT common, told FROM two_branches") == [(4, 0)]


def test_the_key_of_another_machine_proves_nothing(tmp_path: Path) -> None:
    with two_branches(tmp_path) as lost:
        relayed(lost.all, lost.writer)
        assert disputes.check(heads(lost), lost.writer.own.feed_key).common == 4
        with pytest.raises(RemoteProtocolError):
            disputes.check(heads(lost), KeyPair(bytes(32)).public_key)


def test_what_was_cut_off_does_not_wait_for_ever_for_a_head_whose_blocks_nobody_has(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "writer", "laptop") as [home, writer, laptop]:
        writer.write("before", ROWS[0])
        saved = backup(writer, tmp_path / "saved")
        writer = reopen(tmp_path / "writer", writer.keyring)
        introduce(writer, home, laptop)
        writer.write("only home has it", ROWS[1])
        carry(writer, home)
        writer = restored(writer, saved, home, laptop)
        writer.doubt()
        for number in range(2, 5):
            writer.write(f"lost {number}", ROWS[number])
        writer.heal()
        carry(writer, home, blocks_max=1)
        assert home.rescue(writer) == 0
        with home.store.transaction() as transaction:
            transaction.db.execute_sql("UPDATE orphans SET since = since - ?", (branches.PATIENCE_SECONDS,))
        assert home.rescue(writer) == 1
        carry(home, laptop, writer)
        exchange([home, laptop])
        assert home.things() == laptop.things()
        assert texts(laptop)[ROWS[1]] == "only home has it"
        writer.store.close()


@pytest.mark.parametrize("killed", [False, True])
def test_all_that_was_cut_off_is_looked_at_though_it_is_in_batches_that_rescue_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """The first of it stand in the new branch."""
    monkeypatch.setattr(branches, "RESCUED_AT_ONCE", 2)
    with chain(tmp_path, "home", "writer") as [home, writer]:
        for number in range(5):
            writer.write(f"text {number}", ROWS[number])
        carry(writer, home)
        with home.store.transaction() as transaction:
            source = home._source(transaction.db, writer)
            for block in [*writer.blocks(), lost_write(writer.blocks()[0])]:
                branches._keep(transaction.db, source.feed, read(block), transaction.now)
        if killed:
            with contextlib.suppress(ZeroDivisionError), home.store.transaction() as transaction:
                branches.rescue(transaction, home.own, home.intake, source)
                raise ZeroDivisionError
        crow: Any = Applies(home, writer)
        trusting: Any = Applies(home, writer)
        crow.now = lambda: 2**31
        Uptake(crow, home.own, home.intake, trusting, frozenset).take_all()
        assert home.rows("SELECT 1 FROM orphans") == []
        assert rescued_by(home) == [lost_write(writer.blocks()[0])]
        assert texts(home)[ROWS[9]] == "text 0"


def lost_write(block: bytes) -> bytes:
    """The same in another row, under a name that its writer gave to no other write, and last of all."""
    fields = json.loads(block)
    return json.dumps({**fields, "row_id": ROWS[9], "lamport": fields["lamport"] + 100}).encode()


def test_what_was_told_in_a_part_of_our_own_feed_that_is_gone_is_told_again(tmp_path: Path) -> None:
    with two_branches(tmp_path) as lost:
        settled(lost)
        saved = backup(lost.home, tmp_path / "told")
        lost.home = reopen(tmp_path / "home", lost.home.keyring)
        introduce(lost.home, lost.writer, lost.laptop)
        with lost.home.store.transaction() as transaction:  # another branch without any of it
            feed = lost.home.own.feed(transaction.db)
            feed.storage.store(feed.truncate(0, 7, lost.home.own.writer()))
            transaction.db.execute_sql(
                "DELETE FROM feed_entries WHERE feed = ?", (lost.home.own.number(transaction.db),)
            )
        lost.home.write("another one", ROWS[9])
        carry(lost.home, lost.laptop)
        lost.home = restored(lost.home, saved, lost.writer, lost.laptop)
        lost.home.doubt()
        lost.home.heal(lost.laptop)
        assert lost.home.rows(SHOWN) == [(4, 0)]
        settled(lost)
        settle(lost.home, lost.laptop)
        assert lost.home.rows(SHOWN) == [(4, 1)]
        assert sum(isinstance(found, Heads) for found in entry.read_all(lost.home.blocks())) == 1
        assert lost.home.rows(PARKED) == lost.laptop.rows(PARKED) == []
        assert lost.home.things() == lost.laptop.things()
        lost.home.store.close()
