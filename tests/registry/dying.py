"""Where a process dies that takes part in a join or a registration: right before and right after each of its commits.

`die_at` is called in a process before that becomes `crow`; it kills itself when it comes to the point. Nothing else
about it differs.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

from crow_plugins.registry import invitations
from crow_plugins.registry.invitations import Invitations
from crow_plugins.registry.inviting import Inviter
from crow_plugins.registry.registering import Registering
from crow_plugins.store import WriteTransaction

Owner = type | ModuleType
Work = Literal["queueing", "answering", "counting a try", "letting in", "being registered", "registering"]
Moment = Literal["before its commit", "after its commit", "after all of it"]

WORK: dict[Work, tuple[Owner, str]] = {
    "queueing": (Invitations, "_queue"),
    "answering": (invitations, "_handed_out"),
    "counting a try": (Inviter, "_consider"),
    "letting in": (Inviter, "_decide"),
    "being registered": (Registering, "called"),
    "registering": (Registering, "_keep"),
}


def die_at(work: Work, moment: Moment) -> None:
    """Have this process killed at a moment of a work, the first time that it is done."""
    busy = threading.local()

    def begin() -> None:
        busy.here = True

    def die() -> None:
        if getattr(busy, "here", False):  # in this thread: others may commit something else meanwhile
            os.kill(os.getpid(), signal.SIGKILL)

    _wrap(*WORK[work], entered=begin, left=die if moment == "after all of it" else _nothing)
    if moment == "before its commit":
        _wrap(WriteTransaction, "finish", entered=_nothing, left=die)
    elif moment == "after its commit":
        _wrap(WriteTransaction, "committed", entered=die, left=_nothing)


def _wrap(owner: Owner, name: str, *, entered: Callable[[], None], left: Callable[[], None]) -> None:
    method: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        entered()
        returned = method(*args, **options)
        left()
        return returned

    setattr(owner, name, wrapped)


def _nothing() -> None:
    return None
