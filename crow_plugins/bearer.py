"""Bearer tokens of assistants that connect by HTTP.

A token is 256 random bits, shown once and stored as a hash: who reads the database cannot use it. It has a label
for the person, scopes (`read`, `write`), an end if wanted, and can be revoked. Tokens never travel.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import peewee

from crow_hooks import Invalid, NotFound

OWNER = "bearer"
PREFIX = "crow_"
LABEL_MAX = 64
LAST_USE_SECONDS = 60  # how exactly the last use is kept; a write for each call would cost more than the call

Look = Callable[[str, Sequence[object]], Sequence[object] | None]
Scope = Literal["read", "write"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

MIGRATIONS = (
    """
    -- Bearer tokens of assistants: who holds one may call tools here.
    CREATE TABLE assistant_tokens (
        id         TEXT PRIMARY KEY,     -- eight characters, for `crow token revoke`
        label      TEXT NOT NULL,        -- what a person calls it
        hash       BLOB NOT NULL UNIQUE, -- SHA-256 of the token
        scopes     TEXT NOT NULL,        -- read, or read write
        created_at INTEGER NOT NULL,     -- unix seconds, as all that follow
        expires_at INTEGER,
        revoked_at INTEGER,
        last_used  INTEGER
    );
    CREATE UNIQUE INDEX assistant_tokens_label ON assistant_tokens (label) WHERE revoked_at IS NULL;
    """,
)


@dataclass(frozen=True, slots=True)
class Grant:
    """One token as the database knows it; times in unix seconds."""

    id: str
    label: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used: int | None

    def stale(self, now: int) -> bool:
        """Whether the last use should be written again."""
        return now - (self.last_used or 0) >= LAST_USE_SECONDS


COLUMNS = "id, label, scopes, created_at, expires_at, revoked_at, last_used"


def create(
    db: peewee.Database, label: str, scopes: Sequence[str] = SCOPES, *, now: int, expires_at: int | None = None
) -> tuple[str, Grant]:
    """Make a token; returns it, for this once, and its grant. Raises `Invalid`."""
    label = label.strip()
    if not 1 <= len(label) <= LABEL_MAX or not label.isprintable():
        raise Invalid(f"a label has 1 to {LABEL_MAX} printable characters; choose another")
    if not scopes or set(scopes) - set(SCOPES):
        raise Invalid(f"scopes are {' and '.join(SCOPES)}; choose from these")
    if db.execute_sql("SELECT 1 FROM assistant_tokens WHERE label = ? AND revoked_at IS NULL", (label,)).fetchone():
        raise Invalid(f"there is a token called {label} already; revoke it or choose another label")
    token, grant_id = PREFIX + secrets.token_urlsafe(32), secrets.token_hex(4)
    db.execute_sql(
        f"INSERT INTO assistant_tokens ({COLUMNS}, hash) VALUES (?, ?, ?, ?, ?, NULL, NULL, ?)",
        (grant_id, label, " ".join(sorted(scopes)), now, expires_at, _hash(token)),
    )
    return token, Grant(grant_id, label, tuple(sorted(scopes)), now, expires_at, None, None)


def verify(look: Look, token: str, *, now: int) -> Grant | None:
    """The grant of a token that is good now; None for every other string. `look` answers a query's one row."""
    if not token.startswith(PREFIX):
        return None
    # Looked up by hash: how long a comparison takes tells nothing about the token.
    row = look(f"SELECT {COLUMNS} FROM assistant_tokens WHERE hash = ?", (_hash(token),))
    if row is None:
        return None
    grant = _grant(row)
    ended = grant.revoked_at is not None or (grant.expires_at is not None and grant.expires_at <= now)
    return None if ended else grant


def grants(db: peewee.Database) -> list[Grant]:
    return [_grant(row) for row in db.execute_sql(f"SELECT {COLUMNS} FROM assistant_tokens ORDER BY created_at, id")]


def revoke(db: peewee.Database, name: str, *, now: int) -> Grant:
    """End a token, named by label or id. Raises `NotFound`."""
    row = db.execute_sql(
        f"SELECT {COLUMNS} FROM assistant_tokens WHERE id = ?1 OR (label = ?1 AND revoked_at IS NULL)", (name,)
    ).fetchone()
    if row is None:
        raise NotFound(f"no token is called {name}; list them with: crow token list")
    db.execute_sql("UPDATE assistant_tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (now, row[0]))
    return _grant(row)


def used(db: peewee.Database, grant: Grant, *, now: int) -> None:
    db.execute_sql("UPDATE assistant_tokens SET last_used = ? WHERE id = ?", (now, grant.id))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _grant(row: Sequence[object]) -> Grant:
    grant_id, label, scopes, *times = row
    return Grant(str(grant_id), str(label), tuple(str(scopes).split()), *times)  # type: ignore[arg-type]  # as declared
