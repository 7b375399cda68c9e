"""A conflict policy that settles for the shown side, and fails while it is told to."""

from __future__ import annotations

from threading import Event

from crow_hooks import Conflict, Crow, Resolution, Transaction, hookimpl

FAILS = Event()


@hookimpl
def on_conflict(crow: Crow, conflict: Conflict, transaction: Transaction) -> Resolution:
    if FAILS.is_set():
        raise ZeroDivisionError("told to fail")
    return Resolution("local")
