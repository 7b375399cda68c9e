"""Whole instances under everything that happens to them, in one process, under a clock of its own.

Store, door, feeds, intake, healing, rescue and revocation are the real ones. Links lose, repeat, delay and reorder
what goes over them, and part. Machines are killed, restored with or without noticing, have clocks that are days apart
and jump, switch plugins off and on, run without the replicator, and get a newer release at different times.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crow_hooks import Change, Column, Conflict, Invalid, Resolution, SyncedTable
from crow_plugins import store
from crow_plugins.feed import RemoteProtocolError
from crow_plugins.feed.errors import NotHeld
from crow_plugins.identity.revocation import Revocation
from crow_plugins.policies import Policies
from crow_plugins.replicator import backfill
from crow_plugins.replicator.trust import Trust
from crow_plugins.store import WriteTransaction
from crow_plugins.store.synced import row_id_of
from tests.replicator.chain import Machine, Parcel, answered, carry, deliver, introduce, machine, reopen
from tests.store.world import SCRIPT, THINGS

NAMES = ("home", "laptop", "phone", "desk", "tablet")
BORN = 3  # so many at the start; the others join later
ROWS = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(24)]
DAY_SECONDS = 86_400
PARCELS_MAX = 12
# A table that only the newer release has.
EXTRAS = SyncedTable("extras", THINGS.columns, ("extra_insert", "extra_update", "extra_delete"))
# A table whose rows are known by a key.
LABELS = SyncedTable(
    "labels", (Column("key", bytes_max=64), *THINGS.columns), ("label_update", "label_delete"), natural_key="key"
)
KEYS = ("colour", "font", "language", "size")
SETTLING_ROUNDS_MAX = 6


class Crash(Exception):
    """The process dies before its commit."""


@dataclass
class Home:
    """One machine, and what is true of it outside its database."""

    name: str
    number: int
    machine: Machine | None = None
    skew: int = 0  # its wall clock, in seconds
    boots: int = 0
    newer: bool = False
    backups: list[Path] = field(default_factory=list)


class Simulation:
    """A chain, what is on its way in it, and what may still be lost."""

    def __init__(
        self, folder: Path, seed: int, *, restores: int = 1, keyed: bool = False, policy: bool = False
    ) -> None:
        """`restores`: how many times as often as usual databases are saved and put back.

        `keyed`: there is a table whose rows have natural keys; `policy`: a plugin settles conflicts.
        """
        self.keyed, self.policy = keyed, policy
        self.folder, self.random = folder, random.Random(seed)
        self.now = 1_800_000_000
        self.homes = [Home(name, number) for number, name in enumerate(NAMES, 1)]
        self.parcels: list[tuple[Home, Parcel]] = []
        self.parted: set[frozenset[str]] = set()
        self.happened: Counter[str] = Counter()
        self.revocation: Revocation | None = None
        self.thief: Home | None = None
        self.gone: Home | None = None  # nobody ever meets it again
        self.wrong: list[str] = []
        for home in self.homes[:BORN]:
            self.open(home)
        self._acts: dict[Callable[[Home], None], float] = {
            self.write: 34,
            self.delete: 6,
            self.resolve: 8,
            self.meet: 26,
            self.send: 16,
            self.arrive: 22,
            self.crash: 2,
            self.part: 1,
            self.join_chain: 0.3,
            self.heal: 4,
            self.rescue: 3,
            self.back_up: 0.5 * restores,
            self.restore: 0.5 * restores,
            self.set_clock: 0.5,
            self.switch: 0.7,
            self.retry: 1,
            self.write_without_replicator: 0.4,
            self.upgrade: 0.1,
            self.revoke: 0.03,
            self.hear: 0.2,
        }
        if keyed:
            self._acts |= {self.label: 10, self.rename: 4}
        if policy:
            self._acts |= {self.sweep: 10}

    # ---- machines -----------------------------------------------------------------------------------

    def open(self, home: Home) -> Machine:
        """Start it, for the first time or again."""
        tables = [THINGS, *([LABELS] if self.keyed else []), *([EXTRAS] if home.newer else [])]
        labels = SCRIPT.replace("things", "labels").replace("text TEXT", "key TEXT NOT NULL, text TEXT")
        scripts = {
            **({"labels": [labels]} if self.keyed else {}),
            **({"extras": [SCRIPT.replace("things", "extras")]} if home.newer else {}),
        }
        options: dict[str, Any] = {
            "now": lambda: self.now + home.skew,
            "machine": lambda: store.Machine(f"boot {home.boots}", float(home.skew)),
            "synced": tables,
            "more_scripts": scripts,
        }
        if home.machine is None:
            home.machine = machine(self.folder, home.name, home.number, **options)
        else:
            home.machine = reopen(self.folder / home.name, home.machine.keyring, **options)
        writer = home.machine.store._connections.writer
        with writer.connection_context():
            writer.execute_sql("PRAGMA synchronous = OFF")  # nobody cuts the power here
        home.machine.on.update(table.name for table in tables)
        introduce(*self.machines())
        if home is not self.thief and self.revocation and self.heard(home):
            home.machine.hear(self.revocation)
        return home.machine

    def born(self) -> list[Home]:
        return [home for home in self.homes if home.machine is not None and home is not self.gone]

    def machines(self) -> list[Machine]:
        return [home.machine for home in self.homes if home.machine is not None]

    def honest(self) -> list[Home]:
        return [home for home in self.born() if home is not self.thief]

    def trust(self) -> Trust:
        """What everybody knows once all have heard."""
        revoked = {self.revocation.instance_id: self.revocation} if self.revocation else {}
        return Trust({one.id: one.own.feed_key for one in self.machines()}, revoked)

    def is_proven(self, author: Machine, holder: Machine) -> bool:
        """Whether somebody who may be asked holds all that counts of a feed: of a revoked one, the named branch."""
        if self.revocation is None or author.id != self.revocation.instance_id:
            return True
        branch, length = self.revocation.feed, self.revocation.feed.length
        if holder is author or len(holder.blocks(author)) < length:
            return False
        return holder.branch(length, author).tree_hash == branch.tree_hash

    def is_last_to_hold_what_counts(self, home: Home) -> bool:
        """Whether the branch that a revocation names would be gone with this machine: then nobody can know it."""
        if self.thief is None or not self.is_proven(_on(self.thief), _on(home)):
            return False
        return self.named_branch_is_gone(but=home)

    def named_branch_is_gone(self, but: Home | None = None) -> bool:
        """Whether none of those who are trusted holds it, one left aside."""
        others = [_on(other) for other in self.honest() if other is not but]
        return self.thief is not None and not any(self.is_proven(_on(self.thief), other) for other in others)

    def last_head_is_lost(self) -> bool:
        """Whether a head got around of the one that is gone, and nobody has its blocks.

        What others hold of another branch may then not be told apart from what comes before that head.
        """
        sql = "SELECT 1 FROM feeds WHERE instance_id = ? AND contiguous < length "
        sql += "AND number NOT IN (SELECT feed FROM disputes)"
        return self.gone is not None and any(_on(home).rows(sql, _on(self.gone).id) for home in self.honest())

    def heard(self, home: Home) -> bool:
        return (self.folder / home.name / "heard").exists()

    def step(self) -> None:
        self.now += self.random.choice((0, 1, 30))
        [act] = self.random.choices(list(self._acts), list(self._acts.values()))
        act(self.random.choice(self.born()))

    # ---- what people do -----------------------------------------------------------------------------

    def write(self, home: Home) -> None:
        one, table = _on(home), self.random.choice(("things", "things", "extras"))
        if table in one.on:
            self.say(one, table, self.random.choice(ROWS))

    def say(self, one: Machine, table: str, row_id: str) -> Change | None:
        text = self.random.choice(("tea", "milk", f"text {self.random.getrandbits(40)}"))
        with one.store.transaction() as transaction:
            transaction.db.execute_sql(
                f"INSERT INTO {table} (id, text) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET text = excluded.text",
                (row_id, text),
            )
            before = transaction.open_conflicts(table, row_id)
            change = transaction.record(f"{table[:-1]}_update", table, row_id)
            after = {each.remote_version for each in transaction.open_conflicts(table, row_id)}
        self.wrong += [
            f"covered: {each.remote_version} by a write that did not settle it"
            for each in before
            if change and each.remote_version not in after and each.remote.get("text") != text
        ]
        return change

    def delete(self, home: Home) -> None:
        one, row_id = _on(home), self.random.choice(ROWS)
        if "things" in one.on and one.text(row_id) is not None and not self.in_conflict(one, row_id):
            one.delete(row_id)

    def resolve(self, home: Home) -> None:
        one = _on(home)
        rows = one.rows("SELECT table_name, row_id FROM sync_conflicts WHERE resolved = 0")
        if not rows:
            return
        table, row_id = self.random.choice(rows)
        if table in one.on:
            with one.store.transaction() as transaction:
                self._settle(transaction, str(table), str(row_id))

    def _settle(self, transaction: WriteTransaction, table: str, row_id: str) -> None:
        for conflict in transaction.open_conflicts(table, row_id)[:1]:
            ways = [Resolution("local"), Resolution("remote"), Resolution("merge", {"text": "both"})]
            transaction.settle(conflict, self.random.choice(ways), by="person")
            self.happened["resolved"] += 1

    def label(self, home: Home) -> None:
        """Say something under a key, whether somebody else has done so or not."""
        key, text = self.random.choice(KEYS), self.random.choice(("red", "blue", f"{self.random.getrandbits(40)}"))
        with _on(home).store.transaction() as transaction:
            transaction.db.execute_sql(
                "INSERT INTO labels (id, key, text) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET text = ?3",
                (row_id_of(key), key, text),
            )
            transaction.record("label_update", "labels", row_id_of(key))

    def rename(self, home: Home) -> None:
        """Give a row another key, which is not possible: it is another row then."""
        with contextlib.suppress(Invalid), _on(home).store.transaction() as transaction:
            old, new = self.random.sample(KEYS, 2)
            transaction.db.execute_sql("UPDATE labels SET key = ? WHERE id = ?", (new, row_id_of(old)))
            if transaction.db.execute_sql("SELECT changes()").fetchone() == (1,):
                transaction.record("label_update", "labels", row_id_of(old))

    def sweep(self, home: Home) -> None:
        """A plugin settles what is in conflict here, as far as it is asked."""
        before = _on(home).rows("SELECT count(*) FROM sync_conflicts WHERE resolved_by = 'policy'")
        revoked = self.revocation.instance_id if self.revocation and self.heard(home) else ""
        Policies(PolicyHost(home, revoked)).sweep()  # type: ignore[arg-type]  # all that is asked of a host
        self.happened["settled by policy"] += (
            _on(home).rows("SELECT count(*) FROM sync_conflicts WHERE resolved_by = 'policy'") != before
        )

    def in_conflict(self, one: Machine, row_id: str) -> bool:
        return bool(one.rows("SELECT 1 FROM sync_conflicts WHERE resolved = 0 AND row_id = ?", row_id))

    # ---- links --------------------------------------------------------------------------------------

    def pair(self, home: Home) -> Home | None:
        """Somebody whom it can reach, and who lets it in."""
        others = [
            other
            for other in self.born()
            if other is not home
            and frozenset((home.name, other.name)) not in self.parted
            and not (home is self.thief and self.heard(other))
            and not (other is self.thief and self.heard(home))
        ]
        return self.random.choice(others) if others else None

    def meet(self, home: Home) -> None:
        """A connection: everything that one has goes to the other, unless it is cut."""
        other = self.pair(home)
        if other is not None:
            self.give_all(home, other, self.random.choice((1, 5, 1 << 20)))

    def give_all(self, source: Home, target: Home, blocks_max: int = 1 << 20) -> None:
        one, other = _on(source), _on(target)
        for author in self.machines():
            if author is other:
                self.notice(target, source)
            elif author is not one or not is_suspect(one):
                # Of a feed with two branches one is kept for now; and who lacks blocks may not be able to prove a head.
                with contextlib.suppress(RemoteProtocolError, NotHeld):
                    carry(one, other, author, blocks_max=blocks_max)

    def notice(self, home: Home, peer: Home) -> None:
        """A peer that has more of our feed, or another branch, makes us doubt it."""
        one = _on(home)
        if one.is_outdone_by(_on(peer)) and not is_suspect(one):
            one.doubt()
            self.happened["doubted because of a peer"] += 1
        self.happened["heard of its own branches"] += one.look_for_branches()

    def send(self, home: Home) -> None:
        other = self.pair(home)
        if other is None:
            return
        one, author = _on(home), self.random.choice(self.machines())
        if author is not _on(other) and not (author is one and is_suspect(one)):
            with contextlib.suppress(NotHeld):
                parcel = answered(one, _on(other), author, self.random.choice((1, 3, 50)))
                self.parcels += [(other, parcel)] if parcel is not None else []
        if len(self.parcels) > PARCELS_MAX:
            del self.parcels[0]
            self.happened["dropped"] += 1

    def arrive(self, home: Home) -> None:
        """Something that is on its way comes, late or out of order; or it comes, and will come again."""
        if not self.parcels:
            return
        place = self.random.randrange(len(self.parcels))
        target, parcel = self.parcels[place]
        if self.random.random() < 0.8:
            del self.parcels[place]
        else:
            self.happened["repeated"] += 1
        deliver(parcel, _on(target))

    def part(self, home: Home) -> None:
        """The network falls apart, or comes together."""
        names = [each.name for each in self.homes]
        pairs = [frozenset((one, other)) for one in names for other in names if one < other]
        self.parted = set(self.random.sample(pairs, self.random.choice((0, 0, 4, 8))))
        self.happened["parted"] += bool(self.parted)

    # ---- what goes wrong ----------------------------------------------------------------------------

    def crash(self, home: Home) -> None:
        """The process dies before a commit, and starts again."""
        one = _on(home)

        def die(change: Change, transaction: WriteTransaction) -> None:
            stage(change, transaction)
            transaction.before_commit(self, self._die)

        stage, one.listener.on_write = one.listener.on_write, die
        with contextlib.suppress(Crash):
            self.say(one, "things", self.random.choice(ROWS))
        one.listener.on_write = stage
        self.happened["crashed"] += 1
        if self.random.random() < 0.2:
            self.again(home)

    def _die(self) -> None:
        raise Crash

    def again(self, home: Home) -> None:
        _on(home).store.close()
        self.open(home)

    def back_up(self, home: Home) -> None:
        to = self.folder / f"backup {home.name} {len(home.backups)}"
        to.mkdir()
        _on(home).store.close()
        for file in (self.folder / home.name).glob("crow.db*"):
            shutil.copy(file, to / file.name)
        home.backups.append(to)
        self.open(home)

    def restore(self, home: Home, *, is_seen: bool | None = None) -> None:
        """Put back some backup. Half of the time the seal tells of it; always the machine's clocks do."""
        if not home.backups or home is self.thief or self.is_last_to_hold_what_counts(home):
            return
        _on(home).store.close()
        for file in (self.folder / home.name).glob("crow.db*"):
            file.unlink()
        for file in self.random.choice(home.backups[-3:]).glob("crow.db*"):
            shutil.copy(file, self.folder / home.name / file.name)
        home.boots += 1
        one = self.open(home)
        self.happened["restored"] += 1
        if self.random.random() < 0.5 if is_seen is None else is_seen:
            one.doubt()

    def heal(self, home: Home) -> None:
        one = _on(home)
        if is_suspect(one):
            others = [each for each in self.honest() if each is not home]
            reached = [each for each in others if self.random.random() < 0.8]
            one.heal(*(_on(each) for each in reached), everybody=len(reached) == len(others))
            self.happened["healed"] += 1

    def rescue(self, home: Home) -> None:
        one = _on(home)
        for author in self.machines():
            if author is not one:
                self.happened["rescued"] += one.rescue(author)

    def set_clock(self, home: Home) -> None:
        home.skew = self.random.randint(-DAY_SECONDS, DAY_SECONDS)

    def switch(self, home: Home) -> None:
        """Turn the plugin off, or on."""
        one = _on(home)
        one.on ^= {"things"}
        self.happened["switched"] += 1

    def retry(self, home: Home) -> None:
        with _on(home).store.transaction() as transaction:
            self.happened["unparked"] += _on(home).intake.retry_parked(transaction).applied

    def retry_all(self, one: Machine) -> None:
        with one.store.transaction() as transaction:
            tried = one.intake.retry_parked(transaction)
            while tried.last is not None:
                tried = one.intake.retry_parked(transaction, tried.last)

    def write_without_replicator(self, home: Home) -> None:
        """It is switched off for a while; when it comes on, it appends before anything remote is applied."""
        one = _on(home)
        stage, one.listener.on_write = one.listener.on_write, lambda change, transaction: None
        for _ in range(3):
            if "things" in one.on and not is_suspect(one):
                self.say(one, "things", self.random.choice(ROWS))
        one.listener.on_write = stage
        self.happened["backfilled"] += backfill.run(one.store, one.own)

    def upgrade(self, home: Home) -> None:
        """A newer release, with a table more."""
        if not home.newer:
            home.newer = True
            self.again(home)
            self.happened["upgraded"] += 1

    def join_chain(self, home: Home) -> None:
        for newcomer in self.homes:
            if newcomer.machine is None:
                self.open(newcomer)
                if self.revocation is not None:
                    self.tell(newcomer)
                self.happened["joined late"] += 1
                return

    # ---- a machine is stolen ------------------------------------------------------------------------

    def revoke(self, home: Home) -> None:
        """One of the first machines is revoked, as far as the one that says so has its feed."""
        if self.revocation is None:
            self._revoke(home, self.random.choice([each for each in self.homes[:BORN] if each is not home]))

    def show_two_branches(self) -> None:
        """A machine shows one branch of its feed to whoever revokes it then, and another one to somebody else."""
        thief, home, other = self.random.sample(self.homes[:BORN], 3)
        if self.revocation is not None:
            return
        self.back_up(thief)
        self.give_all(thief, home)
        for _ in range(self.random.randint(1, 6)):
            self.say(_on(thief), "things", self.random.choice(ROWS))
        self.give_all(thief, home, self.random.choice((2, 1 << 20)))
        self.restore(thief)
        if self.random.random() < 0.6:  # under a higher fork
            _on(thief).doubt()
            _on(thief).heal()
        for _ in range(self.random.randint(1, 9)):
            self.say(_on(thief), "things", self.random.choice(ROWS))
        self.give_all(thief, other)
        self._revoke(home, thief)

    def leave_two_branches(self, *, same_names: bool = False) -> None:
        """A machine leaves two branches of its feed with two others, and is never met again.

        `same_names`: it gives the names of the one to the writes of the other.
        """
        lost, home, other = self.random.sample(self.homes[:BORN], 3)
        if self.revocation is not None:
            return
        _on(lost).on.add("things")
        if is_suspect(_on(lost)):
            _on(lost).heal()
        for _ in range(self.random.randint(0, 9)):
            self.say(_on(lost), "things", self.random.choice(ROWS))
        self.back_up(lost)
        epoch = _on(lost).rows("SELECT epoch, lamport FROM clock")
        self.give_all(lost, home, self.random.choice((2, 1 << 20)))
        for _ in range(self.random.randint(1, 6)):
            self.say(_on(lost), "things", self.random.choice(ROWS))
        self.give_all(lost, home, self.random.choice((2, 1 << 20)))
        lost.backups = lost.backups[-1:]
        self.restore(lost, is_seen=False)
        if same_names:
            with _on(lost).store.transaction() as transaction:
                transaction.db.execute_sql("UPDATE clock SET epoch = ?, lamport = ?", epoch[0])
        for _ in range(self.random.randint(1, 9)):
            self.say(_on(lost), "things", self.random.choice(ROWS))
        self.give_all(lost, other)
        self.gone = lost

    def _revoke(self, home: Home, stolen: Home) -> None:
        self.thief, thief = stolen, _on(stolen)
        upto = {
            str(name).split(".")[1]: int(str(lamport))
            for name, lamport in _on(home).rows("SELECT name, lamport FROM writer_reach")
            if str(name).startswith(thief.id)
        }
        self.revocation = Revocation(
            chain=bytes.fromhex(thief.keyring.identity.chain),
            instance_id=thief.id,
            serial=1,
            feed=_on(home).branch(len(_on(home).blocks(thief)), thief),
            upto={epoch: lamport for epoch, lamport in upto.items() if lamport},
            issued_at=1,
        )
        self.tell(home)
        self.happened["revoked"] += 1

    def hear(self, home: Home) -> None:
        if self.revocation is not None and home is not self.thief and not self.heard(home):
            self.tell(home)

    def tell(self, home: Home) -> None:
        assert self.revocation is not None
        (self.folder / home.name / "heard").touch()
        _on(home).hear(self.revocation)

    # ---- the end ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The network is whole, all have the newest release and every plugin on, and meet until nothing is new."""
        self.parted.clear()
        while any(home.machine is None for home in self.homes):
            self.join_chain(self.homes[0])
        for home in self.born():
            self.hear(home)
            self.upgrade(home)
            _on(home).on.update(("things", "extras"))
        for _ in range(4):
            self.now += 1
            self.everybody_meets()
        for home in self.honest():
            self.retry_all(_on(home))
        if self.policy:
            self.settle()

    def settle(self) -> None:
        """The policies of all have their say until nothing is in conflict, or it is clear that they never end."""
        for _ in range(SETTLING_ROUNDS_MAX):
            for home in self.honest():
                self.sweep(home)
            self.everybody_meets()
            if not any(self.has_a_say(home) for home in self.honest()):
                return
        self.wrong.append("unsettled: the policies never end")

    def has_a_say(self, home: Home) -> bool:
        """Whether a policy is to be asked there. Of what a revoked machine wrote, none is: it waits for a person."""
        one = _on(home)
        rows = one.store.rows_in_conflict()
        with one.store.transaction() as transaction:
            found = [conflict for row in rows for conflict in transaction.open_conflicts(*row)]
        return any(conflict.local_version.writer.startswith(one.id) for conflict in found)

    def everybody_meets(self) -> None:
        homes = self.honest()
        for home in homes:
            for other in homes:
                if other is not home:
                    self.notice(home, other)
            if is_suspect(_on(home)):
                others = [_on(other) for other in homes if other is not home]
                _on(home).heal(*others, everybody=True)
        for source in homes:
            for target in homes:
                if source is not target:
                    self.give_all(source, target)
        for home in homes:
            self.rescue(home)

    def close(self) -> None:
        for one in self.machines():
            one.store.close()


class PolicyHost:
    """What `Policies` asks of a host: one machine of the simulation, and a plugin that settles every conflict."""

    def __init__(self, home: Home, revoked: str) -> None:
        """Of the instance that is `revoked` nothing more is waited for."""
        self.store, self.owners, self.home, self.revoked = _on(home).store, _on(home).on, home, revoked
        self.instance = self.hook = self.services = self
        self.id = _on(home).id

    def is_enabled(self, plugin: str) -> bool:
        return True

    def plugins(self, hook: str) -> list[str]:
        return [hook]

    def offered(self, *_: object) -> PolicyHost:
        return self

    def is_caught_up(self) -> bool:
        return not is_suspect(_on(self.home)) and not _on(self.home).rows(
            "SELECT 1 FROM feeds LEFT JOIN sync_state USING (instance_id) "
            "WHERE instance_id NOT IN (?, ?) AND last_seq IS NOT length",
            self.id,
            self.revoked,
        )

    def first(self, hook: str, *, conflict: Conflict, transaction: WriteTransaction) -> Resolution:
        """A plugin may say who it was that settled; equal bytes would hide that two did."""
        return Resolution("merge", {"text": f"{len(str(conflict.local['text']))} settled on {self.home.name}"})


def is_suspect(one: Machine) -> bool:
    return bool(one.rows("SELECT 1 FROM own_feed WHERE suspect IS NOT NULL"))


def _on(home: Home) -> Machine:
    assert home.machine is not None
    return home.machine
