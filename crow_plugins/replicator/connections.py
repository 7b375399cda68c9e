"""Who is connected now, and what the peers say of each feed. Belongs to the event loop; signals come from anywhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from crow_plugins.replicator.inbox import Signal
from crow_plugins.replicator.link import Link

log = logging.getLogger(__name__)


class Connections:
    """The links of one instance to welcome peers, by the peer's id."""

    def __init__(self, own_id: str) -> None:
        self._own_id = own_id
        self._links: dict[str, list[Link]] = {}
        self._heads: dict[tuple[str, bytes], tuple[int, int]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.changed = asyncio.Event()

    def serve_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self.changed = asyncio.Event()

    @property
    def serving(self) -> bool:
        return self._loop is not None

    def ids(self) -> frozenset[str]:
        """The ids of the instances that are connected."""
        return frozenset(self._links)

    def of(self, peer_id: str) -> list[Link]:
        return list(self._links.get(peer_id, ()))

    def all(self) -> list[Link]:
        return [link for links in list(self._links.values()) for link in links]

    def admit(self, link: Link, peer_id: str) -> None:
        """Of two connections that each side dialled, the one stays that the lower id dialled."""
        links = self._links.setdefault(peer_id, [])
        if link in links:
            return
        links.append(link)
        log.info("peer connected peer=%s dialled=%s", peer_id, link.dialled)
        ours_stays = self._own_id < peer_id
        if any(each.dialled == ours_stays for each in links):
            for each in links:
                if each.dialled != ours_stays:
                    each.signal(Signal.END)
        self.changed.set()

    def leave(self, link: Link) -> bool:
        """Whether it was the last one to its peer."""
        if link.peer is None:
            return False
        links = self._links.get(link.peer.id, [])
        if link in links:
            links.remove(link)
        if not links and self._links.pop(link.peer.id, None) is not None:
            self._heads = {name: head for name, head in self._heads.items() if name[0] != link.peer.id}
            log.info("peer left peer=%s", link.peer.id)
            return True
        return False

    def signal(self, signal: Signal, *, but: Link | None = None) -> None:
        """Have every link take a turn, but for one. From any thread."""

        def tell() -> None:
            for link in self.all():
                if link is not but:
                    link.signal(signal)

        self.on_loop(tell)

    def on_loop(self, run: Callable[[], None]) -> None:
        """Do something on the event loop, if there is one. From any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(run)

    # ---- what they say --------------------------------------------------------------------------

    def told(self, peer_id: str, key: bytes, fork: int, length: int) -> None:
        """A peer said how long its copy of a feed is. From any thread."""
        self._heads[peer_id, key] = fork, length
        self.on_loop(lambda: self.changed.set())

    def longest(self, key: bytes) -> int:
        """The longest copy of a feed that any connected peer told of."""
        return max((length for (_, told), (_, length) in list(self._heads.items()) if told == key), default=0)

    def heads(self, key: bytes) -> dict[str, tuple[int, int]]:
        """Fork and length of a feed, by the peer that told."""
        return {peer: head for (peer, told), head in list(self._heads.items()) if told == key}
