"""Looks now and then how fast this instance catches up and how soon its peers have what it writes, and keeps it."""

from __future__ import annotations

import time

from crow_hooks import Crow
from crow_plugins.replicator import progress
from crow_plugins.replicator.progress import Lag, Rates, Reading
from crow_plugins.replicator.standing import Standings


class Measuring:
    """One instance's, in a process that serves."""

    def __init__(self, crow: Crow, standings: Standings) -> None:
        self._crow, self._standings = crow, standings
        self.lag, self._rates = Lag(), Rates()
        self.is_still = False  # the last look found nothing new, and nothing that goes on by itself
        self._kept: dict[str, tuple[object, ...]] = {}

    def look(self) -> None:
        """Database work; writes only what is another than it was."""
        now = time.monotonic()
        with self._crow.read() as db:
            standings = self._standings.of_others(db)
        applied = {each: standing.applied for each, standing in standings.items()}
        behind = {each: standing.behind for each, standing in standings.items()}
        rates = self._rates.look(applied, behind, now)
        news = {each: self._reading(each, rates.get(each), now) for each in applied}
        changed = {each: reading for each, reading in news.items() if _said(reading) != self._kept.get(each)}
        if changed:
            with self._crow.transaction() as transaction:
                progress.write(transaction.db, changed)
            self._kept |= {each: _said(reading) for each, reading in changed.items()}
        self.is_still = not changed and not any(round(rate, 1) for rate in rates.values())

    def _reading(self, instance_id: str, rate: float | None, now: float) -> Reading:
        confirmed, lag = self.lag.of(instance_id, now)
        rounded = None if lag is None else round(lag, 4)
        return Reading(round(rate, 1) if rate else None, confirmed, rounded, self._crow.now())


def _said(reading: Reading) -> tuple[object, ...]:
    """What is worth a write; a rate is kept fresh while there is one."""
    return reading.rate, reading.confirmed, reading.lag_seconds, reading.at if reading.rate else None
