"""What peers sent that did not verify: kept, counted, and after a few of them nobody listens to the peer any more.

A peer that is quarantined is not dialled and not let in until a person says `crow sync now` with its name.
"""

from __future__ import annotations

from dataclasses import dataclass

import peewee

from crow_plugins.limits import QUARANTINE_AFTER, QUARANTINE_SECONDS

KEPT = 500


@dataclass(frozen=True, slots=True)
class Rejection:
    """A peer sent, of some instance's feed from `seq` on, what its writer cannot have signed; `at` in unix seconds."""

    instance_id: str
    peer_id: str
    seq: int
    reason: str
    at: int


def add(db: peewee.Database, rejection: Rejection) -> bool:
    """Keep it; returns whether the peer is quarantined now."""
    db.execute_sql(
        "INSERT INTO rejected_entries (instance_id, peer_id, seq, reason, at) VALUES (?, ?, ?, ?, ?)",
        (rejection.instance_id, rejection.peer_id, rejection.seq, rejection.reason, rejection.at),
    )
    db.execute_sql(
        "DELETE FROM rejected_entries WHERE number <= (SELECT max(number) FROM rejected_entries) - ?", (KEPT,)
    )
    (recent,) = db.execute_sql(
        "SELECT count(*) FROM rejected_entries WHERE peer_id = ? AND at > ?",
        (rejection.peer_id, rejection.at - QUARANTINE_SECONDS),
    ).fetchone()
    if recent >= QUARANTINE_AFTER:
        db.execute_sql(
            "INSERT OR IGNORE INTO quarantine (peer_id, since) VALUES (?, ?)", (rejection.peer_id, rejection.at)
        )
    return int(recent) >= QUARANTINE_AFTER


def newest(db: peewee.Database, limit: int = 50) -> list[Rejection]:
    rows = db.execute_sql(
        "SELECT instance_id, peer_id, seq, reason, at FROM rejected_entries ORDER BY number DESC LIMIT ?", (limit,)
    ).fetchall()
    return [Rejection(*row) for row in rows]


def quarantined(db: peewee.Database) -> frozenset[str]:
    """The ids of the peers that nobody listens to."""
    return frozenset(peer_id for (peer_id,) in db.execute_sql("SELECT peer_id FROM quarantine").fetchall())


def release(db: peewee.Database, peer_id: str | None) -> None:
    """Listen to a peer again, or to all."""
    db.execute_sql("DELETE FROM quarantine WHERE ? IS NULL OR peer_id = ?", (peer_id, peer_id))
