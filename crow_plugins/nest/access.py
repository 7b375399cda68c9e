"""Who may look: one-time addresses, a password, and the sessions of browsers that were let in.

The gateway is on a machine that other programs and pages share, so being local is no proof of anything. Cookies and
codes are random and stand hashed in the database; the password is an Argon2id hash, and wrong ones are counted.
What is dangerous asks again who is there.

    AccessRefused
    ├── CodeUnknown
    ├── WrongPassword
    └── TooManyTries
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import nacl.exceptions
import nacl.pwhash.argon2id
import peewee

from crow_hooks import Crow, CrowError, Invalid

CODE_SECONDS = 600
SESSION_SECONDS = 12 * 3600  # without a visit
SESSION_SECONDS_MAX = 14 * 86_400
CONFIRMED_SECONDS = 600  # how long a person counts as still being there
TRIES_MAX, TRIES_SECONDS = 5, 900
PASSWORD_MIN, PASSWORD_MAX = 12, 1024
SEEN_SECONDS = 60  # how exactly the last visit is kept


class AccessRefused(CrowError):
    """A browser is not let in."""

    code = "access_refused"


class CodeUnknown(AccessRefused):
    """A one-time address that is none, or was used, or is too old."""

    code = "code_unknown"

    def __init__(self) -> None:
        super().__init__("this address was used already or is too old; get a new one with: crow nest login")


class WrongPassword(AccessRefused):
    """A password that is not the one."""

    code = "wrong_password"

    def __init__(self) -> None:
        super().__init__("that is not the password; try again, or get a one-time address with: crow nest login")


class TooManyTries(AccessRefused):
    """Too many wrong passwords of late."""

    code = "too_many_tries"

    def __init__(self) -> None:
        super().__init__(
            f"{TRIES_MAX} passwords were wrong; wait {TRIES_SECONDS // 60} minutes, or sign in with: crow nest login"
        )


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in; `form_key` is what its forms carry, `fresh` whether the person was just asked."""

    hash: bytes
    form_key: str
    fresh: bool


class Access:
    """Codes, password and sessions of one installation. Every method is database work."""

    def __init__(self, crow: Crow) -> None:
        self._crow = crow

    def new_code(self) -> str:
        """A code that signs one browser in, within ten minutes."""
        code = secrets.token_urlsafe(24)
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql("DELETE FROM nest_codes WHERE expires_at <= ?", (transaction.now,))
            transaction.db.execute_sql(
                "INSERT INTO nest_codes VALUES (?, ?)", (_hash(code), transaction.now + CODE_SECONDS)
            )
        return code

    def sign_in_by_code(self, code: str, browser: str) -> str:
        """The new session's cookie. Raises `CodeUnknown`."""
        with self._crow.transaction() as transaction:
            used = transaction.db.execute_sql(
                "DELETE FROM nest_codes WHERE hash = ? AND expires_at > ? RETURNING 1", (_hash(code), transaction.now)
            ).fetchone()
            if used is None:
                raise CodeUnknown
            return _new_session(transaction.db, browser, transaction.now)

    def sign_in_by_password(self, password: str, browser: str) -> str:
        """The new session's cookie. Raises `WrongPassword`, `TooManyTries`."""
        self._check_password(password)
        with self._crow.transaction() as transaction:
            return _new_session(transaction.db, browser, transaction.now)

    def confirm(self, session: Session, password: str) -> None:
        """The person was asked again. Raises `WrongPassword`, `TooManyTries`."""
        self._check_password(password)
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql(
                "UPDATE nest_sessions SET confirmed = ? WHERE hash = ?", (transaction.now, session.hash)
            )

    def session(self, cookie: str | None, browser: str) -> Session | None:
        """The session of a cookie, if it is one, of this browser, and not over."""
        if not cookie:
            return None
        now, hashed = self._crow.now(), _hash(cookie)
        with self._crow.read() as db:
            row = db.execute_sql(
                "SELECT confirmed, last_seen FROM nest_sessions "
                "WHERE hash = ? AND browser = ? AND last_seen > ? AND created_at > ?",
                (hashed, _hash(browser), now - SESSION_SECONDS, now - SESSION_SECONDS_MAX),
            ).fetchone()
        if row is None:
            return None
        confirmed, last_seen = row
        if now - last_seen >= SEEN_SECONDS:
            with self._crow.transaction() as transaction:
                transaction.db.execute_sql("UPDATE nest_sessions SET last_seen = ? WHERE hash = ?", (now, hashed))
        return Session(hashed, _form_key(cookie), now - confirmed < CONFIRMED_SECONDS)

    def sign_out(self, session: Session) -> None:
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql("DELETE FROM nest_sessions WHERE hash = ?", (session.hash,))

    def has_password(self) -> bool:
        with self._crow.read() as db:
            return db.execute_sql("SELECT 1 FROM nest_password").fetchone() is not None

    def set_password(self, password: str) -> None:
        """Set or change it; every browser signs in anew. Raises `Invalid`."""
        if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
            raise Invalid(f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters; choose a longer one")
        hashed = nacl.pwhash.argon2id.str(password.encode()).decode()
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql("INSERT OR REPLACE INTO nest_password VALUES (1, ?)", (hashed,))
            transaction.db.execute_sql("DELETE FROM nest_sessions")

    def _check_password(self, password: str) -> None:
        """The try is counted before the password is looked at: tries at once are tries all the same."""
        with self._crow.transaction() as transaction:
            db, now = transaction.db, transaction.now
            db.execute_sql("DELETE FROM nest_failures WHERE at <= ?", (now - TRIES_SECONDS,))
            (tries,) = db.execute_sql("SELECT count(*) FROM nest_failures").fetchone()
            row = db.execute_sql("SELECT hash FROM nest_password").fetchone()
            if tries < TRIES_MAX:
                db.execute_sql("INSERT INTO nest_failures (at) VALUES (?)", (now,))
        if tries >= TRIES_MAX:
            raise TooManyTries
        if row is None or not _matches(row[0], password):
            raise WrongPassword
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql("DELETE FROM nest_failures")


def _new_session(db: peewee.Database, browser: str, now: int) -> str:
    cookie = secrets.token_urlsafe(32)
    db.execute_sql("DELETE FROM nest_sessions WHERE last_seen <= ?", (now - SESSION_SECONDS,))
    db.execute_sql(
        "INSERT INTO nest_sessions (hash, browser, created_at, confirmed, last_seen) VALUES (?, ?, ?, ?, ?)",
        (_hash(cookie), _hash(browser), now, now, now),
    )
    return cookie


def _matches(hashed: str, password: str) -> bool:
    try:
        return bool(nacl.pwhash.verify(hashed.encode(), password.encode()))
    except nacl.exceptions.InvalidkeyError:
        return False


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _form_key(cookie: str) -> str:
    """What a form of this session carries: it follows from the cookie, and the cookie does not follow from it."""
    return hashlib.sha256(b"crow/nest/form\0" + cookie.encode()).hexdigest()
