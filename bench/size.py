"""How much is measured: a glance in the tests, a run of some minutes, or all of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Counts; `rounds` is how often the long measurements are taken."""

    rounds: int
    blocks: int  # replicated from feed to feed
    singles: int  # appended one at a time
    rows: int  # caught up with
    live: int  # written on one machine, waited for on the other
    writes: int  # by the door, a round of twenty
    calls: int  # of a tool that writes
    imported: int  # at the most
    searched: int
    documents: int  # replicated by PouchDB
    starts: int
    peers: int  # of the gateway that idles
    idle_seconds: float
    settle_seconds: float  # until it has asked everybody for everything once


SIZES = {
    "smoke": Size(
        rounds=1,
        blocks=200,
        singles=20,
        rows=200,
        live=5,
        writes=2,
        calls=5,
        imported=200,
        searched=300,
        documents=100,
        starts=1,
        peers=1,
        idle_seconds=0.5,
        settle_seconds=0,
    ),
    "short": Size(
        rounds=2,
        blocks=100_000,
        singles=1_000,
        rows=100_000,
        live=300,
        writes=100,
        calls=300,
        imported=20_000,
        searched=1_000_000,
        documents=5_000,
        starts=5,
        peers=8,
        idle_seconds=60,
        settle_seconds=60,
    ),
    "full": Size(
        rounds=5,
        blocks=100_000,
        singles=5_000,
        rows=100_000,
        live=1_000,
        writes=200,
        calls=1_000,
        imported=1_000_000,
        searched=1_000_000,
        documents=50_000,
        starts=11,
        peers=8,
        idle_seconds=300,
        settle_seconds=90,
    ),
}
