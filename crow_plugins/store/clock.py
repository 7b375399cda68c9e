"""Logical time, as the database keeps it: one row, read and written inside the write transaction.

The counter is never kept in memory between transactions: other processes write too, and a
rolled-back number must be given out again. The epoch makes a writer's name new whenever this
database might be a copy of one that wrote on elsewhere: on creation, on another boot of the machine, and when
the wall clock stepped against the boot clock.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import peewee

from crow_plugins import causality

CLOCK_STEP_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine says of itself: which boot this is, and wall clock minus boot clock in seconds."""

    boot_id: str
    clock_offset: float


@cache
def boot_id() -> str:
    linux = Path("/proc/sys/kernel/random/boot_id")
    if linux.exists():
        return linux.read_text().strip()
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()  # noqa: S603
    return "unknown"


def this_machine() -> Machine:
    boot_clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Machine(boot_id(), time.time() - time.clock_gettime(boot_clock))


class Clock:
    """The clock row within one transaction: loaded on first use, saved once before commit.

    `entered` stands in the same row, since it moves with every write: up to it, each local write has its entry. It is
    whoever makes entries that moves it.
    """

    def __init__(self, db: peewee.Database, instance_id: str, machine: Machine) -> None:
        self._db = db
        row = db.execute_sql("SELECT lamport, entered, epoch, boot_id, clock_offset FROM clock WHERE id = 1").fetchone()
        known: tuple[int, int, str, str, float] = row or (0, 0, "", "", 0.0)
        self.lamport, self.entered, epoch, boot, offset = known
        self._epoch_drawn = _is_stale(epoch, boot, offset, machine)
        if self._epoch_drawn:
            epoch = secrets.token_hex(6)
        self._instance_id, self._epoch, self._machine = instance_id, epoch, machine
        self.writer = causality.writer_of(instance_id, epoch)

    def renew(self) -> None:
        """Write under a new name from now on: this database may be a copy of one that wrote on elsewhere."""
        self._epoch, self._epoch_drawn = secrets.token_hex(6), True
        self.writer = causality.writer_of(self._instance_id, self._epoch)

    def tick(self) -> causality.Dot:
        """The name of the next local write."""
        self.lamport = causality.tick(self.lamport)
        return causality.Dot(self.writer, self.lamport)

    def witness(self, lamport: int) -> None:
        """Advance past a received lamport."""
        self.lamport = causality.witness(self.lamport, lamport)

    def save(self) -> None:
        if not self._epoch_drawn:
            self._db.execute_sql("UPDATE clock SET lamport = ?, entered = ? WHERE id = 1", (self.lamport, self.entered))
            return
        self._db.execute_sql(
            "INSERT INTO clock (id, store_id, instance_id, lamport, entered, epoch, boot_id, clock_offset) "
            "VALUES (1, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET lamport = excluded.lamport, entered = excluded.entered, "
            "instance_id = excluded.instance_id, epoch = excluded.epoch, boot_id = excluded.boot_id, "
            "clock_offset = excluded.clock_offset",
            (
                *(secrets.token_hex(16), self._instance_id, self.lamport, self.entered, self._epoch),
                *(self._machine.boot_id, self._machine.clock_offset),
            ),
        )


def _is_stale(epoch: str, boot: str, offset: float, machine: Machine) -> bool:
    if not epoch or boot != machine.boot_id:
        return True
    return abs(machine.clock_offset - offset) > CLOCK_STEP_SECONDS_MAX
