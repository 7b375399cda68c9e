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
    """Whether anybody committed; whether a feed is another than it was, and the chain or the trust in our own feed."""

    committed: bool
    feeds: bool
    chain: bool
    suspect: bool  # our own feed is doubted now


class Noticing:
    """One instance's, in a process that serves. To the first look everything is new."""

    def __init__(self, crow: Crow, own: OwnFeed, registry: InstanceRegistry, commits: Callable[[], object]) -> None:
        """`commits` differs from before once anybody has committed."""
        self._crow, self._own, self._registry, self._commits = crow, own, registry, commits
        self._seen: object = None
        self._feeds: object = None
        self._suspect: str | None = None
        self._chain: tuple[Credentials, str | None] | None = None

    def look(self) -> News:
        """Database work: of microseconds where nobody committed."""
        seen, feeds, suspect = self._commits(), self._feeds, self._suspect
        if seen != self._seen:
            with self._crow.read() as db:
                suspect = self._own.suspect(db)
                feeds = db.execute_sql(
                    "SELECT number, fork, length, contiguous, frozen FROM feeds ORDER BY number"
                ).fetchall()
        chain = self._registry.credentials(), suspect
        news = News(seen != self._seen, feeds != self._feeds, chain != self._chain, suspect is not None)
        self._seen, self._feeds, self._suspect, self._chain = seen, feeds, suspect, chain
        return news
