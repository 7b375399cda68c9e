"""Looks now and then how fast this instance catches up and how soon its peers have what it writes, and keeps it."""

from __future__ import annotations

import time

import peewee

from crow_hooks import Crow
from crow_plugins.replicator import progress
from crow_plugins.replicator.connections import Connections
from crow_plugins.replicator.feed_storage import find_feed, held_feed
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.progress import Lag, Rates, Reading
from crow_plugins.replicator.trusting import Trusting


class Measuring:
    """One instance's, in a process that serves."""

    def __init__(self, crow: Crow, own: OwnFeed, trusting: Trusting, intake: Intake, connections: Connections) -> None:
        self._crow, self._own, self._trusting, self._intake = crow, own, trusting, intake
        self._connections = connections
        self.lag, self._rates = Lag(), Rates()
        self.is_still = False  # the last look found nothing new, and nothing that goes on by itself
        self._kept: dict[str, tuple[object, ...]] = {}

    def look(self) -> None:
        """Database work; writes only what is another than it was."""
        now = time.monotonic()
        with self._crow.read() as db:
            applied, behind = self._standing(db)
        rates = self._rates.look(applied, behind, now)
        news = {each: self._reading(each, rates.get(each), now) for each in applied}
        changed = {each: reading for each, reading in news.items() if _said(reading) != self._kept.get(each)}
        if changed:
            with self._crow.transaction() as transaction:
                progress.write(transaction.db, changed)
            self._kept |= {each: _said(reading) for each, reading in changed.items()}
        self.is_still = not rates and not changed

    def _standing(self, db: peewee.Database) -> tuple[dict[str, int], dict[str, int]]:
        """How much of each other's feed is applied, and how much is still to come."""
        applied, behind = {}, {}
        for key, feed in self._trusting.feeds().items():
            if key != self._own.key:
                number = find_feed(db, key)
                signed = 0 if number is None else held_feed(db, number).length
                applied[feed.instance_id] = self._intake.cursor(db, feed.instance_id).length
                longest = max(signed, self._connections.longest(key))
                behind[feed.instance_id] = max(0, longest - applied[feed.instance_id])
        return applied, behind

    def _reading(self, instance_id: str, rate: float | None, now: float) -> Reading:
        confirmed, lag = self.lag.of(instance_id, now)
        rounded = None if lag is None else round(lag, 4)
        return Reading(round(rate, 1) if rate else None, confirmed, rounded, self._crow.now())


def _said(reading: Reading) -> tuple[object, ...]:
    """What is worth a write; a rate is kept fresh while there is one."""
    return reading.rate, reading.confirmed, reading.lag_seconds, reading.at if reading.rate else None
