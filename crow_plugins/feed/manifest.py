"""Who may sign a feed: the manifest, whose hash is the feed's key, and the check of a signature against it.

A feed of ours has one signer. Read and checked are also feeds of several signers with a quorum, and the oldest kind
of feed, whose key is its signer's public key ("compat"). Not supported, and refused by name: heads that some signers
signed at other lengths ("patches"), and feeds that begin with an unsigned prologue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from crow_plugins.feed import encoding, hashing, head
from crow_plugins.feed.encoding import Reader
from crow_plugins.feed.errors import BadManifest, BadSignature, Malformed, NotWritable, OverLimit, UnsupportedManifest
from crow_plugins.feed.limits import (
    LINKED_MAX,
    MANIFEST_BYTES_MAX,
    SIGNATURE_BYTES_MAX,
    SIGNERS_MAX,
    USER_DATA_BYTES_MAX,
)

VERSION_MAX = 3  # npm reads up to here; 2 brought links and user data, 3 changes nothing we read
PUBLIC_KEY_BYTES = 32
AUTHORITIES_KEPT = 256  # read once, not whenever a feed is opened: checking a key's point costs more than a lookup
SIGNATURE_BYTES = 64

_PATCH, _PROLOGUE, _LINKED, _USER_DATA = 1, 2, 4, 8
_PROLOGUE_ONLY, _ONE_SIGNER, _SIGNERS = 0, 1, 2  # the kinds of version 0

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Signer:
    """One who may sign: an Ed25519 public key, and a namespace that version 0 signs over."""

    public_key: bytes
    namespace: bytes = hashing.DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class Manifest:
    """`quorum` of the signers must sign; links and user data mean nothing to us, and are hashed all the same."""

    signers: tuple[Signer, ...]
    quorum: int = 1
    version: int = 1
    linked: tuple[bytes, ...] | None = None
    user_data: bytes | None = None

    @property
    def key(self) -> bytes:
        """The key of the feed that has this manifest."""
        return hashing.digest(hashing.MANIFEST, encode(self))


@dataclass(frozen=True, slots=True)
class Authority:
    """A feed's key with the manifest that it stands for: says who signs what."""

    key: bytes
    manifest: Manifest

    @property
    def compat(self) -> bool:
        """The oldest kind: the key is the signer's."""
        signers = self.manifest.signers
        return len(signers) == 1 and signers[0].public_key == self.key

    def sign(self, public_key: bytes, sign: Sign, tree_hash: bytes, length: int, fork: int) -> bytes:
        """A whole signature by the one signer; `sign` is its Ed25519. Raises `NotWritable` if it is another's."""
        signers = self.manifest.signers
        if len(signers) != 1 or signers[0].public_key != public_key:
            raise NotWritable
        signature = sign(head.signable(self._context(signers[0]), tree_hash, length, fork))
        return signature if self._bare else contained([(0, signature)])

    def verify(self, signature: bytes, tree_hash: bytes, length: int, fork: int) -> None:
        """Return if the quorum signed this tree. Raises `BadSignature`, `UnsupportedManifest`."""
        for signer, part in self._parts(signature):
            message = head.signable(self._context(signer), tree_hash, length, fork)
            if not _signed(signer.public_key, message, part):
                raise BadSignature

    @property
    def _bare(self) -> bool:
        return self.compat or self.manifest.version == 0

    def _context(self, signer: Signer) -> bytes:
        if self.compat:
            return b""
        return signer.namespace if self.manifest.version == 0 else self.key

    def _parts(self, signature: bytes) -> list[tuple[Signer, bytes]]:
        """As many signers as the quorum wants, each with its part; the rest of a signature is not looked at."""
        signers, quorum = self.manifest.signers, self.manifest.quorum
        if self._bare:
            return [(signers[0], signature)]
        parts = signature_parts(signature)[:quorum]
        numbers = [number for number, _ in parts]
        if len(parts) < quorum or len(set(numbers)) < quorum or max(numbers) >= len(signers):
            raise BadSignature
        return [(signers[number], part) for number, part in parts]


def default(public_key: bytes) -> Manifest:
    """The manifest of a feed with one writer, as npm makes it."""
    return Manifest((Signer(public_key),))


@lru_cache(maxsize=AUTHORITIES_KEPT)
def authority(key: bytes, encoded: bytes | None) -> Authority:
    """The manifest that belongs to a key; without one the feed must be of the oldest kind. Raises `BadManifest`."""
    manifest = default(key) if encoded is None else decode(encoded)
    found = Authority(key, manifest)
    if not found.compat and manifest.key != key:
        raise BadManifest("its hash is not the feed's key")
    return found


def encode(manifest: Manifest) -> bytes:
    """The bytes whose hash is the key. Raises `UnsupportedManifest` for several signers in version 0."""
    signers = [b"\x00" + signer.namespace + signer.public_key for signer in manifest.signers]
    if manifest.version == 0:
        if len(signers) != 1 or manifest.quorum != 1:
            raise UnsupportedManifest("for version 0 is read with one signer only")
        return b"\x00\x00\x01" + signers[0]
    linked, user_data = manifest.linked, manifest.user_data
    return b"".join(
        (
            encoding.uint(manifest.version),
            encoding.uint((linked is not None and _LINKED) | (user_data is not None and _USER_DATA)),
            encoding.uint(0),
            encoding.uint(manifest.quorum),
            encoding.array(signers),
            b"" if linked is None else encoding.array(linked),
            b"" if user_data is None else encoding.buffer(user_data),
        )
    )


def decode(data: bytes) -> Manifest:
    """Raises `BadManifest`, also `UnsupportedManifest`, and nothing else."""
    if len(data) > MANIFEST_BYTES_MAX:
        raise BadManifest(f"it is longer than {MANIFEST_BYTES_MAX} bytes")
    reader = Reader(data)
    try:
        manifest = _decoded(reader)
        reader.finish()
    except (Malformed, OverLimit) as error:
        raise BadManifest("its bytes make no sense") from error
    _check(manifest)
    return manifest


def contained(parts: list[tuple[int, bytes]]) -> bytes:
    """A signature of version 1 and above: who signed, by number, and with what."""
    return encoding.array(encoding.uint(number) + part + b"\x00" for number, part in parts) + b"\x00"


def signature_parts(signature: bytes) -> list[tuple[int, bytes]]:
    """What `contained` put together. Raises `BadSignature`; also for patches, which nobody here can check."""
    reader = Reader(signature)
    try:
        if len(signature) > SIGNATURE_BYTES_MAX:
            raise OverLimit("a signature", SIGNATURE_BYTES_MAX)
        parts = reader.array(lambda: (reader.uint(), reader.fixed64(), reader.uint(0)), SIGNERS_MAX, "signers")
        reader.uint(0, "patches")
        reader.finish()
    except (Malformed, OverLimit) as error:
        raise BadSignature from error
    return [(number, part) for number, part, _ in parts]


def _decoded(reader: Reader) -> Manifest:
    version = reader.uint()
    if version > VERSION_MAX:
        raise UnsupportedManifest("made by a newer release")
    if version == 0:
        return _decoded_v0(reader)
    flags = reader.uint(_PATCH | _PROLOGUE | _LINKED | _USER_DATA)
    _refuse(bool(flags & _PATCH), "for its signers may sign at different lengths")
    _refuse(bool(flags & _PROLOGUE), "for it begins with an unsigned part")
    reader.uint(0, "hash kinds")
    quorum, signers = reader.uint(SIGNERS_MAX), _signers(reader)
    linked = reader.array(reader.fixed32, LINKED_MAX, "links") if flags & _LINKED else None
    user_data = reader.buffer(USER_DATA_BYTES_MAX, "user data") if flags & _USER_DATA else None
    return Manifest(signers, quorum, version, None if linked is None else tuple(linked), user_data)


def _decoded_v0(reader: Reader) -> Manifest:
    reader.uint(0, "hash kinds")
    kind = reader.uint(_SIGNERS, "kinds")
    _refuse(kind == _PROLOGUE_ONLY, "for nobody signs it")
    _refuse(kind == _SIGNERS, "for version 0 is read with one signer only")
    return Manifest((_signer(reader),), version=0)


def _signers(reader: Reader) -> tuple[Signer, ...]:
    return tuple(reader.array(lambda: _signer(reader), SIGNERS_MAX, "signers"))


def _signer(reader: Reader) -> Signer:
    reader.uint(0, "signature kinds")
    namespace = reader.fixed32()
    return Signer(reader.fixed32(), namespace)


def _check(manifest: Manifest) -> None:
    keys = [signer.public_key for signer in manifest.signers]
    if not 1 <= manifest.quorum <= len(keys):
        raise BadManifest("its quorum is none of its signers can make")
    if len(set(keys)) < len(keys):
        raise BadManifest("one signer stands in it twice")
    if not all(map(crypto_core_ed25519_is_valid_point, keys)):
        raise BadManifest("a signer's key is none that a machine can have")


def _refuse(unsupported: bool, reason: str) -> None:
    if unsupported:
        raise UnsupportedManifest(reason)


def _signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        VerifyKey(public_key).verify(message, signature)
    except BadSignatureError:
        return False
    return True
