"""What changed since the last look: so that an instance which idles asks its database next to nothing.

Any process of the home may have committed, and told nobody or too early: a datagram gets lost, and what the registry
has in memory follows a second later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crow_hooks import Credentials, Crow, InstanceRegistry
from crow_plugins.replicator.own_feed import OwnFeed


@dataclass(frozen=True, slots=True)
class News:
    """Whether anybody committed or switched a plugin; whether a feed, the chain or the doubt in our own feed is new."""

    stirred: bool
    feeds: bool
    chain: bool
    suspect: bool  # our own feed is doubted now


class Noticing:
    """One instance's, in a process that serves. To the first look everything is new."""

    def __init__(self, crow: Crow, own: OwnFeed, registry: InstanceRegistry, stamp: Callable[[], object]) -> None:
        """`stamp` differs from before once anybody has committed or switched a plugin; it waits for nothing."""
        self._crow, self._own, self._registry, self._stamp = crow, own, registry, stamp
        self._seen: object = None
        self._others: object = None  # the registry makes another list of any change
        self._feeds: object = None
        self._suspect: str | None = None
        self._chain: tuple[Credentials, str | None] | None = None

    def is_any(self) -> bool:
        """Whether a look finds anything, or has to be taken again as long as our feed is doubted. No database work."""
        return self._suspect is not None or self._seen != self._stamp() or self._others is not self._registry.others()

    def look(self) -> News:
        """Database work, where anybody committed."""
        seen, others, feeds, suspect = self._stamp(), self._registry.others(), self._feeds, self._suspect
        if seen != self._seen:
            with self._crow.read() as db:
                suspect = self._own.suspect(db)
                feeds = db.execute_sql(
                    "SELECT number, fork, length, contiguous, frozen FROM feeds ORDER BY number"
                ).fetchall()
        chain = self._registry.credentials(), suspect
        news = News(seen != self._seen, feeds != self._feeds, chain != self._chain, suspect is not None)
        self._seen, self._others, self._feeds, self._suspect, self._chain = seen, others, feeds, suspect, chain
        return news
