"""Who calls: what a middleware has verified about a request, and which call of another instance is being served.

A middleware around the HTTP application sees the whole request and can verify more than a token's text. What it
found it puts into the request's scope; the token verifier reads it there and nowhere else, so a request that
did not pass the middleware is nobody's. While a call of another instance runs, `serving` says so to whatever it
reaches: the write door, which stays shut for calls that read, and outbound calls, which may not follow from one.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from crow_hooks import Refused

SCOPE_KEY = "crow.caller"
CLAIM = "crow_instance"  # in an access token's claims: the calling instance's id


@dataclass(frozen=True, slots=True)
class Caller:
    """An instance whose token was verified for this request; `expires_at` in unix seconds."""

    token: str
    instance_id: str
    scopes: tuple[str, ...]
    expires_at: int


@dataclass(frozen=True, slots=True)
class Serving:
    """A call of another instance is running here, and whether it may write."""

    instance_id: str
    may_write: bool


class WriteRefused(Refused):
    """A call of another instance that only reads tried to write."""

    code = "write_refused"

    def __init__(self) -> None:
        super().__init__("a call of another instance may not write here; expose the tool with --writes if it should")


_SERVING: ContextVar[Serving | None] = ContextVar("serving", default=None)


def introduce(scope: MutableMapping[str, object], caller: Caller) -> None:
    """Say who calls, for the rest of this request."""
    scope[SCOPE_KEY] = caller


def caller_in(scope: MutableMapping[str, object]) -> Caller | None:
    """Who was introduced in this request; a client cannot write into a scope."""
    caller = scope.get(SCOPE_KEY)
    return caller if isinstance(caller, Caller) else None


@contextmanager
def serving(instance_id: str, *, may_write: bool) -> Iterator[None]:
    """While the block runs, and in threads and tasks that it starts."""
    token = _SERVING.set(Serving(instance_id, may_write))
    try:
        yield
    finally:
        _SERVING.reset(token)


def served() -> Serving | None:
    """The call of another instance in which this code runs, if any."""
    return _SERVING.get()


def refuse_writing() -> None:
    """Raise `WriteRefused` inside a call of another instance that may only read."""
    call = _SERVING.get()
    if call is not None and not call.may_write:
        raise WriteRefused
