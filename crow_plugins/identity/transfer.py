"""The exported identity: one file that carries a chain to another machine of the same person.

    {"v":1,"kind":"crow identity","chain":hex,"seed":{the master seed, sealed by a passphrase; see `sealing`}}

It holds the master seed and says of which chain, and nothing of the machine that wrote it: a machine that imports it
makes a device secret of its own. It is always encrypted, since files that people carry are left lying about. Reading
refuses what is not exactly this: a file with a device secret in it, a seed for everybody to read, a chain that is not
the seed's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from crow_plugins.identity import canonical_json, keys, sealing
from crow_plugins.identity.errors import (
    BadJson,
    DeviceSecretCarried,
    ExportUnsealed,
    NotAnExport,
    SealDamaged,
    SealNewer,
)
from crow_plugins.identity.keys import PUBLIC_KEY_BYTES
from crow_plugins.identity.sealing import USUAL_COST, Cost

VERSION = 1
KIND = "crow identity"
SEED_KIND = "exported identity"  # binds the seal, so that a home's own seed file does not pass for an export
SIZE_MAX = 4096

_HEX_KEY = re.compile(rf"[0-9a-f]{{{2 * PUBLIC_KEY_BYTES}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Transfer:
    """An identity on its way: the master seed and the public key of its chain, 32 bytes each."""

    seed: bytes = field(repr=False)
    chain: bytes


def exported(seed: bytes, passphrase: str, *, salt: bytes, nonce: bytes, cost: Cost = USUAL_COST) -> bytes:
    """The file of an identity; `salt` (16 bytes) and `nonce` (24) are random and never used again.

    Raises `EmptyPassphrase`, `NoMemory`.
    """
    sealed = sealing.sealed(SEED_KIND, seed, passphrase, salt=salt, nonce=nonce, cost=cost)
    chain = keys.chain_key(seed).public_key.hex()
    return canonical_json.encode({"v": VERSION, "kind": KIND, "chain": chain, "seed": canonical_json.parse(sealed)})


def imported(content: bytes, passphrase: str | None) -> Transfer:
    """The identity in a file.

    Raises `NotAnExport`, `DeviceSecretCarried`, `ExportUnsealed`, `SealDamaged`, `SealNewer`, `PassphraseMissing`,
    `WrongPassphrase`, `EmptyPassphrase`, `NoMemory`.
    """
    chain, sealed = _parted(content)
    seed = sealing.secret_of(SEED_KIND, sealed, passphrase)
    if keys.chain_key(seed).public_key != chain:
        raise SealDamaged(SEED_KIND, "its seed is of another chain than it says")
    return Transfer(seed, chain)


def _parted(content: bytes) -> tuple[bytes, bytes]:
    """The chain's key, and the sealed seed as `sealing` reads it."""
    fields = _object(content)
    if _names_device(fields):
        raise DeviceSecretCarried
    if fields.get("kind") != KIND:
        raise NotAnExport
    version = fields.get("v")
    if type(version) is not int or version < VERSION:
        raise SealDamaged(SEED_KIND, "no version")
    if version > VERSION:
        raise SealNewer(SEED_KIND)
    match fields:
        case {"v": _, "kind": _, "chain": str(chain), "seed": dict(seed), **more} if not more:
            if not _HEX_KEY.fullmatch(chain):
                raise SealDamaged(SEED_KIND, "the chain is not a key in hex")
            sealed = canonical_json.encode(seed)
            if not sealing.is_sealed(SEED_KIND, sealed):
                raise ExportUnsealed
            _check_memory(seed)
            return bytes.fromhex(chain), sealed
    raise SealDamaged(SEED_KIND, "a field is missing or unknown")


def _check_memory(sealed: Mapping[str, object]) -> None:
    """Argon2 counts whole KiB; a number between two would be another spelling of the same file."""
    match sealed["kdf"]:
        case {"memory": int(memory)} if memory % 1024:
            raise SealDamaged(SEED_KIND, "the cost of its key is told otherwise")


def _object(content: bytes) -> Mapping[str, object]:
    try:
        fields = canonical_json.parse(content, SIZE_MAX)
    except BadJson as error:
        raise SealDamaged(SEED_KIND, "not JSON") from error
    if not isinstance(fields, dict):
        raise NotAnExport
    return fields


def _names_device(value: object) -> bool:
    """Whether any key or kind in the file speaks of a device, at whatever depth."""
    if isinstance(value, dict):
        named = any("device" in key.lower() for key in value) or "device" in str(value.get("kind", "")).lower()
        return named or any(_names_device(inner) for inner in value.values())
    return isinstance(value, list) and any(_names_device(inner) for inner in value)
