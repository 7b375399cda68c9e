"""Machines that write, meet, are restored and heal in any order end equal, and nothing that anybody had is lost."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crow_hooks import Resolution, Version
from crow_plugins import store
from crow_plugins.feed import RemoteProtocolError
from tests.replicator.chain import Machine, carry, introduce, machine, reopen
from tests.replicator.test_healing import settle

NAMES = ("home", "laptop", "phone")
ROWS = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(4)]
STEPS = 120


@dataclass
class Simulation:
    """A chain in one process, under a clock of its own."""

    folder: Path
    random: random.Random
    now: int = 1_800_000_000
    boots: int = 0
    machines: list[Machine] = field(default_factory=list)
    backups: list[tuple[int, Path]] = field(default_factory=list)
    written: dict[Version, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, name in enumerate(NAMES, 1):
            self.machines.append(machine(self.folder, name, number, **self.options()))
        introduce(*self.machines)

    def options(self) -> dict[str, Any]:
        boot = f"boot {self.boots}"
        return {"now": lambda: self.now, "machine": lambda: store.Machine(boot, 0.0)}

    def step(self) -> None:
        self.now += 1
        act = self.random.choices(
            [self.write, self.delete, self.meet, self.resolve, self.back_up, self.restore, self.heal, self.rescue],
            [30, 6, 40, 6, 3, 3, 6, 6],
        )[0]
        act(self.random.choice(self.machines))

    def write(self, one: Machine) -> None:
        row_id = self.random.choice(ROWS)
        change = one.write(f"text {self.now}", row_id)
        assert change is not None
        self.written[change.version] = row_id

    def delete(self, one: Machine) -> None:
        row_id = self.random.choice(ROWS)
        if one.text(row_id) is not None and not self.conflicts(one, row_id):
            change = one.delete(row_id)
            assert change is not None
            self.written[change.version] = row_id

    def meet(self, one: Machine) -> None:
        other = self.random.choice([each for each in self.machines if each is not one])
        for author in self.machines:
            if author is not other and self.is_trusted(one, author):
                with contextlib.suppress(RemoteProtocolError):  # of a feed with two branches one is kept for now
                    carry(one, other, author)

    def is_trusted(self, source: Machine, author: Machine) -> bool:
        """Whether a machine may say anything of a feed: nothing of its own while it is doubted."""
        return source is not author or not source.rows("SELECT 1 FROM own_feed WHERE suspect IS NOT NULL")

    def resolve(self, one: Machine) -> None:
        row_id = self.random.choice(ROWS)
        with one.store.transaction() as transaction:
            for conflict in transaction.open_conflicts("things", row_id)[:1]:
                change = transaction.settle(conflict, Resolution(self.random.choice(["local", "remote"])), by="person")
                if change:
                    self.written[change.version] = row_id

    def conflicts(self, one: Machine, row_id: str) -> bool:
        with one.store.transaction() as transaction:
            return bool(transaction.open_conflicts("things", row_id))

    def back_up(self, one: Machine) -> None:
        to = self.folder / f"backup {len(self.backups)}"
        to.mkdir()
        one.store.close()
        for file in one.store.path.parent.glob("crow.db*"):
            shutil.copy(file, to / file.name)
        self.backups.append((self.machines.index(one), to))
        self.again(one)

    def restore(self, one: Machine) -> None:
        saved = [path for number, path in self.backups if number == self.machines.index(one)]
        if not saved:
            return
        one.store.close()
        for file in one.store.path.parent.glob("crow.db*"):
            file.unlink()
        for file in self.random.choice(saved).glob("crow.db*"):
            shutil.copy(file, one.store.path.parent / file.name)
        self.boots += 1
        again = self.again(one)
        if self.random.random() < 0.5:
            again.doubt()

    def again(self, one: Machine) -> Machine:
        number = self.machines.index(one)
        self.machines[number] = reopen(one.store.path.parent, one.keyring, **self.options())
        introduce(*self.machines)
        return self.machines[number]

    def heal(self, one: Machine) -> None:
        one.doubt()
        reachable = [other for other in self.machines if other is not one and self.random.random() < 0.8]
        one.heal(*reachable)

    def rescue(self, one: Machine) -> None:
        for other in self.machines:
            if other is not one:
                one.rescue(other)

    def held(self) -> dict[Version, str]:
        """Every write that a row somewhere knows of."""
        found = {}
        for version, row_id in self.written.items():
            for one in self.machines:
                [vector] = one.rows("SELECT vv FROM row_versions WHERE row_id = ?", row_id) or [("{}",)]
                if json.loads(str(vector[0])).get(version.writer, 0) >= version.lamport:
                    found[version] = row_id
        return found

    def finish(self) -> None:
        for _ in range(2):
            for one in self.machines:
                self.now += 1
                one.doubt()
                one.heal(*(other for other in self.machines if other is not one))
            for one in self.machines:
                self.meet_all(one)
        settle(*self.machines)

    def meet_all(self, one: Machine) -> None:
        for other in self.machines:
            if other is not one:
                for author in self.machines:
                    if author is not other:
                        with contextlib.suppress(RemoteProtocolError):
                            carry(one, other, author)


@pytest.fixture
def simulated(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Simulation]:
    simulation = Simulation(tmp_path, random.Random(request.param))
    yield simulation
    for one in simulation.machines:
        one.store.close()


@pytest.mark.parametrize("simulated", range(10), indirect=True)
def test_whatever_happens_all_end_equal_and_nothing_held_is_lost(simulated: Simulation) -> None:
    for _ in range(STEPS):
        simulated.step()
    before = simulated.held()
    simulated.finish()
    first, *others = simulated.machines
    for other in others:
        assert first.things() == other.things()
    assert simulated.held() == before
    assert first.rows("SELECT count(*) FROM orphans") == [(0,)]
