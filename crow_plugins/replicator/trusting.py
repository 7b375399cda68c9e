"""What the registry knows, as the entries see it: whose feeds there are, who counts, and what a revocation ends."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from crow_hooks import Crow, InstanceRegistry
from crow_plugins.identity import revocation
from crow_plugins.identity.errors import IdentityError
from crow_plugins.identity.revocation import Statement
from crow_plugins.replicator import revoking
from crow_plugins.replicator.branch_that_counts import other_branches
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.shelf import ChainFeed, feeds_of
from crow_plugins.replicator.trust import Trust
from crow_plugins.store import WriteTransaction

log = logging.getLogger(__name__)


class Trusting:
    """Follows the registry of one instance."""

    def __init__(self, crow: Crow, registry: InstanceRegistry, own: OwnFeed, chain: bytes) -> None:
        self._crow, self._registry, self._own, self._chain = crow, registry, own, chain
        self._known: tuple[object, Trust] | None = None
        self._dropped: tuple[frozenset[bytes], frozenset[int]] = frozenset(), frozenset()
        self._feeds: tuple[Trust, dict[bytes, ChainFeed]] | None = None

    def feeds(self) -> dict[bytes, ChainFeed]:
        """The feeds of the chain by key, our own first. Made again only when the registry has changed."""
        trust = self.now()
        if self._feeds is None or self._feeds[0] is not trust:
            self._feeds = trust, feeds_of(self._own, self._registry.others(), trust.revoked)
        return self._feeds[1]

    def revoked(self) -> frozenset[str]:
        return frozenset(other.instance.id for other in self._registry.others() if other.revoked)

    def now(self) -> Trust:
        """Made again only when the registry has changed."""
        others = self._registry.others()
        if self._known is None or self._known[0] is not others:
            known = {self._own.instance_id: self._own.feed_key, **{each.instance.id: each.feed_key for each in others}}
            self._known = others, Trust(known, revocation.effective(revocation.merge(self._statements())))
        return self._known[1]

    def drop_what_counts_no_more(self) -> list[str]:
        """Make the rows anew that revoked instances touched; returns who is revoked.

        Once a set of statements, and again when a feed turns out to be another branch than the one that counts.
        A machine that was revoked itself keeps what it wrote: nobody else has it, and its owner may want to save it.
        """
        statements, trust = frozenset(self._registry.credentials().revocations), self.now()
        with self._crow.read() as db:
            known = statements, other_branches(db, trust)
        if known == self._dropped:
            return []
        for instance_id in trust.revoked.keys() - {self._own.instance_id}:
            with self._crow.transaction() as transaction:
                assert isinstance(transaction, WriteTransaction)
                rows = revoking.drop(transaction, self._own.instance_id, trust, instance_id)
            log.warning("revoked instance=%s rows_made_anew=%d", instance_id, rows)
        self._dropped = known
        return list(trust.revoked)

    def _statements(self) -> Iterator[Statement]:
        for signed in self._registry.credentials().revocations:
            try:
                yield revocation.read(signed, self._chain)
            except IdentityError:  # the registry keeps none that does not read
                log.exception("a revocation that is kept cannot be read")
