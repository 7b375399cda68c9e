"""A feed: one writer's signed append-only log, byte for byte a Hypercore. Bytes in, values out; no I/O, no clock.

core          a feed over a storage: append, cut, prove, receive        ← begin here
storage, held what is kept of a feed, and the same in memory
proof         what peers ask and answer                                 proving makes it, checking and bulk check it
reorganisation, conflict    a writer that went back: followed, or shown to have signed two feeds
tree, flat_tree, hashing    the Merkle tree
manifest, head              who signs, and what
encoding, limits, errors    the bytes, their bounds, and whose fault it is
"""

from crow_plugins.feed.conflict import Conflict
from crow_plugins.feed.core import Feed, Received, Writer, created
from crow_plugins.feed.errors import FeedError, LocalProtocolError, RemoteProtocolError
from crow_plugins.feed.hashing import Node, discovery_key
from crow_plugins.feed.head import Head
from crow_plugins.feed.held import Held
from crow_plugins.feed.proof import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
)
from crow_plugins.feed.reorganisation import Reorganisation
from crow_plugins.feed.storage import Batch, MemoryStorage, Storage

__all__ = [
    "Batch",
    "BlockProof",
    "BlockRequest",
    "Conflict",
    "Feed",
    "FeedError",
    "HashProof",
    "HashRequest",
    "Head",
    "Held",
    "LocalProtocolError",
    "MemoryStorage",
    "Node",
    "Proof",
    "ProofRequest",
    "Received",
    "RemoteProtocolError",
    "Reorganisation",
    "SeekProof",
    "SeekRequest",
    "Storage",
    "UpgradeProof",
    "UpgradeRequest",
    "Writer",
    "created",
    "discovery_key",
]
