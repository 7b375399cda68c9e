"""The certificate: by it a machine shows that it is of a chain, since only the master seed can have made it.

It names one instance and its three public keys, and is signed by the chain key. It travels as

    {"certificate":{…},"signature":"…128 hex…"}

in canonical JSON, so it has one spelling and the signature is checked over the very bytes that came. Reading is
strict: what is not exactly a certificate is refused, never repaired. Whether an instance was revoked is not known
here.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from crow_hooks.types import Role
from crow_plugins.identity import canonical_json, signing
from crow_plugins.identity.errors import (
    BadJson,
    BadName,
    BadSignature,
    CertificateExpired,
    CertificateForeign,
    CertificateForged,
    CertificateMalformed,
    CertificateNewer,
    CertificateNotYetValid,
    CertificateTooLarge,
)
from crow_plugins.identity.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KeyPair, check_public_key

VERSION = 1
PURPOSE = "certificate"
SIZE_MAX = 2048  # twice the longest one
NAME_MAX = 64
ROLES: tuple[Role, ...] = get_args(Role)
# Two machines whose clocks are a day off in opposite directions still know each other.
CLOCK_TOLERANCE_SECONDS = 2 * 86_400

_BEFORE, _BETWEEN, _AFTER = b'{"certificate":', b',"signature":"', b'"}'
_TAIL_BYTES = len(_BETWEEN) + 2 * SIGNATURE_BYTES + len(_AFTER)
_HEX_KEY = re.compile(rf"[0-9a-f]{{{2 * PUBLIC_KEY_BYTES}}}", re.ASCII)
_HEX_SIGNATURE = re.compile(rf"[0-9a-f]{{{2 * SIGNATURE_BYTES}}}".encode())
# Control, format, surrogate, private use, line and paragraph separators: they forge what a terminal shows.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Certificate:
    """The chain says: this instance has these keys.

    Keys are 32 bytes; `not_before` and `expires` are unix seconds, `expires` the first at which it is over. Of two
    certificates of one instance the one with the higher `serial` counts.
    """

    chain: bytes
    instance_id: str
    name: str
    role: Role
    instance_key: bytes
    noise_key: bytes
    feed_key: bytes
    serial: int
    not_before: int
    expires: int | None = None


_FIELDS = frozenset({"v", *(field.name for field in dataclasses.fields(Certificate))})


def issue(certificate: Certificate, chain: KeyPair) -> bytes:
    """Sign a certificate; returns the bytes that travel.

    Raises as `read` does where a field cannot stand in one, and `CertificateForeign` when it names another chain.
    """
    if certificate.chain != chain.public_key:
        raise CertificateForeign
    body = _encoded(_fields(certificate))
    _certificate(body)  # what is signed can be read
    signature = signing.sign(chain, PURPOSE, chain.public_key.hex(), body)
    return b"".join((_BEFORE, body, _BETWEEN, signature.hex().encode(), _AFTER))


def verify(signed: bytes | str | Mapping[str, object], chain_public_key: bytes, now: int) -> Certificate:
    """A certificate of our chain that is valid at `now` (unix seconds).

    `not_before` may lie up to `CLOCK_TOLERANCE_SECONDS` in the future, since clocks differ; an expiry is exact.
    Raises as `read`, and `CertificateNotYetValid`, `CertificateExpired`.
    """
    certificate = read(signed, chain_public_key)
    if now < certificate.not_before - CLOCK_TOLERANCE_SECONDS:
        raise CertificateNotYetValid(certificate.not_before - now)
    if certificate.expires is not None and now >= certificate.expires:
        raise CertificateExpired(now - certificate.expires)
    return certificate


def read(signed: bytes | str | Mapping[str, object], chain_public_key: bytes) -> Certificate:
    """A certificate of our chain, whatever the time: the bytes or text that came, or the JSON object of them.

    Raises `CertificateTooLarge`, `CertificateMalformed`, `CertificateNewer`, `DegenerateKey`, `BadName`,
    `CertificateForeign` or `CertificateForged`.
    """
    body, signature = _parted(_bytes(signed))
    certificate = _certificate(body)
    if certificate.chain != chain_public_key:
        raise CertificateForeign
    try:
        signing.verify(chain_public_key, PURPOSE, chain_public_key.hex(), body, signature)
    except BadSignature as error:
        raise CertificateForged from error
    return certificate


def check_name(name: str) -> None:
    """Refuse what an instance cannot be called. Raises `BadName`."""
    invisible = any(unicodedata.category(character) in _INVISIBLE for character in name)
    if not 1 <= len(name) <= NAME_MAX or invisible or name != name.strip():
        raise BadName(NAME_MAX)


def _bytes(signed: bytes | str | Mapping[str, object]) -> bytes:
    """What came, as bytes; an object has one spelling, and only that one can have been signed."""
    if isinstance(signed, Mapping):
        return _encoded(dict(signed))
    if len(signed) > SIZE_MAX:
        raise CertificateTooLarge(SIZE_MAX)
    if isinstance(signed, str):
        return signed.encode("utf-8", "surrogatepass")
    return signed


def _encoded(fields: dict[str, object]) -> bytes:
    try:
        return canonical_json.encode(fields)
    except BadJson as error:
        raise CertificateMalformed("it holds a value that cannot stand in one") from error


def _parted(signed: bytes) -> tuple[bytes, bytes]:
    """Body and signature, each as received."""
    if len(signed) > SIZE_MAX:
        raise CertificateTooLarge(SIZE_MAX)
    body, tail = signed[len(_BEFORE) : -_TAIL_BYTES], signed[-_TAIL_BYTES:]
    digits = tail[len(_BETWEEN) : -len(_AFTER)]
    framed = signed.startswith(_BEFORE) and tail.startswith(_BETWEEN) and tail.endswith(_AFTER)
    if not framed or not _HEX_SIGNATURE.fullmatch(digits):
        raise CertificateMalformed("it is not a certificate with its signature")
    return body, bytes.fromhex(digits.decode())


def _fields(certificate: Certificate) -> dict[str, object]:
    fields: dict[str, object] = {
        "v": VERSION,
        "chain": certificate.chain.hex(),
        "instance_id": certificate.instance_id,
        "name": certificate.name,
        "role": certificate.role,
        "instance_key": certificate.instance_key.hex(),
        "noise_key": certificate.noise_key.hex(),
        "feed_key": certificate.feed_key.hex(),
        "serial": certificate.serial,
        "not_before": certificate.not_before,
    }
    if certificate.expires is not None:
        fields["expires"] = certificate.expires
    return fields


def _certificate(body: bytes) -> Certificate:
    """The certificate that these bytes spell: right in every field, signed by whomever."""
    fields = _object(body)
    certificate = Certificate(
        chain=_key(fields, "chain"),
        instance_id=_instance_id(fields),
        name=_name(fields),
        role=_role(fields),
        instance_key=_key(fields, "instance_key"),
        noise_key=_key(fields, "noise_key"),
        feed_key=_key(fields, "feed_key"),
        serial=_number(fields, "serial"),
        not_before=_number(fields, "not_before"),
        expires=_number(fields, "expires") if "expires" in fields else None,
    )
    if certificate.expires is not None and certificate.expires <= certificate.not_before:
        raise CertificateMalformed("it expires before it starts")
    four = {certificate.chain, certificate.instance_key, certificate.noise_key, certificate.feed_key}
    if len(four) != 4:
        raise CertificateMalformed("one key stands for two")
    return certificate


def _object(body: bytes) -> Mapping[str, object]:
    try:
        fields = canonical_json.parse_canonical(body)
    except BadJson as error:
        raise CertificateMalformed("its JSON is not canonical") from error
    if not isinstance(fields, dict):
        raise CertificateMalformed("it is not an object")
    if _number(fields, "v") > VERSION:
        raise CertificateNewer
    if fields.keys() | {"expires"} != _FIELDS:
        raise CertificateMalformed("a field is missing or unknown")
    return fields


def _key(fields: Mapping[str, object], field: str) -> bytes:
    value = fields[field]
    if not isinstance(value, str) or not _HEX_KEY.fullmatch(value):
        raise CertificateMalformed(f"{field} is not {PUBLIC_KEY_BYTES} bytes in hex")
    key = bytes.fromhex(value)
    check_public_key(key, field.replace("_", " "))
    return key


def _instance_id(fields: Mapping[str, object]) -> str:
    value = fields["instance_id"]
    try:
        if isinstance(value, str) and str(uuid.UUID(value)) == value:
            return value
    except ValueError:
        pass
    raise CertificateMalformed("instance_id is not a UUID in its usual spelling")


def _name(fields: Mapping[str, object]) -> str:
    value = fields["name"]
    if not isinstance(value, str):
        raise CertificateMalformed("name is not text")
    check_name(value)
    return value


def _role(fields: Mapping[str, object]) -> Role:
    for role in ROLES:
        if fields["role"] == role:
            return role
    raise CertificateMalformed(f"role is not {' or '.join(ROLES)}")


def _number(fields: Mapping[str, object], field: str) -> int:
    value = fields.get(field)
    if type(value) is not int or value < 1:
        raise CertificateMalformed(f"{field} is not a whole number above zero")
    return value
