"""A secret as it lies in a file: plain, or sealed by a passphrase.

    {"v": 1, "kind": "device secret", "secret": hex}
    {"v": 1, "kind": "device secret", "box": hex,
     "kdf": {"name": "argon2id", "passes": n, "memory": bytes, "salt": hex}}

A sealed secret is a secretbox (nonce first) under a key made of the passphrase by Argon2id, then bound to the kind
of secret, so that one file cannot be passed off as another. The cost of Argon2id is read from the file and bounded
both ways: no file can make us take all memory, nor pass for a seal that guessing would open at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from nacl import exceptions, pwhash
from nacl.secret import SecretBox

from crow_plugins.identity import canonical_json
from crow_plugins.identity.errors import (
    BadJson,
    EmptyPassphrase,
    NoMemory,
    PassphraseMissing,
    SealDamaged,
    SealNewer,
    WrongPassphrase,
)
from crow_plugins.identity.keys import SECRET_BYTES, derive

VERSION = 1
SIZE_MAX = 4096
SALT_BYTES = pwhash.argon2id.SALTBYTES
NONCE_BYTES = SecretBox.NONCE_SIZE
BOX_BYTES = NONCE_BYTES + SecretBox.MACBYTES + SECRET_BYTES

PASSES_MIN, PASSES_MAX = 1, 16
MEMORY_MIN, MEMORY_MAX = 8 << 20, 1 << 30  # bytes


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at a passphrase costs: passes over so many bytes of memory."""

    passes: int
    memory: int

    @property
    def bearable(self) -> bool:
        return PASSES_MIN <= self.passes <= PASSES_MAX and MEMORY_MIN <= self.memory <= MEMORY_MAX


USUAL_COST = Cost(pwhash.argon2id.OPSLIMIT_MODERATE, pwhash.argon2id.MEMLIMIT_MODERATE)  # 256 MiB, below a second


def plain(kind: str, secret: bytes) -> bytes:
    """The file of a secret that nothing but the file's mode protects."""
    return canonical_json.encode({"v": VERSION, "kind": kind, "secret": secret.hex()})


def sealed(kind: str, secret: bytes, passphrase: str, *, salt: bytes, nonce: bytes, cost: Cost = USUAL_COST) -> bytes:
    """The file of a secret that a passphrase protects.

    `salt` (16 bytes) and `nonce` (24) are random and never used again. Raises `EmptyPassphrase`, `NoMemory`, and
    `ValueError` for a cost that could not be read again.
    """
    if not cost.bearable:
        raise ValueError("the cost is out of bounds")
    box = SecretBox(_key(kind, passphrase, salt, cost)).encrypt(secret, nonce)
    kdf = {"name": "argon2id", "passes": cost.passes, "memory": cost.memory, "salt": salt.hex()}
    return canonical_json.encode({"v": VERSION, "kind": kind, "kdf": kdf, "box": bytes(box).hex()})


def is_sealed(kind: str, content: bytes) -> bool:
    """Whether a passphrase is needed. Raises `SealDamaged`, `SealNewer`."""
    return "box" in _object(kind, content)


def secret_of(kind: str, content: bytes, passphrase: str | None = None) -> bytes:
    """The 32 bytes in a file; a passphrase that is not needed is not looked at.

    Raises `SealDamaged`, `SealNewer`, `PassphraseMissing`, `WrongPassphrase`, `EmptyPassphrase`, `NoMemory`.
    """
    fields = _object(kind, content)
    if "box" not in fields:
        return _hex(kind, fields["secret"], SECRET_BYTES)
    if passphrase is None:
        raise PassphraseMissing(kind)
    cost, salt = _kdf(kind, fields["kdf"])
    box = _hex(kind, fields["box"], BOX_BYTES)
    try:
        return SecretBox(_key(kind, passphrase, salt, cost)).decrypt(box)
    except exceptions.CryptoError as error:
        raise WrongPassphrase(kind) from error


def _key(kind: str, passphrase: str, salt: bytes, cost: Cost) -> bytes:
    if not passphrase:
        raise EmptyPassphrase
    # Keyboards differ in how they spell an accented letter; a passphrase is what a person sees.
    typed = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    try:
        stretched = pwhash.argon2id.kdf(SecretBox.KEY_SIZE, typed, salt, opslimit=cost.passes, memlimit=cost.memory)
    except (exceptions.RuntimeError, MemoryError) as error:
        raise NoMemory(cost.memory) from error
    return derive(stretched, f"crow/seal/v1/{kind}".encode())


def _object(kind: str, content: bytes) -> Mapping[str, object]:
    try:
        fields = canonical_json.parse(content, SIZE_MAX)
    except BadJson as error:
        raise SealDamaged(kind, "not JSON") from error
    if not isinstance(fields, dict) or type(fields.get("v")) is not int or fields["v"] < VERSION:
        raise SealDamaged(kind, "no version")
    if fields["v"] > VERSION:
        raise SealNewer(kind)
    if fields.keys() not in ({"v", "kind", "secret"}, {"v", "kind", "kdf", "box"}):
        raise SealDamaged(kind, "a field is missing or unknown")
    if fields["kind"] != kind:
        raise SealDamaged(kind, "it holds another secret")
    return fields


def _kdf(kind: str, value: object) -> tuple[Cost, bytes]:
    match value:
        case {"name": "argon2id", "passes": int(passes), "memory": int(memory), "salt": salt, **more}:
            cost = Cost(passes, memory)
        case _:
            raise SealDamaged(kind, "how its key is made is not told")
    if more or passes is True:
        raise SealDamaged(kind, "how its key is made is told otherwise")
    if not cost.bearable:
        raise SealDamaged(kind, "the cost of its key is out of bounds")
    return cost, _hex(kind, salt, SALT_BYTES)


def _hex(kind: str, value: object, size: int) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-f]{{{2 * size}}}", value, re.ASCII):
        raise SealDamaged(kind, f"not {size} bytes in hex where they should be")
    return bytes.fromhex(value)
