"""How fast this instance catches up, and how soon its own writes are with each peer: measured while it serves.

What is measured is put into the database about once a second while anything moves, so that a command in another process
can say it too; a reading that is old says nothing any more. Time is an argument, in seconds of any steady clock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import peewee

FRESH_SECONDS = 10  # a rate older than that is none
WEIGHT = 0.3  # of the newest look in the rate: it settles within some seconds
UNCONFIRMED_MAX = 1024  # lengths that are remembered: beyond, the oldest stands for what follows it


@dataclass(frozen=True, slots=True)
class Reading:
    """What was last measured of one instance: entries a second applied of its feed, how much of ours it holds, and
    how many seconds went by between a write here and its holding it; `at` in unix seconds."""

    rate: float | None = None
    confirmed: int | None = None
    lag_seconds: float | None = None
    at: int = 0


class Rates:
    """Entries a second, by instance, from one look to the next; an instance that is not behind has none."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float]] = {}
        self._rates: dict[str, float] = {}

    def look(self, applied: Mapping[str, int], behind: Mapping[str, int], now: float) -> dict[str, float]:
        """`applied` is how much of each feed is taken in, `behind` how much is still to come."""
        for instance_id, length in applied.items():
            was = self._last.get(instance_id)
            if was is not None and now > was[1] and length >= was[0] and (length > was[0] or behind.get(instance_id)):
                self._add(instance_id, (length - was[0]) / (now - was[1]))
            if not behind.get(instance_id):
                self._rates.pop(instance_id, None)
            self._last[instance_id] = length, now
        return dict(self._rates)

    def _add(self, instance_id: str, rate: float) -> None:
        before = self._rates.get(instance_id)
        self._rates[instance_id] = rate if before is None else before + WEIGHT * (rate - before)


class Lag:
    """From a write here to each peer's word that it holds it. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: float | None = None
        self._lengths: deque[tuple[int, float]] = deque()
        self._confirmed: dict[str, int] = {}
        self._last: dict[str, float] = {}

    def wrote(self, now: float) -> None:
        """Something was written, and will be announced."""
        with self._lock:
            self._written = now if self._written is None else self._written

    def reached(self, length: int, now: float) -> None:
        """Our feed is that long, and about to be announced so."""
        with self._lock:
            if not self._lengths or length > self._lengths[-1][0]:
                since, self._written = now if self._written is None else self._written, None
                if len(self._lengths) == UNCONFIRMED_MAX:
                    since = self._lengths.pop()[1]
                self._lengths.append((length, since))

    def told(self, peer_id: str, length: int, now: float) -> None:
        """A peer says that it holds so much of our feed."""
        with self._lock:
            before = self._confirmed.get(peer_id)
            self._confirmed[peer_id] = length
            news = [since for reached, since in self._lengths if (before or 0) < reached <= length]
            if news and before is not None:
                self._last[peer_id] = now - news[0]
            self._forget()

    def left(self, peer_id: str) -> None:
        with self._lock:
            self._confirmed.pop(peer_id, None)
            self._forget()

    def of(self, peer_id: str, now: float) -> tuple[int | None, float | None]:
        """How much it holds, and the lag: the last one, or what is waited for already if that is longer."""
        with self._lock:
            confirmed, last = self._confirmed.get(peer_id), self._last.get(peer_id)
            if confirmed is None:
                return None, None
            waiting = [now - since for length, since in self._lengths if length > confirmed]
            known = [each for each in (last, *waiting[:1]) if each is not None]
            return confirmed, max(known, default=None)

    def _forget(self) -> None:
        """What every connected peer holds; without any there is nobody to wait for."""
        held = min(self._confirmed.values(), default=None)
        while self._lengths and (held is None or self._lengths[0][0] <= held) and len(self._lengths) > 1:
            self._lengths.popleft()


def write(db: peewee.Database, readings: Mapping[str, Reading]) -> None:
    for instance_id, reading in readings.items():
        db.execute_sql(
            "INSERT INTO sync_progress (instance_id, rate, confirmed, lag_seconds, at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (instance_id) DO UPDATE SET rate = excluded.rate, confirmed = excluded.confirmed, "
            "lag_seconds = excluded.lag_seconds, at = excluded.at",
            (instance_id, reading.rate, reading.confirmed, reading.lag_seconds, reading.at),
        )


def read(db: peewee.Database, now: int) -> dict[str, Reading]:
    """By instance; a rate that is old is left out."""
    rows = db.execute_sql("SELECT instance_id, rate, confirmed, lag_seconds, at FROM sync_progress").fetchall()
    return {
        instance_id: Reading(rate if now - at <= FRESH_SECONDS else None, confirmed, lag, at)
        for instance_id, rate, confirmed, lag, at in rows
    }
