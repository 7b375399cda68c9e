"""What others last said of themselves, as it is kept; nothing here asks anybody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from crow_hooks import CachedSummary, Crow, Instance, InstanceRegistry

KEEP_SECONDS = 24 * 3600  # a value that was not heard again is worth nothing after that
LATE_SECONDS = 120  # a value is stale when a refresh was missed, not while one is under way

State = Literal["fresh", "stale", "failed", "never_fetched"]


@dataclass(frozen=True, slots=True)
class Kept:
    """One row. `value` and `fetched_at` are None where nothing was ever said, or too long ago."""

    instance_id: str
    kind: str
    value: Any
    fetched_at: int | None
    expires_at: int | None
    error: str | None
    etag: str | None
    tried_at: int

    def state(self, now: int) -> State:
        if self.fetched_at is None:
            return "failed" if self.error is not None else "never_fetched"
        if self.error is not None:
            return "failed"
        return "stale" if self.stale(now) else "fresh"

    def stale(self, now: int) -> bool:
        return self.expires_at is None or now >= self.expires_at

    def at(self, now: int) -> Kept:
        """The row without a value that is too old."""
        if self.fetched_at is None or now - self.fetched_at <= KEEP_SECONDS:
            return self
        return Kept(self.instance_id, self.kind, None, None, None, self.error, None, self.tried_at)


class Cache:
    """The rows of one home. Everything here is database work."""

    def __init__(self, crow: Crow, registry: InstanceRegistry) -> None:
        self._crow, self._registry = crow, registry

    def instances(self) -> list[Instance]:
        """Who is asked: everybody that is known, neither hidden nor revoked."""
        return [other.instance for other in self._registry.others() if not other.hidden and not other.revoked]

    def rows(self, instance_id: str | None = None) -> dict[tuple[str, str], Kept]:
        """By instance and kind."""
        now = self._crow.now()
        with self._crow.read() as db:
            found = db.execute_sql(
                "SELECT instance_id, kind, value, fetched_at, expires_at, error, etag, tried_at FROM cached_summaries"
                " WHERE ? IS NULL OR instance_id = ?",
                (instance_id, instance_id),
            ).fetchall()
        kept = [
            Kept(who, kind, None if value is None else json.loads(value), *rest) for who, kind, value, *rest in found
        ]
        return {(each.instance_id, each.kind): each.at(now) for each in kept}

    def listed(self, instance_id: str | None = None) -> list[CachedSummary]:
        """Of those known now, what was ever asked."""
        now, rows = self._crow.now(), self.rows(instance_id)
        return [
            CachedSummary(
                instance, kept.kind, kept.value, kept.fetched_at, kept.expires_at, kept.stale(now), kept.error
            )
            for instance in self.instances()
            for kept in rows.values()
            if kept.instance_id == instance.id
        ]

    def keep(self, instance_id: str, kind: str, value: object, etag: str, refresh_seconds: int) -> None:
        """It was said just now."""
        now = self._crow.now()
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql(
                "INSERT OR REPLACE INTO cached_summaries"
                " (instance_id, kind, value, fetched_at, expires_at, error, etag, tried_at)"
                " VALUES (?, ?, ?, ?, ?, NULL, ?, ?)",
                (instance_id, kind, json.dumps(value), now, now + refresh_seconds + LATE_SECONDS, etag, now),
            )

    def fail(self, instance_id: str, kind: str, error: str) -> None:
        """The last try brought nothing; what was said before stays."""
        now = self._crow.now()
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql(
                "INSERT INTO cached_summaries (instance_id, kind, error, tried_at) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (instance_id, kind) DO UPDATE SET error = ?3, tried_at = ?4",
                (instance_id, kind, error, now),
            )

    def forget(self) -> None:
        """Take out what is of nobody known, and values that are too old."""
        known = json.dumps([instance.id for instance in self.instances()])
        before = self._crow.now() - KEEP_SECONDS
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql(
                "DELETE FROM cached_summaries WHERE instance_id NOT IN (SELECT value FROM json_each(?))", (known,)
            )
            transaction.db.execute_sql(
                "UPDATE cached_summaries SET value = NULL, fetched_at = NULL, expires_at = NULL, etag = NULL"
                " WHERE fetched_at < ?",
                (before,),
            )
