"""Invitations in the database: what the gateway queues, and what the one who invited makes of it.

The gateway knows no code and has no seed. It hands out offers, takes requests in, and hands answers out; each call is
one transaction, and nothing of a request is believed. Everything here is database work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import peewee

from crow_hooks import Crow, Transaction
from crow_plugins.identity import invitation
from crow_plugins.identity.errors import TriesUsedUp, WrongCode
from crow_plugins.identity.invitation import TRIES, Invitation
from crow_plugins.joining import InvitationUnknown, InvitationWithdrawn, Posted

Outcome = Literal["certified", "refused", "wrong_code"]

KEPT_SECONDS = 24 * 3600  # a joiner that was off for a while still gets its answer
OPEN_MAX = 64  # invitations in one home


@dataclass(frozen=True, slots=True)
class Queued:
    """A request that nobody has looked at yet."""

    digest: bytes
    posted: Posted


class Invitations:
    """The invitations of one home."""

    def __init__(self, crow: Crow) -> None:
        self._crow = crow

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self._crow.transaction()

    def open(self, opened: Invitation) -> None:
        """Let the gateway hand out an offer; what ended long ago is cleared away."""
        with self._crow.transaction() as transaction:
            db = transaction.db
            db.execute_sql("DELETE FROM invitations WHERE expires_at < ?", (transaction.now - KEPT_SECONDS,))
            db.execute_sql(
                "INSERT INTO invitations (id, state, expires_at) VALUES (?, ?, ?)",
                (opened.id, opened.encoded(), opened.expires_at),
            )

    def offer(self, invitation_id: str) -> bytes:
        """What a joiner is shown.

        Raises `InvitationUnknown`, `InvitationWithdrawn`, and as `Invitation.check`.
        """
        return self.check(invitation_id).offer

    def check(self, invitation_id: str) -> Invitation:
        """The invitation, while it is open. Raises as `offer`."""
        with self._crow.read() as db:
            known = _known(db, invitation_id)
        known.check(self._crow.now())
        return known

    def take_in(self, data: bytes) -> bytes | None:
        """Queue what a joiner posted, once; returns the answer, None while there is none.

        Raises `JoinMalformed`, `JoinNewer`, `WrongCode`, and as `offer`.
        """
        posted, digest = Posted.decoded(data), hashlib.sha256(data).digest()
        with self._crow.read() as db:
            found = _answer_of(db, digest)
        if found is not None and found[0] is not None:
            return _handed_out(*found)
        with self._crow.transaction() as transaction:
            return self._queue(transaction, posted, data, digest)

    def _queue(self, transaction: Transaction, posted: Posted, data: bytes, digest: bytes) -> bytes | None:
        db = transaction.db
        found = _answer_of(db, digest)  # again, now that nobody else writes
        if found is not None and found[0] is not None:
            return _handed_out(*found)
        known = _known(db, posted.invitation_id)
        invitation.check_request(known, posted.request, transaction.now)
        if found is None:
            if _count(db, known.id) >= TRIES:
                raise TriesUsedUp
            db.execute_sql(
                "INSERT INTO join_requests (digest, invitation_id, posted, received_at) VALUES (?, ?, ?, ?)",
                (digest, known.id, data, transaction.now),
            )
        return None

    def waiting(self, invitation_id: str) -> list[Queued]:
        """Requests that nobody has looked at, the oldest first."""
        with self._crow.read() as db:
            rows = db.execute_sql(
                "SELECT digest, posted FROM join_requests WHERE invitation_id = ? AND outcome IS NULL "
                "ORDER BY received_at, digest",
                (invitation_id,),
            ).fetchall()
        return [Queued(digest, Posted.decoded(posted)) for digest, posted in rows]

    def change(self, invitation_id: str, change: Callable[[Invitation], Invitation]) -> Invitation:
        """Keep an invitation's new state, in a transaction of its own. Raises what `change` does."""
        with self._crow.transaction() as transaction:
            return self.change_in(transaction, invitation_id, change)

    def change_in(
        self, transaction: Transaction, invitation_id: str, change: Callable[[Invitation], Invitation]
    ) -> Invitation:
        changed = change(_known(transaction.db, invitation_id))
        transaction.db.execute_sql("UPDATE invitations SET state = ? WHERE id = ?", (changed.encoded(), invitation_id))
        return changed

    def settle(self, transaction: Transaction, digest: bytes, outcome: Outcome, answer: bytes | None) -> None:
        """Keep what became of a request."""
        transaction.db.execute_sql(
            "UPDATE join_requests SET outcome = ?, answer = ? WHERE digest = ?", (outcome, answer, digest)
        )

    def withdraw(self, invitation_id: str) -> None:
        """Nobody can join by it any more; who has joined has joined."""
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql("UPDATE invitations SET withdrawn = 1 WHERE id = ?", (invitation_id,))


def _known(db: peewee.Database, invitation_id: str) -> Invitation:
    row = db.execute_sql("SELECT state, withdrawn FROM invitations WHERE id = ?", (invitation_id,)).fetchone()
    if row is None:
        raise InvitationUnknown
    known = Invitation.decoded(row[0])
    if row[1] and not known.used:
        raise InvitationWithdrawn
    return known


def _answer_of(db: peewee.Database, digest: bytes) -> tuple[str | None, bytes | None] | None:
    row = db.execute_sql("SELECT outcome, answer FROM join_requests WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else (row[0], row[1])


def _handed_out(outcome: str | None, answer: bytes | None) -> bytes:
    if answer is None:
        raise WrongCode
    return answer


def _count(db: peewee.Database, invitation_id: str) -> int:
    row = db.execute_sql("SELECT count(*) FROM join_requests WHERE invitation_id = ?", (invitation_id,)).fetchone()
    return int(row[0])
