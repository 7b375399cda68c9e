"""The errors that cross plugin borders.

    CrowError                       one sentence for a person, a stable code for a program
    ├── NotFound                    no such row, plugin, instance or service
    ├── Invalid                     input that breaks a named limit; nothing was changed
    ├── Refused                     understood and not allowed
    ├── ConflictOpen                the row has concurrent versions; settle them first
    └── WrongThread                 database work on the event loop

Each room adds its own below these. Messages say what to do next and never repeat
what another machine sent.
"""

from __future__ import annotations


class CrowError(Exception):
    """A fault that a person can act on: the message is one sentence, `code` is for programs."""

    code = "crow_error"


class NotFound(CrowError):
    """What was asked for is not here."""

    code = "not_found"


class Invalid(CrowError):
    """Input breaks a limit; nothing was changed."""

    code = "invalid"


class Refused(CrowError):
    """The request was understood and is not allowed."""

    code = "refused"


class ConflictOpen(CrowError):
    """The row has concurrent versions, which must be settled first."""

    code = "conflict_open"

    def __init__(self, table: str, row_id: str) -> None:
        super().__init__(f"row {row_id} of {table} has an open conflict; resolve it first, then try again")


class WrongThread(CrowError):
    """Database work was asked for on the event loop."""

    code = "wrong_thread"

    def __init__(self) -> None:
        super().__init__("database work on the event loop; use a plain `def` tool or asyncio.to_thread")
