"""The Noise handshake: two machines prove who they are to each other and agree on keys for what follows.

Noise XX and IK as npm's streams speak it, `Noise_XX_Ed25519_ChaChaPoly_BLAKE2b`: the keys are Ed25519 key pairs, the
key agreement a scalar multiplication on that curve without X25519's detour, the hash BLAKE2b of 64 bytes. Prologue and
payloads are empty. A handshake proves which key the peer holds; whether that key is welcome is its caller's to say.
Framing, what follows, and where randomness comes from are no matter of this file.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b, sha512

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumError

from crow_plugins.feed.errors import Malformed, RemoteProtocolError, WrongState
from crow_plugins.identity.keys import PUBLIC_KEY_BYTES, KeyPair

KEY_BYTES = 32
HASH_BYTES = 64  # the handshake hash: equal on both sides, and on no other connection
TAG_BYTES = 16
MESSAGE_BYTES_MAX = PUBLIC_KEY_BYTES + PUBLIC_KEY_BYTES + 2 * TAG_BYTES  # the longest: a key, a sealed key, a seal

# Each message is what its sender does in turn: send a key (e, s) or mix a shared secret in (ee, es, se, ss; the
# initiator's key is named first). IK wants the initiator to know the responder's static key beforehand.
Pattern = tuple[tuple[str, ...], ...]
XX: Pattern = (("e",), ("e", "ee", "s", "es"), ("s", "se"))
IK: Pattern = (("e", "es", "s", "ss"), ("e", "ee", "se"))
_NAMES = {XX: b"Noise_XX_Ed25519_ChaChaPoly_BLAKE2b", IK: b"Noise_IK_Ed25519_ChaChaPoly_BLAKE2b"}


class HandshakeFailed(RemoteProtocolError):
    """The peer's part of the handshake does not hold; `reason` is a clause that says why."""

    code = "handshake_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"no secure connection could be made: {reason}; check that the address is an instance's")


@dataclass(frozen=True, slots=True)
class Session:
    """What a finished handshake leaves: a key each way, its hash (64 bytes), and who the peer proved to be."""

    send_key: bytes = field(repr=False)
    receive_key: bytes = field(repr=False)
    handshake_hash: bytes
    remote_public_key: bytes


class Handshake:
    """One side of one handshake: `write` and `read` in turn until `session` is there."""

    def __init__(
        self,
        *,
        initiator: bool,
        static: KeyPair,
        ephemeral: KeyPair,
        pattern: Pattern = XX,
        remote_static: bytes | None = None,
    ) -> None:
        """`ephemeral` is random and for this handshake only; `remote_static` (32 bytes) is for IK's initiator."""
        self.session: Session | None = None
        self._initiator = initiator
        self._keys = {"e": ephemeral, "s": static}
        self._remote: dict[str, bytes] = {}
        self._messages = list(pattern)
        self._turn: bool | None = initiator  # None while a message is in work, and for good after one that failed
        self._symmetric = _Symmetric(_NAMES[pattern])
        if pattern is IK:
            self._presume(remote_static)

    @property
    def writes_next(self) -> bool:
        """Whether it is this side's turn to speak."""
        return self._turn is True

    def write(self) -> bytes:
        """The next message of this side. Raises `WrongState` out of turn; `HandshakeFailed` for a useless peer key."""
        self._take_turn(True)
        written = b"".join(self._write(step) for step in self._messages.pop(0)) + self._symmetric.seal(b"")
        self._pass_turn(to_us=False)
        return written

    def read(self, message: bytes) -> None:
        """Take the peer's next message. Raises `WrongState` out of turn, `HandshakeFailed`, `Malformed`."""
        self._take_turn(False)
        for step in self._messages.pop(0):
            message = self._read(step, message)
        if self._symmetric.open(message):
            raise Malformed("a handshake carries what it should not")
        self._pass_turn(to_us=True)

    def _presume(self, remote_static: bytes | None) -> None:
        if self._initiator:
            if remote_static is None:
                raise WrongState("whom to call must be known before this handshake")
            self._remote["s"] = remote_static
        self._symmetric.mix_hash(self._remote.get("s", self._keys["s"].public_key))

    def _write(self, step: str) -> bytes:
        if step == "e":
            self._symmetric.mix_hash(self._keys["e"].public_key)
            return self._keys["e"].public_key
        if step == "s":
            return self._symmetric.seal(self._keys["s"].public_key)
        self._mix(step)
        return b""

    def _read(self, step: str, message: bytes) -> bytes:
        """What is left of the message."""
        if step == "e":
            self._remote["e"], rest = _split(message, PUBLIC_KEY_BYTES)
            self._symmetric.mix_hash(self._remote["e"])
        elif step == "s":
            sealed, rest = _split(message, PUBLIC_KEY_BYTES + TAG_BYTES)
            self._remote["s"] = self._symmetric.open(sealed)
        else:
            self._mix(step)
            rest = message
        return rest

    def _mix(self, step: str) -> None:
        first, second = step[0], step[1]
        ours, theirs = (first, second) if self._initiator else (second, first)
        self._symmetric.mix_key(_agree(self._keys[ours], self._remote[theirs]))

    def _take_turn(self, turn: bool) -> None:
        if self._turn is not turn:
            raise WrongState("the handshake is over, or it is the other side's turn")
        self._turn = None

    def _pass_turn(self, *, to_us: bool) -> None:
        if self._messages:
            self._turn = to_us
            return
        first, second = self._symmetric.split()
        send, receive = (first, second) if self._initiator else (second, first)
        self.session = Session(send, receive, self._symmetric.hash, self._remote["s"])
        self._keys.clear()


class _Symmetric:
    """The running hash and keys of a handshake (Noise's SymmetricState)."""

    def __init__(self, name: bytes) -> None:
        self.hash = name.ljust(HASH_BYTES, b"\0")
        self._chaining_key = self.hash
        self._key: bytes | None = None
        self._nonce = 0
        self.mix_hash(b"")  # the prologue

    def mix_hash(self, data: bytes) -> None:
        self.hash = blake2b(self.hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self._chaining_key, key = _hkdf(self._chaining_key, secret)
        self._key, self._nonce = key[:KEY_BYTES], 0

    def seal(self, plain: bytes) -> bytes:
        sealed = plain if self._key is None else self._crypt(crypto_aead_chacha20poly1305_ietf_encrypt, plain)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        plain = sealed if self._key is None else self._opened(sealed)
        self.mix_hash(sealed)
        return plain

    def split(self) -> tuple[bytes, bytes]:
        """The initiator's sending key, and the responder's."""
        first, second = _hkdf(self._chaining_key, b"")
        return first[:KEY_BYTES], second[:KEY_BYTES]

    def _opened(self, sealed: bytes) -> bytes:
        if len(sealed) < TAG_BYTES:
            raise Malformed("a handshake message ends too early")
        try:
            return self._crypt(crypto_aead_chacha20poly1305_ietf_decrypt, sealed)
        except CryptoError as error:
            raise HandshakeFailed("the peer's handshake does not authenticate") from error

    def _crypt(self, cipher: Callable[[bytes, bytes, bytes, bytes], bytes], data: bytes) -> bytes:
        assert self._key is not None
        nonce = bytes(4) + self._nonce.to_bytes(8, "little")
        self._nonce += 1
        return cipher(data, self.hash, nonce, self._key)


def _agree(ours: KeyPair, theirs: bytes) -> bytes:
    """The secret of 32 bytes that both sides can make, each of its own secret key and the other's public one."""
    scalar = bytearray(sha512(ours.seed).digest()[:KEY_BYTES])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    try:
        return crypto_scalarmult_ed25519_noclamp(bytes(scalar), theirs)
    except SodiumError as error:  # no point of the main group: the secret would be one that anybody knows
        raise HandshakeFailed("the peer's key is none that a machine can have") from error


def _hkdf(chaining_key: bytes, secret: bytes) -> tuple[bytes, bytes]:
    extracted = hmac.digest(chaining_key, secret, blake2b)
    first = hmac.digest(extracted, b"\x01", blake2b)
    return first, hmac.digest(extracted, first + b"\x02", blake2b)


def _split(message: bytes, size: int) -> tuple[bytes, bytes]:
    if len(message) < size:
        raise Malformed("a handshake message ends too early")
    return message[:size], message[size:]
