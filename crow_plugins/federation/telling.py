"""Revocations go along with calls, so that who calls and is called hears of a lost machine without any sync.

The caller names by a digest what it has heard of; where the other has heard of something else, its answer carries the
statements. Each is signed by the chain, so whoever passes it on is believed; what is not a statement is passed over.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence

HEARD_HEADER = "crow-heard"  # of a request: what the caller knows
REVOCATIONS_HEADER = "crow-revocations"  # of an answer: what it may not know
TOLD_MAX = 16  # about a kilobyte each, and a header of an answer takes some tens; another call tells others
STATEMENT_BYTES_MAX = 2048  # encoded; twice the longest


def digest(revocations: Sequence[bytes]) -> str:
    """Equal for equal sets of statements."""
    hashed = hashlib.blake2b(digest_size=16)
    for statement in sorted(revocations):
        hashed.update(hashlib.blake2b(statement, digest_size=16).digest())
    return hashed.hexdigest()


def told(revocations: Sequence[bytes], heard: str | None) -> str | None:
    """What to tell a caller that has heard of `heard`; None where that is the same, or it does not ask."""
    if not revocations or heard is None or heard == digest(revocations):
        return None
    chosen = revocations
    if len(revocations) > TOLD_MAX:
        chosen = secrets.SystemRandom().sample(revocations, TOLD_MAX)
    return ",".join(base64.urlsafe_b64encode(statement).decode() for statement in chosen)


def heard(header: str | None) -> tuple[bytes, ...]:
    """The statements of an answer, whatever they are worth."""
    parts = [] if header is None else header.split(",", TOLD_MAX)[:TOLD_MAX]
    return tuple(statement for part in parts if (statement := _decoded(part)) is not None)


def _decoded(part: str) -> bytes | None:
    try:
        return base64.b64decode(part, altchars=b"-_", validate=True) if len(part) <= STATEMENT_BYTES_MAX else None
    except (binascii.Error, ValueError):
        return None
