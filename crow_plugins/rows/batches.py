"""Imports in batches of one transaction each, of which a rehearsal is undone again.

A plugin's rule may refuse a record in the middle of a batch, which undoes all of it: then halves of the batch are
taken by themselves, until the one record stands alone that is left out with the plugin's reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from crow_hooks import Crow, Invalid, Refused, Skipped, Transaction

Record = TypeVar("Record")
Batch = Sequence[tuple[int, Record]]  # each with its position, from 1


class _DryRun(Exception):
    """Ends a transaction that was only a rehearsal."""


def in_batches(
    crow: Crow,
    records: Iterable[Record],
    take: Callable[[Transaction, Batch[Record]], list[Skipped | None]],
    *,
    rows: int,
    dry_run: bool,
) -> Iterator[Skipped | None]:
    """What became of each record, as `take` says of up to so many `rows`; yields after their batch is committed."""
    numbered = enumerate(records, 1)
    while batch := list(itertools.islice(numbered, rows)):
        yield from _taken(crow, batch, take, dry_run)


def _taken(
    crow: Crow,
    batch: Batch[Record],
    take: Callable[[Transaction, Batch[Record]], list[Skipped | None]],
    dry_run: bool,
) -> list[Skipped | None]:
    results: list[Skipped | None] = []
    try:
        with crow.transaction() as transaction:
            results = take(transaction, batch)
            if dry_run:
                raise _DryRun
    except _DryRun:
        pass
    except (Invalid, Refused) as error:
        if len(batch) == 1:
            return [Skipped(batch[0][0], str(error))]
        middle = len(batch) // 2
        halves = (batch[:middle], batch[middle:])
        return [result for half in halves for result in _taken(crow, half, take, dry_run)]
    return results
