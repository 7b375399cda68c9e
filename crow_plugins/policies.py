"""Conflict policies: plugins may settle what would otherwise wait for the operator.

A policy is asked on the instance that wrote the shown version only, so that two instances never settle one conflict
in two ways, and in a write transaction of its own, so that its resolution is a local write like any other: it
travels. It is asked when a conflict appears, unless more is still to come from the other instances; and again for every
open one when the host begins to serve, when all has come, and every few minutes, since one that failed may go on then.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from crow_hooks import REPLICATION, Conflict, Resolution, Transaction
from crow_plugins.causality import instance_of

if TYPE_CHECKING:
    from crow_plugins.host import Host

log = logging.getLogger(__name__)

BY = "policy"


class Policies:
    """Asks the plugins of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def sweep(self) -> None:
        """Ask about every conflict that is open."""
        for table, row_id in self._host.store.rows_in_conflict():
            self.consider(table, row_id)

    def consider(self, table: str, row_id: str) -> None:
        """Ask about a row's conflicts, as they are now; a policy that fails leaves them open."""
        if not self._host.hook.plugins("on_conflict") or table not in self._host.owners or self._is_behind():
            return
        try:
            with self._host.store.transaction() as transaction:
                for conflict in transaction.open_conflicts(table, row_id)[:1]:
                    resolution = self._asked(conflict, transaction)
                    if resolution is not None:
                        transaction.settle(conflict, resolution, by=BY)
        except Exception:  # other people's code: the conflict stays as it was
            log.exception("conflict policy failed table=%s row=%s", table, row_id)

    def _is_behind(self) -> bool:
        """Whether another instance may have settled it already, in an entry that is still to come."""
        replication = self._host.services.offered(REPLICATION, self._host.is_enabled)
        return replication is not None and not replication.is_caught_up()

    def _asked(self, conflict: Conflict, transaction: Transaction) -> Resolution | None:
        if instance_of(conflict.local_version.writer) != self._host.instance.id:
            return None
        answer = self._host.hook.first("on_conflict", conflict=conflict, transaction=transaction)
        if answer is not None and not isinstance(answer, Resolution):
            raise TypeError(f"on_conflict returned a {type(answer).__name__}, not a Resolution")
        return answer
