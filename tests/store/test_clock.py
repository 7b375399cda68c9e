"""The writer's epoch: drawn anew whenever a copy of this database could be writing elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from crow_plugins.store import Machine
from tests.store.world import open_store


def writer_after(path: Path, machine: Machine) -> str:
    """Write once on `machine`; the writer that the write was made by."""
    world = open_store(path, machine=lambda: machine)
    try:
        change = world.write(f"on {machine}")
        again = world.write("and again")
    finally:
        world.store.close()
    assert change is not None
    assert again is not None
    assert again.version.writer == change.version.writer
    return change.version.writer


def test_the_epoch_stays_over_a_restart_on_the_same_boot(tmp_path: Path) -> None:
    path, machine = tmp_path / "crow.db", Machine("boot", 100.0)
    assert writer_after(path, machine) == writer_after(path, machine)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(Machine("another boot", 100.0), id="after a reboot"),
        pytest.param(Machine("boot", 110.5), id="after the wall clock was set forward"),
        pytest.param(Machine("boot", 89.5), id="after the wall clock was set back"),
    ],
)
def test_a_new_epoch_is_drawn(tmp_path: Path, later: Machine) -> None:
    path = tmp_path / "crow.db"
    assert writer_after(path, Machine("boot", 100.0)) != writer_after(path, later)


def test_ten_seconds_of_clock_step_are_drift(tmp_path: Path) -> None:
    path = tmp_path / "crow.db"
    assert writer_after(path, Machine("boot", 100.0)) == writer_after(path, Machine("boot", 110.0))


def test_the_lamport_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "crow.db"
    writer_after(path, Machine("boot", 0.0))
    world = open_store(path, machine=lambda: Machine("other", 0.0))
    change = world.write("later")
    world.store.close()
    assert change is not None
    assert change.version.lamport == 3


def test_an_epoch_drawn_in_a_transaction_that_failed_is_not_used(tmp_path: Path) -> None:
    world = open_store(tmp_path / "crow.db")
    world.listener.fail = RuntimeError("no")
    with pytest.raises(RuntimeError):
        world.write("lost")
    assert world.rows("SELECT * FROM clock") == []
    world.store.close()
