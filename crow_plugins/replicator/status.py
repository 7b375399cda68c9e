"""How far this instance and the others are with each other, read from the database and from what peers announced."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import peewee

from crow_hooks import FeedStatus, Instance, KnownInstance, Trouble
from crow_plugins.replicator import progress
from crow_plugins.replicator.feed_storage import HeldFeed, all_feeds
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.rejections import newest

SHOWN = 100  # of each kind


def statuses(
    db: peewee.Database,
    own: OwnFeed,
    self_: Instance,
    others: Sequence[KnownInstance],
    announced: Mapping[str, int],
    connected: Collection[str],
    now: int,
) -> list[FeedStatus]:
    """Our own feed first, then those of the others that are not revoked.

    `announced` has the longest length of each instance's feed that any peer told; `connected` the ids of the peers.
    """
    feeds = {feed.instance_id: feed for feed in all_feeds(db)}
    counts = _counts(db)
    cursors = dict(db.execute_sql("SELECT instance_id, last_seq FROM sync_state").fetchall())
    times = dict(db.execute_sql("SELECT instance_id, last_sync FROM sync_state").fetchall())
    measured = progress.read(db, now)
    instances = [self_, *(other.instance for other in others if not other.revoked)]
    return [
        _status(
            instance,
            feeds.get(instance.id),
            applied=None if instance.id == own.instance_id else cursors.get(instance.id, 0),
            announced=announced.get(instance.id, 0),
            counts=counts.get(instance.id, (0, 0)),
            last_sync=times.get(instance.id),
            connected=instance.id in connected,
            measured=measured.get(instance.id, progress.Reading()),
        )
        for instance in instances
    ]


def troubles(db: peewee.Database) -> list[Trouble]:
    """What is parked and what was refused, the newest first."""
    parked = db.execute_sql(
        "SELECT instance_id, seq, reason, detail, since FROM parked_entries JOIN feeds ON number = feed "
        "ORDER BY since DESC, seq LIMIT ?",
        (SHOWN,),
    ).fetchall()
    waiting = [Trouble("parked", *row) for row in parked]
    refused = [Trouble("rejected", each.instance_id, each.seq, each.reason, "", each.at) for each in newest(db, SHOWN)]
    return [*waiting, *refused]


def _status(
    instance: Instance,
    feed: HeldFeed | None,
    *,
    applied: int | None,
    announced: int,
    counts: tuple[int, int],
    last_sync: int | None,
    connected: bool,
    measured: progress.Reading,
) -> FeedStatus:
    """`applied` is None for our own feed: what we wrote, we have."""
    length = feed.length if feed else 0
    parked, rejected = counts
    done = length if applied is None else applied
    behind, rate = max(length, announced) - done, measured.rate
    return FeedStatus(
        instance=instance,
        length=max(length, announced),
        held=feed.contiguous if feed else 0,
        applied=done,
        parked=parked,
        rejected=rejected,
        last_sync=last_sync,
        connected=connected,
        frozen=feed is not None and (feed.disputed or feed.frozen is not None),
        rate=rate if behind > 0 else None,
        seconds_left=behind / rate if behind > 0 and rate else None,
        confirmed=measured.confirmed,
        lag_seconds=measured.lag_seconds,
    )


def _counts(db: peewee.Database) -> dict[str, tuple[int, int]]:
    """Parked and rejected entries of each instance's feed."""
    parked = dict(
        db.execute_sql(
            "SELECT instance_id, count(*) FROM parked_entries JOIN feeds ON number = feed GROUP BY instance_id"
        ).fetchall()
    )
    rejected = dict(
        db.execute_sql("SELECT instance_id, count(*) FROM rejected_entries GROUP BY instance_id").fetchall()
    )
    return {each: (parked.get(each, 0), rejected.get(each, 0)) for each in parked.keys() | rejected.keys()}
