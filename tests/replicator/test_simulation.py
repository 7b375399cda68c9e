"""Whatever happens to the machines of a chain: in the end all are equal, and nothing that anybody had is lost.

`CROW_SIMULATION=SEEDSxOPERATIONS` runs more. Each rule is then taken out of the code in turn, and the same runs must
fail without it.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crow_hooks import Data, Entry, Resolution, Version
from crow_plugins import causality, policies
from crow_plugins.replicator import applying, backfill, branches, disputes, healing, intake, revoking
from crow_plugins.replicator.branch_that_counts import other_branches
from crow_plugins.replicator.entry import Read
from crow_plugins.replicator.feed_storage import find_feed
from crow_plugins.replicator.history import readable
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.trust import Trust
from crow_plugins.store import WriteTransaction, clock, conflicts, versions
from crow_plugins.store.synced import Shape, row_id_of
from tests.replicator.chain import Machine
from tests.replicator.simulating import Simulation
from tests.replicator.versions_oracle import expected
from tests.store.world import Listener

SEEDS, OPERATIONS = map(int, os.environ.get("CROW_SIMULATION", "10x5000").split("x"))
BRANCHED_SEEDS, BRANCHED_OPERATIONS = int(os.environ.get("CROW_BRANCHES", "4")), 100
CONTROL_SEEDS, CONTROL_OPERATIONS = 5, 700
OPTION_SEEDS, OPTION_OPERATIONS = 2, 300  # where a rule has a table or a plugin of its own, it is broken soon


def held(simulation: Simulation) -> set[Version]:
    """Every write that counts and is anywhere: in a feed, in an outbox, or among the orphans."""
    found: set[Version] = set()
    trust = simulation.trust()
    for home in simulation.honest():
        one = home.machine
        assert one is not None
        for author in simulation.machines():
            is_proven = simulation.is_proven(author, one)
            if is_proven or any(simulation.is_proven(author, each) for each in simulation.machines()):
                found |= {
                    each.entry.version
                    for each in counting(trust, author, one)
                    if is_proven or trust.counts_rescued(each.entry, one.id)
                }
        waiting = one.rows("SELECT entry FROM outbox UNION ALL SELECT entry FROM orphans")
        found |= {
            each.entry.version
            for each in readable(bytes(block) for (block,) in waiting)  # type: ignore[call-overload]
            if trust.counts_rescued(each.entry, one.id)
        }
    return found


def counting(trust: Trust, author: Machine, holder: Machine) -> Iterator[Read]:
    """What counts of a feed as somebody holds it."""
    with holder.store.read() as db:
        other = find_feed(db, author.own.key) in other_branches(db, trust)
    for seq, block in enumerate(holder.blocks(author)):
        for found in readable([block]):
            if trust.counts(found, author.id, seq, other_branch=other):
                yield found


def run(folder: Path, seed: int, operations: int, **options: Any) -> tuple[list[str], Counter[str]]:
    """Play one chain to its end; returns what is wrong then, and what happened in it."""
    simulation = Simulation(folder, seed, **options)
    with closing(simulation):
        for _ in range(operations):
            simulation.step()
        before = held(simulation)
        simulation.finish()
        return [*simulation.wrong, *faults(simulation, before)], simulation.happened


@pytest.mark.parametrize("seed", range(BRANCHED_SEEDS))
def test_all_end_with_the_branch_that_a_revocation_names(tmp_path: Path, seed: int) -> None:
    simulation = Simulation(tmp_path, seed, restores=8)
    with closing(simulation):
        for _ in range(BRANCHED_OPERATIONS):
            simulation.step()
        simulation.show_two_branches()
        for _ in range(BRANCHED_OPERATIONS // 2):
            simulation.step()
        before = held(simulation)
        simulation.finish()
        if simulation.named_branch_is_gone():
            pytest.skip("who held the named branch was restored, and the others had left it before they heard of it")
        found = [*simulation.wrong, *faults(simulation, before)]
    assert not found, f"seed {seed}: {found[:5]}"


@pytest.mark.parametrize("same_names", [False, True], ids=["other names", "the same names"])
@pytest.mark.parametrize("seed", range(4, 4 + BRANCHED_SEEDS // 2))
def test_all_end_equal_with_both_branches_of_a_machine_that_never_comes_back(
    tmp_path: Path, seed: int, same_names: bool
) -> None:
    found = run_without_one(tmp_path, seed, same_names)
    assert not found, f"seed {seed}: {found[:5]}"


def run_without_one(folder: Path, seed: int, same_names: bool) -> list[str]:
    """Play a chain in which a machine leaves two branches of its feed and is met no more; what is wrong in the end."""
    simulation = Simulation(folder, seed, restores=8)
    with closing(simulation):
        for _ in range(BRANCHED_OPERATIONS):
            simulation.step()
        simulation.leave_two_branches(same_names=same_names)
        for _ in range(BRANCHED_OPERATIONS):
            simulation.step()
        before = held(simulation)
        simulation.finish()
        if simulation.named_branch_is_gone():
            pytest.skip("who held the named branch was restored, and the others had left it before they heard of it")
        if simulation.last_head_is_lost():
            pytest.skip("the last head of the one that is gone got around, and nobody has its blocks")
        found = [*simulation.wrong, *faults(simulation, before)]
    # One of two writes that have one name is left out: the oracle knows nothing of that.
    return [each for each in found if not (same_names and each.startswith("wrong"))]


def faults(simulation: Simulation, before: set[Version]) -> Iterator[str]:
    first, *others = [home.machine for home in simulation.honest() if home.machine is not None]
    entries = [found.entry for author in simulation.machines() for found in counting(simulation.trust(), author, first)]
    lost = before - {each.version for each in entries}
    if lost:
        yield f"lost: {len(lost)} writes, among them {min(lost, key=lambda version: version.lamport)}"
    for other in others:
        if first.things() != other.things():
            yield f"diverged: {differing(first.things(), other.things())}"
    yield from unlike_the_oracle(first, expected(entries), simulation.keyed)
    for one in (first, *others):
        yield from out_of_order(one)
        if one.rows("SELECT 1 FROM orphans UNION ALL SELECT 1 FROM outbox"):
            yield "waiting: something is in no feed yet"
        late = one.rows("SELECT instance_id FROM feeds WHERE contiguous < length")
        absent = {revoked_id(simulation), gone_id(simulation)}
        if {str(each) for (each,) in late} - absent:
            yield "waiting: blocks of a feed have not come"
        if {str(each) for (each,) in one.rows("SELECT instance_id FROM disputes")} - absent:
            yield "disputed: a feed has two branches, and its writer is here"
        if simulation.keyed:
            yield from under_other_keys(one)


def under_other_keys(one: Machine) -> Iterator[str]:
    for row_id, key in one.rows("SELECT id, key FROM labels"):
        if row_id != row_id_of(str(key)):
            yield f"keys: row {row_id} is called {key}"


def revoked_id(simulation: Simulation) -> str:
    return simulation.revocation.instance_id if simulation.revocation else ""


def gone_id(simulation: Simulation) -> str:
    return simulation.gone.machine.id if simulation.gone and simulation.gone.machine else ""


def differing(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> str:
    return str([pair for pair in zip(one, other, strict=False) if pair[0] != pair[1]][:2])[:600]


def unlike_the_oracle(one: Machine, rows: dict[Any, Any], keyed: bool) -> Iterator[str]:
    texts = {
        (table, row_id): text
        for table in ("things", "extras", *(("labels",) if keyed else ()))
        for row_id, text in one.rows(f"SELECT id, text FROM {table}")
    }
    conflicts: dict[object, set[tuple[object, object]]] = {}
    for table, row_id, *lamports in one.rows(
        "SELECT table_name, row_id, local_lamport, remote_lamport FROM sync_conflicts WHERE resolved = 0"
    ):
        conflicts.setdefault((table, row_id), set()).add((lamports[0], lamports[1]))
    for row, true in rows.items():
        if texts.get(row) != true.text:
            yield f"wrong: {row} shows {texts.get(row)} and not {true.text}"
        if conflicts.get(row, set()) != true.conflicts:
            yield f"wrong: {row} has the conflicts {conflicts.get(row)} and not {set(true.conflicts)}"
    if texts.keys() - rows.keys():
        yield f"wrong: rows that nobody wrote: {texts.keys() - rows.keys()}"


def out_of_order(one: Machine) -> Iterator[str]:
    """The clock never gives a name twice, and stays below what others accept."""
    dots = [found.entry.version for found in readable(one.blocks()) if found.rescued_by is None]
    if len(set(dots)) != len(dots):
        yield "clock: one name for two writes"
    [[lamport]] = one.rows("SELECT lamport FROM clock")
    highest = max((max(json.loads(str(vv)).values()) for (vv,) in one.rows("SELECT vv FROM row_versions")), default=0)
    if not highest <= int(str(lamport)) <= causality.lamport_limit(0):
        yield f"clock: it stands at {lamport} and has seen {highest}"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_all_end_equal_and_nothing_that_anybody_held_is_lost(tmp_path: Path, seed: int) -> None:
    found, happened = run(tmp_path, seed, OPERATIONS)
    print(f"seed {seed}, {OPERATIONS} operations: {dict(happened)}")
    assert not found, f"seed {seed}: {found[:5]}"


# ---- each rule taken away -----------------------------------------------------------------------


def replaced(module: object, name: str, value: object) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(module, name, value)


def early_skip(state: causality.RowState, arrival: causality.Arrival) -> causality.RowState:
    known = arrival.dot.lamport <= state.vector.get(arrival.dot.writer, 0)
    return state if known else REAL_JOIN(state, arrival)


def head_kept(self: OwnFeed, db: Any, blocks: Sequence[bytes]) -> int:
    """As if the head of the last transaction, committed or not, were still the feed's."""
    feed = self.feed(db)
    head = getattr(self, "kept_head", feed.head)
    batch = feed.append(blocks, self.writer())
    first: int = max(head.length, batch.base.length)
    feed.storage.store(batch)
    self.kept_head = batch.head  # type: ignore[attr-defined]
    return first


def healed_at_the_same_fork(
    transaction: WriteTransaction, own: OwnFeed, taking: Any, seen: Any, all_agree: bool
) -> None:
    """As if nobody had another branch."""
    known, disputes.is_known = disputes.is_known, lambda *_: False
    REAL_FINISH(transaction, own, taking, [], all_agree=True)
    disputes.is_known = known


def forgetting_the_deleted(db: Any, rows: Iterable[tuple[str, str, causality.RowState, bytes | None]]) -> None:
    """As if nothing need be known of a row that all have deleted."""
    for row in rows:
        table, row_id, state, _ = row
        if all(version.deleted for version in state.live):
            versions.forget(db, table, row_id)
        else:
            REAL_SAVE(db, [row])


def checked_without_its_key(self: Shape, row_id: str, data: Data) -> None:
    REAL_CHECK(replace(self, table=replace(self.table, natural_key=None)), row_id, data)


class Anybody(str):
    """The id of whoever asks."""

    __hash__ = str.__hash__

    def __ne__(self, other: object) -> bool:
        return False


def settled_at_once(self: WriteTransaction, *entries: Entry) -> None:
    """As if a policy were part of what arrives: the row is changed, and no entry tells of it."""
    REAL_TAKING(self, *entries)
    for table, row_id in {(entry.table, entry.row_id) for entry in entries}:
        for conflict in self.open_conflicts(table, row_id):
            listener, self._door.listener = self._door.listener, Listener()
            self.settle(conflict, Resolution("merge", {"text": "settled"}), by="policy")
            self._door.listener = listener
            break


REAL_JOIN, REAL_FINISH, REAL_DROP = causality.join, healing.finish, revoking.drop
REAL_SAVE, REAL_CHECK, REAL_TAKING = versions.save_all, Shape.check, WriteTransaction.join

REMOVED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    # rule, and what is taken out of the code
    "R1 join what is known too": replaced(causality, "join", early_skip),
    "R1 leave open what was not overwritten": replaced(causality, "_left_open", lambda *_: []),
    "R1 a deleted version gives way to a live one": replaced(
        causality,
        "current",
        lambda state: max((each for each in state.live if each.here), key=lambda each: each.dot, default=None),
    ),
    "R2 a new name after a restore": replaced(clock, "_is_stale", lambda epoch, *_: not epoch),
    "R3 append nothing while suspect": replaced(OwnFeed, "doubt", lambda *_: None),
    "R3 heal under a higher fork": replaced(healing, "finish", healed_at_the_same_fork),
    "R3 keep what a cut takes away": replaced(branches, "_orphan", lambda *_: None),
    "R3 rescue it": replaced(branches, "_orphans", lambda *_: []),
    "R3 append what waited meanwhile": replaced(healing, "_waiting", lambda *_: []),
    "R3 set the cursor back": replaced(intake.Intake, "back_to", lambda *_: None),
    "R4 keep what is known of a deleted row": replaced(versions, "save_all", forgetting_the_deleted),
    "R5 a key is its row's for ever": replaced(Shape, "check", checked_without_its_key),
    "R6 make rows anew": replaced(revoking, "drop", lambda *_: 0),
    "R6 what is past the length does not count": replaced(Trust, "counts", lambda *_: True),
    "R7 a bound that everybody shares": replaced(causality, "lamport_limit", lambda now: 150),
    "R8 the same id everywhere": replaced(causality, "conflict_id", lambda *_: str(uuid.uuid4())),
    "R8 open conflicts follow the live versions": replaced(conflicts, "_close", lambda *_: None),
    "R9 a policy is asked on one instance": replaced(policies, "instance_of", Anybody),
    "R9 a policy is asked after the apply transaction": replaced(WriteTransaction, "join", settled_at_once),
    "R10 try what is parked again": replaced(intake.Intake, "retry_parked", lambda *_: intake.Retried(0, None)),
    "R10 the cursor passes what is parked": replaced(applying, "park", lambda *_: None),
    "R11 append what was written while it was off": replaced(backfill, "_is_lacking", lambda *_: False),
    "R11 read the head under the lock": replaced(OwnFeed, "append", head_kept),
}


def run_controls(folder: Path, **options: bool) -> Iterator[list[str]]:
    seeds, operations = (OPTION_SEEDS, OPTION_OPERATIONS) if options else (CONTROL_SEEDS, CONTROL_OPERATIONS)
    for seed in range(seeds):
        made = folder / str(seed)
        made.mkdir()
        try:
            yield run(made, seed, operations, restores=6, **options)[0]
        except Exception as error:  # a program that breaks has failed as well
            yield [f"{type(error).__name__}: {error}"]


# Rules of keys and of policies are broken only where there are some.
OPTIONS = {"R5": {"keyed": True}, "R9": {"policy": True}}


@pytest.mark.parametrize("options", [{}, *OPTIONS.values()], ids=["", *OPTIONS])
def test_with_every_rule_the_runs_of_the_controls_are_well(tmp_path: Path, options: dict[str, bool]) -> None:
    for seed, found in enumerate(run_controls(tmp_path, **options)):
        assert not found, f"seed {seed}: {found[:5]}"


@pytest.mark.parametrize("removed", REMOVED)
def test_without_a_rule_the_same_runs_fail(removed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    REMOVED[removed](monkeypatch)
    for found in run_controls(tmp_path, **OPTIONS.get(removed.partition(" ")[0], {})):
        if found:
            print(f"{removed}: {found[0][:200]}")
            return
    pytest.fail(f"nothing was wrong without {removed!r}")


def test_without_rescuing_what_is_disputed_the_runs_without_its_writer_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(branches, "is_disputed_and_waits", lambda *_: False)
    found = run_without_one(tmp_path, 4, same_names=False)
    assert any(each.startswith(("lost", "diverged")) for each in found)
