"""Whether what is held of a revoked instance's feed is the branch that its revocation names.

Who has the machine's keys can sign any number of branches, so a place in the feed says nothing by itself. The
revocation names the tree of the blocks that count; a copy that is longer shows whether it is that tree. A copy that is
shorter cannot be told apart from the beginning of it, and stands until a peer shows the named one.
"""

from __future__ import annotations

import peewee

from crow_plugins.feed import flat_tree
from crow_plugins.feed.hashing import tree_hash
from crow_plugins.identity.revocation import Branch, Revocation
from crow_plugins.replicator import disputes
from crow_plugins.replicator.feed_storage import DatabaseStorage, all_feeds
from crow_plugins.replicator.trust import Trust


def other_branches(db: peewee.Database, trust: Trust) -> frozenset[int]:
    """The numbers of the feeds of revoked instances that are held in another branch: nothing in them counts."""
    if not trust.revoked:
        return frozenset()
    held = [(feed.number, trust.revoked.get(feed.instance_id)) for feed in all_feeds(db)]
    return frozenset(number for number, end in held if end is not None and _begins_right(db, number, end.feed) is False)


def is_whole(db: peewee.Database, feed: int, end: Revocation | None) -> bool:
    """Whether every block of a feed is here that its head covers, or of a revoked one every block that counts.

    Of one that is held in another branch nothing counts, so nothing of it is waited for: the named one may be lost.
    The same is true of what is disputed.
    """
    storage = DatabaseStorage(db, feed)
    if end is None:
        dispute = disputes.of_feed(db, feed)
        length = storage.head().length
        return storage.contiguous() >= (length if dispute is None else min(length, dispute.common))
    begins_right = _begins_right(db, feed, end.feed)
    return begins_right is False or (begins_right is True and storage.contiguous() >= end.feed.length)


def _begins_right(db: peewee.Database, feed: int, branch: Branch) -> bool | None:
    """None while too little is here to tell."""
    storage = DatabaseStorage(db, feed)
    indexes = flat_tree.roots(branch.length)
    nodes = storage.nodes(indexes) if branch.length <= storage.head().length else {}
    if len(nodes) < len(indexes):
        return None
    return tree_hash(nodes[index] for index in indexes) == branch.tree_hash
