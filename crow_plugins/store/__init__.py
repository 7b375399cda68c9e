"""The database: one file, one write door, every row with its version."""

from __future__ import annotations

from crow_plugins.store.clock import Clock, Machine, this_machine
from crow_plugins.store.conflicts import still_open
from crow_plugins.store.connections import StoreUnavailable, is_out_of_service
from crow_plugins.store.door import ChangedMeanwhile, NestedTransaction, TransactionFailed, WriteTransaction
from crow_plugins.store.migrations import DatabaseNewer, MigrationFailed
from crow_plugins.store.store import Store
from crow_plugins.store.versions import live_dots

__all__ = [
    "ChangedMeanwhile",
    "Clock",
    "DatabaseNewer",
    "Machine",
    "MigrationFailed",
    "NestedTransaction",
    "Store",
    "StoreUnavailable",
    "TransactionFailed",
    "WriteTransaction",
    "is_out_of_service",
    "live_dots",
    "still_open",
    "this_machine",
]
