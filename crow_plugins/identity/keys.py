"""Keys: each is made of one secret and a label, so that 32 bytes at rest are all a machine or a chain needs.

Two secrets, two trees. The master seed makes the chain key, which every instance of a chain can be checked
against; the device secret makes the three keys of one machine and never leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.signing import SigningKey

from crow_plugins.identity.errors import DegenerateKey

SECRET_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

CHAIN_LABEL = b"crow/chain/v1"
INSTANCE_LABEL = b"crow/instance/v1"
NOISE_LABEL = b"crow/noise/v1"
FEED_LABEL = b"crow/feed/v1"


class KeyPair:
    """An Ed25519 key pair. Its text and its representation show the public half only."""

    __slots__ = ("_secret", "public_key")

    public_key: bytes

    def __init__(self, seed: bytes) -> None:
        """`seed` is 32 secret bytes."""
        self._secret = SigningKey(seed)
        self.public_key = bytes(self._secret.verify_key)

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes: for the handshake and the feed, which have their own use of them."""
        return bytes(self._secret)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature over exactly these bytes; give it nothing that a peer chose."""
        return self._secret.sign(message).signature

    def __repr__(self) -> str:
        return f"KeyPair({self.public_key.hex()})"


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """The three keys of one machine."""

    instance: KeyPair
    noise: KeyPair
    feed: KeyPair


def chain_key(seed: bytes) -> KeyPair:
    """The key that all instances of a chain share, from the master seed of 32 bytes."""
    return _derived(seed, CHAIN_LABEL)


def device_keys(secret: bytes) -> DeviceKeys:
    """The keys of one machine, from its device secret of 32 bytes."""
    return DeviceKeys(_derived(secret, INSTANCE_LABEL), _derived(secret, NOISE_LABEL), _derived(secret, FEED_LABEL))


def derive(secret: bytes, label: bytes) -> bytes:
    """HKDF-SHA256 without salt: 32 bytes of one secret for the one purpose that `label` names."""
    return HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=label).derive(secret)


def check_public_key(key: bytes, which: str) -> None:
    """Refuse what is no point of the main group in its one spelling. Raises `DegenerateKey`."""
    if len(key) != PUBLIC_KEY_BYTES or not crypto_core_ed25519_is_valid_point(key):
        raise DegenerateKey(which)


def _derived(secret: bytes, label: bytes) -> KeyPair:
    return KeyPair(derive(secret, label))
