"""Field merge: two machines that changed different fields of a row both had their way. Off by default."""

from __future__ import annotations

from crow_hooks import REPLICATION, Conflict, Crow, Resolution, Transaction, hookimpl
from crow_plugins.field_merge.merging import merged, unmerged_of


@hookimpl
def on_conflict(crow: Crow, conflict: Conflict, transaction: Transaction) -> Resolution | None:
    base = crow.service(REPLICATION).ancestor(conflict, transaction)
    if base is None or conflict.local_deleted or conflict.remote_deleted:
        return None
    return merged(conflict, base, unmerged_of(crow, conflict.table))
