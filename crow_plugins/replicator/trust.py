"""Whose entries count: those of instances with a certificate, and of a revoked one what its revocation leaves.

A value, made of what the registry knows at one moment. The same knowledge gives the same answer on every instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crow_hooks import Entry
from crow_plugins.identity.revocation import Held, Revocation, counts
from crow_plugins.replicator.entry import Read


@dataclass(frozen=True, slots=True)
class Trust:
    """The instances whose certificates are here, our own among them: the public key of each one's feed by its id, and
    the revocation that counts of each.
    """

    known: Mapping[str, bytes]
    revoked: Mapping[str, Revocation] = field(default_factory=dict)

    def knows(self, instance_id: str) -> bool:
        return instance_id in self.known

    def counts(self, found: Read, feed_of: str, seq: int, *, other_branch: bool) -> bool:
        """Whether an entry counts that stands at `seq` in the feed of an instance.

        `other_branch`: what is held of that feed is not the branch that its revocation names.
        """
        if not self.revoked:
            return True
        end = self.revoked.get(feed_of)
        if end is not None and (other_branch or seq >= end.feed.length):
            return False
        return found.rescued_by is None or self.counts_rescued(found.entry, found.rescued_by)

    def counts_rescued(self, entry: Entry, rescuer: str) -> bool:
        """Whether an entry counts that stands in the feed of its rescuer, or is about to."""
        writer = self.revoked.get(entry.instance_id)
        if writer is None:
            return True
        version = entry.version
        held = Held(epoch=version.writer.split(".")[1], lamport=version.lamport, rescued_by=(rescuer,))
        return counts(held, writer, self.revoked)
