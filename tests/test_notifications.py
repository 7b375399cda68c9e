"""What plugins are told after the fact, on both sides of a real sync."""

from __future__ import annotations

import time

import pytest

from crow_plugins.testing import Chain, Instance
from tests.plugins.eavesdropper import HEARD

EAVESDROPPER = '[[plugin]]\nname = "eavesdropper"\nmodule = "tests.plugins.eavesdropper"\n'
PROBE = '[[plugin]]\nname = "probe"\nmodule = "tests.plugins.probe"\n'
HEARD_SECONDS_MAX = 30


@pytest.fixture
def crow_manifest() -> str:
    return EAVESDROPPER + PROBE


def heard(instance: Instance, name: str) -> list[tuple[str, ...]]:
    """What an instance was told under a name; waits until there is something."""
    until = time.monotonic() + HEARD_SECONDS_MAX
    while True:
        found = [each[1:] for each in instance.crow("eavesdropper").service(HEARD) if each[0] == name]
        if found or time.monotonic() > until:
            return found
        time.sleep(0.01)


def test_of_a_write_the_writer_hears_its_place_and_the_others_that_it_was_applied(crow_chain: Chain) -> None:
    grackle, swan = crow_chain.add("grackle"), crow_chain.add("swan")
    grackle.call("thread_bead", id="bead-1", colour="red")
    crow_chain.settle()
    assert heard(grackle, "entry_appended") == [("bead_insert", "0")]
    assert heard(swan, "change_applied") == [("bead_insert",)]


def test_both_sides_hear_of_a_conflict_and_of_its_end(crow_chain: Chain) -> None:
    grackle, swan = crow_chain.add("grackle"), crow_chain.add("swan")
    crow_chain.part()
    for instance, colour in ((grackle, "red"), (swan, "blue")):
        instance.call("thread_bead", id="bead-1", colour=colour)
    crow_chain.connect()
    crow_chain.settle()
    [conflict] = grackle.conflicts()
    for instance in (grackle, swan):
        assert heard(instance, "conflict_detected") == [(conflict["id"],)]
    grackle.resolve(conflict["id"], "local")
    crow_chain.settle()
    for instance in (grackle, swan):
        [(conflict_id, _)] = heard(instance, "conflict_resolved")
        assert conflict_id == conflict["id"]


def test_an_entry_that_nobody_here_knows_is_told_of_with_the_reason(crow_chain: Chain) -> None:
    grackle, swan = crow_chain.add("grackle"), crow_chain.add("swan", manifest=EAVESDROPPER)
    grackle.call("thread_bead", id="bead-1", colour="red")
    crow_chain.settle()
    assert heard(swan, "entry_parked") == [(grackle.id, "unknown_table")]


def test_a_peer_that_sends_what_its_writer_never_signed_is_told_of(crow_chain: Chain) -> None:
    grackle, swan = crow_chain.add("grackle"), crow_chain.add("swan")
    crow_chain.part()
    grackle.call("thread_bead", id="bead-1", colour="red")
    with grackle.host.transaction() as transaction:
        transaction.db.execute_sql(
            "UPDATE feed_blocks SET value = CAST(replace(CAST(value AS TEXT), 'red', 'tan') AS BLOB)"
        )
    crow_chain.connect()
    assert heard(swan, "entry_rejected")[0][0] == grackle.id
    assert swan.rows("SELECT count(*) FROM beads") == [(0,)]
