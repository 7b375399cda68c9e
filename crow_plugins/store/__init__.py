"""The database: one file, one write door, every row with its version."""

from __future__ import annotations

from crow_plugins.store.clock import Machine, this_machine
from crow_plugins.store.connections import StoreUnavailable
from crow_plugins.store.door import ChangedMeanwhile, NestedTransaction, TransactionFailed, WriteTransaction
from crow_plugins.store.migrations import DatabaseNewer, MigrationFailed
from crow_plugins.store.store import Store

__all__ = [
    "ChangedMeanwhile",
    "DatabaseNewer",
    "Machine",
    "MigrationFailed",
    "NestedTransaction",
    "Store",
    "StoreUnavailable",
    "TransactionFailed",
    "WriteTransaction",
    "this_machine",
]
