"""How much of each other instance's feed is applied here, and how much of what any peer told of is still to come."""

from __future__ import annotations

from dataclasses import dataclass

import peewee

from crow_plugins.replicator.connections import Connections
from crow_plugins.replicator.feed_storage import HeldFeed, find_feed, held_feed
from crow_plugins.replicator.intake import Intake
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.trusting import Trusting


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one feed, in entries: taken in, and still to come."""

    applied: int
    behind: int


class Standings:
    """Of one instance; without connections, as far as the signed heads tell that are here."""

    def __init__(self, own: OwnFeed, trusting: Trusting, intake: Intake, connections: Connections) -> None:
        self._own, self._trusting, self._intake, self._connections = own, trusting, intake, connections

    def of_others(self, db: peewee.Database) -> dict[str, Standing]:
        """By instance. Of a revoked one's feed only what counts is waited for."""
        found = {}
        for key, feed in self._trusting.feeds().items():
            if key != self._own.key:
                number = find_feed(db, key)
                longest = self.longest(key, None if number is None else held_feed(db, number))
                applied = self._intake.cursor(db, feed.instance_id).length
                found[feed.instance_id] = Standing(applied, max(0, feed.wanted(longest) - applied))
        return found

    def longest(self, key: bytes, held: HeldFeed | None) -> int:
        """As long as a feed is anywhere; of one with two branches, what others have of theirs never comes."""
        if held is not None and held.disputed:
            return held.length
        return max(0 if held is None else held.length, self._connections.longest(key))
