"""The capability: how a peer shows that it knows a feed's key, and so may read it, without sending the key.

Each side sends a hash over its role and the key, keyed with the handshake hash of this very connection: it cannot be
made without the key, nor used on another connection, nor sent back to who made it.
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest

from crow_plugins.feed import encoding
from crow_plugins.feed.encoding import Reader
from crow_plugins.feed.errors import RemoteProtocolError
from crow_plugins.feed.hashing import REPLICATE_INITIATOR, REPLICATE_RESPONDER

CAPABILITY_BYTES = 32
_SEEKS = 1  # a flag: its sender answers seek requests


class BadCapability(RemoteProtocolError):
    """The peer asked for a feed whose key it does not know."""

    code = "bad_capability"

    def __init__(self) -> None:
        super().__init__("the peer does not know the key of the feed that it asked for; give it the key, or cut it off")


def prove(handshake_hash: bytes, initiator: bool, key: bytes) -> bytes:
    """The handshake of a feed's channel, 33 bytes; `initiator` says who is proving: the one who called, or not."""
    return encoding.uint(_SEEKS) + capability(handshake_hash, initiator, key)


def verify(handshake: bytes, handshake_hash: bytes, initiator: bool, key: bytes) -> None:
    """Return if the sender knows `key`; `initiator` says whether the sender called.

    Raises `BadCapability`, `Malformed`. What may follow in the handshake is a newer peer's, and ignored.
    """
    reader = Reader(handshake)
    reader.uint()  # flags: whoever seeks gets its answer or none, whatever it announces
    if not compare_digest(reader.fixed32(), capability(handshake_hash, initiator, key)):
        raise BadCapability


def capability(handshake_hash: bytes, initiator: bool, key: bytes) -> bytes:
    role = REPLICATE_INITIATOR if initiator else REPLICATE_RESPONDER
    return blake2b(role + key, key=handshake_hash, digest_size=CAPABILITY_BYTES).digest()
