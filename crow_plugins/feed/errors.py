"""What can be wrong with a feed, divided by who is to blame.

    FeedError
    ├── LocalProtocolError     our own caller's fault: nothing was stored, nothing sent
    │   ├── Unencodable        a value that has no place on the wire
    │   ├── WrongState         the right thing at the wrong time
    │   ├── BlockTooLarge, FeedFull
    │   ├── NotWritable        the feed of another writer, or a copy
    │   ├── ForkTooLow         a fork must be above every one ever used
    │   ├── NotHeld            a block, node or length that is not here
    │   └── StorageDamaged     what was stored does not fit together
    └── RemoteProtocolError    the peer's fault: whatever it sent is dropped, and so may the peer be
        ├── Malformed          bytes that are no message
        ├── OverLimit          more than anybody honest sends
        ├── BadRequest         asks for what cannot be
        ├── BadManifest        not the manifest of this feed, or none that can be read
        │   └── UnsupportedManifest
        ├── BadProof           its nodes do not lead to what is trusted
        │   ├── OutOfDate      answers what was asked before the feed changed: honest, if it was asked
        │   └── Unanchored     leads to a node that is not here yet: honest, if that node was asked for
        └── BadSignature       the tree is not signed by the writer

Whoever handles the two branches has handled all. No message repeats what a peer sent.
"""

from __future__ import annotations

from crow_hooks import CrowError


class FeedError(CrowError):
    """Something is wrong with a feed."""

    code = "feed_error"


class LocalProtocolError(FeedError):
    """This side was asked to do what the protocol does not allow."""

    code = "local_protocol_error"


class Unencodable(LocalProtocolError):
    """A value does not fit the encoding; `what` names it, `allowed` says what would fit."""

    code = "unencodable"

    def __init__(self, what: str, allowed: str) -> None:
        super().__init__(f"the {what} cannot be encoded: it must be {allowed}; nothing was sent")


class WrongState(LocalProtocolError):
    """Right in itself, and not now; `reason` is a clause that says why."""

    code = "wrong_state"

    def __init__(self, reason: str) -> None:
        super().__init__(f"this cannot be done now: {reason}; wait for the event that allows it, or start anew")


class BlockTooLarge(LocalProtocolError):
    """A block to append is larger than a peer will take."""

    code = "block_too_large"

    def __init__(self, size_max: int) -> None:
        super().__init__(f"a block has at most {size_max} bytes; split what it holds, nothing was appended")


class FeedFull(LocalProtocolError):
    """The feed has as many blocks or bytes as a feed can have."""

    code = "feed_full"

    def __init__(self) -> None:
        super().__init__("the feed has no room for these blocks; begin a new feed, nothing was appended")


class NotWritable(LocalProtocolError):
    """The feed cannot be signed here."""

    code = "not_writable"

    def __init__(self) -> None:
        super().__init__("only the writer of a feed can sign it, and this is not its key; append where it is written")


class ForkTooLow(LocalProtocolError):
    """A fork number that is not above the present one."""

    code = "fork_too_low"

    def __init__(self, fork: int) -> None:
        super().__init__(f"the feed is at fork {fork} already; choose a higher one")


class NotHeld(LocalProtocolError):
    """Something of the feed that this instance has not got; `what` names it."""

    code = "not_held"

    def __init__(self, what: str) -> None:
        super().__init__(f"the {what} is not held here; fetch it from a peer first")


class StorageDamaged(LocalProtocolError):
    """What the storage gave back is not what a feed stores."""

    code = "storage_damaged"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stored feed is damaged: {reason}; run `crow doctor`, or restore a backup")


class RemoteProtocolError(FeedError):
    """The peer did what the protocol does not allow."""

    code = "remote_protocol_error"


class Malformed(RemoteProtocolError):
    """Bytes that are no message; `reason` is a clause that says why."""

    code = "malformed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the peer sent bytes that make no sense: {reason}; they were dropped, so check its version")


class OverLimit(RemoteProtocolError):
    """More of something than anybody honest sends."""

    code = "over_limit"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"the peer sent too much: {what} is limited to {limit}; it was dropped, so check its version")


class BadRequest(RemoteProtocolError):
    """The peer asks for what this feed cannot have; `reason` is a clause that says why."""

    code = "bad_request"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the peer asked for what cannot be: {reason}; it gets no answer, so check its version")


class BadManifest(RemoteProtocolError):
    """Not the manifest of this feed; `reason` is a clause that says why."""

    code = "bad_manifest"

    def __init__(self, reason: str) -> None:
        super().__init__(f"this is not the manifest of the feed: {reason}; check the feed's key")


class UnsupportedManifest(BadManifest):
    """A manifest that may well be true, of a kind that no instance here writes."""

    code = "unsupported_manifest"

    def __init__(self, reason: str) -> None:
        super().__init__(f"its kind is not supported, {reason}")


class BadProof(RemoteProtocolError):
    """Blocks or nodes that are not shown to be of the feed; `reason` is a clause that says why."""

    code = "bad_proof"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the peer did not prove what it sent: {reason}; it was dropped, so do not trust that peer")


class OutOfDate(BadProof):
    """The proof is for another fork or another length than the feed has now."""

    code = "out_of_date"

    def __init__(self) -> None:
        super().__init__("it is for another fork or length than the feed has now")


class Unanchored(BadProof):
    """The path ends at `node`, a flat index, which is not held here: keep the proof back if that node is to come."""

    code = "unanchored"

    def __init__(self, node: int) -> None:
        self.node = node
        super().__init__("its path ends at a node that is not here")


class BadSignature(RemoteProtocolError):
    """The tree is not signed by the writer of the feed."""

    code = "bad_feed_signature"

    def __init__(self) -> None:
        super().__init__("the feed's writer did not sign what the peer sent; it was dropped, so do not trust that peer")
