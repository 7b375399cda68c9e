"""What peers say to each other about one feed, and how it lies on the wire.

    Sync        where its sender stands, and what it would do
    Request     asks for a block, a node, or a longer head; Cancel takes it back
    Data        answers a request with a proof; NoData says that there will be none
    Want        asks to be told which blocks its peer holds; Unwant ends that
    Bitfield    tells it bit by bit; Range tells it, or takes it back, for a stretch
    Extension   anything else, by name

A message's type is its place in this list; it stands before the message in one byte. Every number is bounded where it
is read. What is not known is passed over, because npm passes over it too: types, flags, and bytes after the last field.
When to say what is no matter of this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crow_plugins.feed import encoding
from crow_plugins.feed.encoding import Reader, uint
from crow_plugins.feed.errors import OverLimit, Unencodable
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.limits import (
    BITFIELD_WORDS_MAX,
    BLOCK_BYTES_MAX,
    BYTE_LENGTH_MAX,
    EXTENSION_NAME_BYTES_MAX,
    FORK_MAX,
    LENGTH_MAX,
    MANIFEST_BYTES_MAX,
    NODES_MAX,
    SIGNATURE_BYTES_MAX,
)
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

PROTOCOL = "hypercore/alpha"
ALIASES = {"hypercore": PROTOCOL}  # what some peers call the same

INDEX_MAX = 2 * LENGTH_MAX  # of a node in the flat tree

NOT_AVAILABLE = 1  # reasons of `NoData`; 0 is none given
INVALID_REQUEST = 2

_BYTES, _POSITIONS, _NODES, _FORKS = "bytes of a feed", "blocks of a feed", "nodes of a feed", "forks of a feed"


@dataclass(frozen=True, slots=True)
class Sync:
    """Its sender holds a head of `length` at `fork`, and believes that its peer's is `remote_length` long.

    `can_upgrade`: it could prove its head to somebody at `remote_length`. npm asks for a longer head only if that
    length is its own.
    """

    fork: int
    length: int
    remote_length: int
    can_upgrade: bool = True
    uploading: bool = True
    downloading: bool = True
    has_manifest: bool = False
    allow_push: bool = False


@dataclass(slots=True)
class Request:
    """Asks for a proof at `fork`; the answer bears the same `id`. Id 0 asks to settle a fork."""

    id: int
    fork: int
    wanted: ProofRequest
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    """No answer is wanted any more; one may be on its way."""

    request: int


@dataclass(slots=True)
class Data:
    """Answers a request; with id 0 nobody asked, and it shows a fork."""

    request: int
    proof: Proof


@dataclass(frozen=True, slots=True)
class NoData:
    """A request gets no proof: `NOT_AVAILABLE`, `INVALID_REQUEST`, or 0."""

    request: int
    reason: int = 0


@dataclass(frozen=True, slots=True)
class Want:
    """Tell me what you hold of [start, start + length), now and later; `any`: one peer that holds it is enough."""

    start: int
    length: int
    any: bool = False


@dataclass(frozen=True, slots=True)
class Unwant:
    """Takes a `Want` back."""

    start: int
    length: int
    any: bool = False


@dataclass(frozen=True, slots=True)
class Bitfield:
    """What its sender holds from `start` on: block `start + n` if bit `n % 8` of byte `n // 8` is set."""

    start: int
    bits: bytes


@dataclass(frozen=True, slots=True)
class Range:
    """Its sender holds [start, start + length), or with `drop` no more."""

    start: int
    length: int
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Extension:
    """A message that the feed itself does not know; an empty name means the last one again."""

    name: str
    payload: bytes


FeedMessage = Sync | Request | Cancel | Data | NoData | Want | Unwant | Bitfield | Range | Extension


def encode(message: FeedMessage) -> tuple[int, bytes]:
    """Its type and its bytes. Raises `Unencodable` for what no peer would take."""
    number, write = _WRITERS[type(message)]
    return number, write(message)


def decode(number: int, payload: bytes) -> FeedMessage | None:
    """The message of a type, or None if the type is unknown. Raises `Malformed` or `OverLimit`, nothing else."""
    if number >= len(_READERS):
        return None
    return _READERS[number](Reader(payload))


def _write_sync(sync: Sync) -> bytes:
    flags = encoding.flags(sync.can_upgrade, sync.uploading, sync.downloading, sync.has_manifest, sync.allow_push)
    return uint(flags) + uint(sync.fork) + uint(sync.length) + uint(sync.remote_length)


def _read_sync(reader: Reader) -> Sync:
    flags = reader.uint()
    return Sync(
        fork=_fork(reader),
        length=_position(reader),
        remote_length=_position(reader),
        can_upgrade=bool(flags & 1),
        uploading=bool(flags & 2),
        downloading=bool(flags & 4),
        has_manifest=bool(flags & 8),
        allow_push=bool(flags & 16),
    )


def _write_request(request: Request) -> bytes:
    wanted = request.wanted
    block, hash, seek, upgrade = wanted.block, wanted.hash, wanted.seek, wanted.upgrade
    priority = request.priority > 0
    parts = [
        uint(encoding.flags(bool(block), bool(hash), bool(seek), bool(upgrade), wanted.manifest, priority)),
        uint(request.id),
        uint(request.fork),
    ]
    if block:
        parts += uint(block.index), uint(block.nodes)
    if hash:
        parts += uint(hash.index), uint(hash.nodes)
    if seek:
        parts += uint(seek.bytes), uint(seek.padding)
    if upgrade:
        parts += uint(upgrade.start), uint(upgrade.length)
    if priority:
        parts.append(uint(request.priority))
    return b"".join(parts)


def _read_request(reader: Reader) -> Request:
    flags, number, fork = reader.uint(), reader.uint(), _fork(reader)
    wanted = ProofRequest(
        block=BlockRequest(_position(reader), reader.uint()) if flags & 1 else None,
        hash=HashRequest(_index(reader), reader.uint()) if flags & 2 else None,
        seek=SeekRequest(_bytes(reader), _bytes(reader)) if flags & 4 else None,
        upgrade=UpgradeRequest(_position(reader), _position(reader)) if flags & 8 else None,
        manifest=bool(flags & 16),
    )
    return Request(number, fork, wanted, reader.uint() if flags & 32 else 0)


def _write_cancel(cancel: Cancel) -> bytes:
    return uint(cancel.request)


def _read_cancel(reader: Reader) -> Cancel:
    return Cancel(reader.uint())


def _write_data(data: Data) -> bytes:
    proof = data.proof
    block, hash, seek, upgrade = proof.block, proof.hash, proof.seek, proof.upgrade
    manifest = proof.manifest is not None
    flags = encoding.flags(bool(block), bool(hash), bool(seek), bool(upgrade), manifest)
    parts = [uint(flags), uint(data.request), uint(proof.fork)]
    if block:
        parts += uint(block.index), *_sized("block", block.value, BLOCK_BYTES_MAX), *_node_parts(block.nodes)
    if hash:
        parts += uint(hash.index), *_node_parts(hash.nodes)
    if seek:
        parts += uint(seek.bytes), *_node_parts(seek.nodes)
    if upgrade:
        parts += uint(upgrade.start), uint(upgrade.length)
        parts += *_node_parts(upgrade.nodes), *_node_parts(upgrade.additional_nodes)
        parts += _sized("signature", upgrade.signature, SIGNATURE_BYTES_MAX)
    if proof.manifest is not None:
        parts.append(_sized("manifest", proof.manifest, MANIFEST_BYTES_MAX)[1])
    return b"".join(parts)


def _read_data(reader: Reader) -> Data:
    uint = reader.uint
    flags, number, fork = uint(), uint(), uint(FORK_MAX, _FORKS)
    if flags == 1:  # nearly all of them
        return Data(number, Proof(fork, _read_block(reader)))
    proof = Proof(
        fork=fork,
        block=_read_block(reader) if flags & 1 else None,
        hash=HashProof(_index(reader), _read_nodes(reader)) if flags & 2 else None,
        seek=SeekProof(_bytes(reader), _read_nodes(reader)) if flags & 4 else None,
        upgrade=_read_upgrade(reader) if flags & 8 else None,
        manifest=_read_manifest(reader) if flags & 16 else None,
    )
    return Data(number, proof)


def _read_block(reader: Reader) -> BlockProof:
    uint = reader.uint
    index, size = uint(LENGTH_MAX, _POSITIONS), uint(BLOCK_BYTES_MAX, "a block")
    return BlockProof(index, reader.take(size), _read_nodes(reader))


def _read_upgrade(reader: Reader) -> UpgradeProof:
    return UpgradeProof(
        start=_position(reader),
        length=_position(reader),
        nodes=_read_nodes(reader),
        additional_nodes=_read_nodes(reader),
        signature=reader.buffer(SIGNATURE_BYTES_MAX, "a signature"),
    )


def _read_manifest(reader: Reader) -> bytes:
    # It has no length of its own: it is the last of the message, and its hash covers every byte.
    if reader.left > MANIFEST_BYTES_MAX:
        raise OverLimit("a manifest", MANIFEST_BYTES_MAX)
    return reader.raw()


def _write_no_data(no_data: NoData) -> bytes:
    if no_data.reason:
        return uint(no_data.request) + b"\x01" + uint(no_data.reason)
    return uint(no_data.request) + b"\x00"


def _read_no_data(reader: Reader) -> NoData:
    number = reader.uint()
    flags = reader.uint() if reader.left else 0  # older peers end here
    return NoData(number, reader.uint() if flags & 1 else 0)


def _write_want(want: Want | Unwant) -> bytes:
    return uint(want.start) + uint(want.length) + (b"\x01" if want.any else b"")


def _read_want(reader: Reader) -> Want:
    return Want(_position(reader), _position(reader), _any(reader))


def _read_unwant(reader: Reader) -> Unwant:
    return Unwant(_position(reader), _position(reader), _any(reader))


def _write_bitfield(bitfield: Bitfield) -> bytes:
    if len(bitfield.bits) > 4 * BITFIELD_WORDS_MAX:
        raise Unencodable("bitfield", f"at most {4 * BITFIELD_WORDS_MAX} bytes long")
    return uint(bitfield.start) + encoding.bits(bitfield.bits)


def _read_bitfield(reader: Reader) -> Bitfield:
    return Bitfield(_position(reader), reader.bits(BITFIELD_WORDS_MAX, "words of a bitfield"))


def _write_range(range: Range) -> bytes:
    single = range.length == 1
    flags = uint(encoding.flags(range.drop, single))
    return flags + uint(range.start) + (b"" if single else uint(range.length))


def _read_range(reader: Reader) -> Range:
    flags, start = reader.uint(), _position(reader)
    return Range(start, 1 if flags & 2 else _position(reader), bool(flags & 1))


def _write_extension(extension: Extension) -> bytes:
    if len(extension.name.encode(errors="replace")) > EXTENSION_NAME_BYTES_MAX:
        raise Unencodable("name of an extension", f"at most {EXTENSION_NAME_BYTES_MAX} bytes long")
    return encoding.string(extension.name) + extension.payload


def _read_extension(reader: Reader) -> Extension:
    return Extension(reader.string(EXTENSION_NAME_BYTES_MAX, "the name of an extension"), reader.raw())


def _sized(what: str, value: bytes, size_max: int) -> tuple[bytes, bytes]:
    if len(value) > size_max:
        raise Unencodable(what, f"at most {size_max} bytes long")
    return uint(len(value)), value


def _node_parts(nodes: Sequence[Node]) -> list[bytes]:
    if len(nodes) > NODES_MAX:
        raise Unencodable("proof", f"made of lists of at most {NODES_MAX} nodes")
    parts = [uint(len(nodes))]
    for index, size, hash in nodes:
        parts += uint(index), uint(size), encoding.fixed32(hash)
    return parts


def _read_nodes(reader: Reader) -> tuple[Node, ...]:
    # Not by `Reader.array`, nor by what names the limits: one or two of these stand in every block's proof.
    uint, take = reader.uint, reader.take
    return tuple([Node(uint(INDEX_MAX, _NODES), uint(), take(32)) for _ in range(uint(NODES_MAX, _NODES))])


def _fork(reader: Reader) -> int:
    return reader.uint(FORK_MAX, _FORKS)


def _position(reader: Reader) -> int:
    return reader.uint(LENGTH_MAX, _POSITIONS)


def _index(reader: Reader) -> int:
    return reader.uint(INDEX_MAX, _NODES)


def _bytes(reader: Reader) -> int:
    return reader.uint(BYTE_LENGTH_MAX, _BYTES)


def _any(reader: Reader) -> bool:
    return bool(reader.uint() & 1) if reader.left else False  # without flags nothing follows


_READERS: tuple[Callable[[Reader], FeedMessage], ...] = (
    _read_sync,
    _read_request,
    _read_cancel,
    _read_data,
    _read_no_data,
    _read_want,
    _read_unwant,
    _read_bitfield,
    _read_range,
    _read_extension,
)
_WRITERS: dict[type, tuple[int, Callable[..., bytes]]] = {
    Sync: (0, _write_sync),
    Request: (1, _write_request),
    Cancel: (2, _write_cancel),
    Data: (3, _write_data),
    NoData: (4, _write_no_data),
    Want: (5, _write_want),
    Unwant: (6, _write_want),
    Bitfield: (7, _write_bitfield),
    Range: (8, _write_range),
    Extension: (9, _write_extension),
}
