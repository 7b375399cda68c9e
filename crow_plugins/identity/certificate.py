"""The certificate: by it a machine shows that it is of a chain, since only the master seed can have made it.

It names one instance and its three keys, and is signed by the chain key. It travels among the instances of a chain as

    {"certificate":{…},"feed_key":"…64 hex…","signature":"…128 hex…"}

and is shown to strangers without `feed_key`: by that key a feed is asked for, so whoever has it can read. What is
signed therefore holds `feed_commitment` in its place,

    BLAKE2b-256("crow/v1/feed-commitment" ‖ 0 ‖ feed key)

which tells nothing of the key, and which no other key fits. Both forms are canonical JSON, so each has one spelling and
the signature is checked over the very bytes that came. Reading is strict: what is not exactly a certificate of the form
that is asked for is refused, never repaired. Whether an instance was revoked is not known here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    FeedKeyForged,
)
from crow_plugins.identity.keys import KeyPair, check_public_key

VERSION = 1
PURPOSE = "certificate"
COMMITMENT_LABEL = b"crow/v1/feed-commitment\0"
COMMITMENT_BYTES = 32
SIZE_MAX = 2048  # twice the longest one
NAME_MAX = 64
ROLES: tuple[Role, ...] = get_args(Role)
# Two machines whose clocks are a day off in opposite directions still know each other.
CLOCK_TOLERANCE_SECONDS = 2 * 86_400

# A body ends in a brace, so that what stands behind it is never taken for a part of it.
_PUBLIC = re.compile(rb'\{"certificate":(.*),"signature":"([0-9a-f]{128})"\}', re.DOTALL)
_WHOLE = re.compile(rb'\{"certificate":(.*),"feed_key":"([0-9a-f]{64})","signature":"([0-9a-f]{128})"\}', re.DOTALL)
_HEX_32_BYTES = re.compile(r"[0-9a-f]{64}", re.ASCII)
# Control, format, surrogate, private use, line and paragraph separators: they forge what a terminal shows.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicCertificate:
    """The chain says: this instance has these keys. All of it is signed, and a stranger may know it.

    Keys are 32 bytes; `not_before` and `expires` are unix seconds, `expires` the first at which it is over. Of two
    certificates of one instance the one with the higher `serial` counts.
    """

    chain: bytes
    instance_id: str
    name: str
    role: Role
    instance_key: bytes
    noise_key: bytes
    feed_commitment: bytes
    serial: int
    not_before: int
    expires: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate(PublicCertificate):
    """The same with the feed key, for the instances of the chain only; its commitment follows from it."""

    feed_key: bytes
    feed_commitment: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "feed_commitment", commitment(self.feed_key))


_FIELDS = frozenset({"v", *(each.name for each in dataclasses.fields(PublicCertificate))})


def commitment(feed_key: bytes) -> bytes:
    """The 32 bytes that stand for a feed key where strangers read."""
    return hashlib.blake2b(COMMITMENT_LABEL + feed_key, digest_size=COMMITMENT_BYTES).digest()


def issue(certificate: Certificate, chain: KeyPair) -> bytes:
    """Sign a certificate; returns the bytes that travel, with the feed key.

    Raises as `read` does where a field cannot stand in one, and `CertificateForeign` when it names another chain.
    """
    body = _encoded(_fields(certificate))
    signature = signing.sign(chain, PURPOSE, chain.public_key.hex(), body).hex().encode()
    feed_key = certificate.feed_key.hex().encode()
    signed = b'{"certificate":' + body + b',"feed_key":"' + feed_key + b'","signature":"' + signature + b'"}'
    read(signed, chain.public_key)  # what was signed can be read
    return signed


def public(signed: bytes) -> bytes:
    """What a stranger is shown of a certificate as it travels. Raises `CertificateTooLarge`, `CertificateMalformed`."""
    body, _, signature = _parted(signed, _WHOLE)
    return b'{"certificate":' + body + b',"signature":"' + signature + b'"}'


def verify(signed: bytes | str | Mapping[str, object], chain_public_key: bytes, now: int) -> Certificate:
    """A certificate of our chain that is valid at `now` (unix seconds).

    `not_before` may lie up to `CLOCK_TOLERANCE_SECONDS` in the future, since clocks differ; an expiry is exact.
    Raises as `read`, and `CertificateNotYetValid`, `CertificateExpired`.
    """
    certificate = read(signed, chain_public_key)
    _check_time(certificate, now)
    return certificate


def verify_public(signed: bytes | Mapping[str, object], chain_public_key: bytes, now: int) -> PublicCertificate:
    """The same of one that comes without its feed key, as a stranger shows it. Raises the same."""
    certificate = read_public(signed, chain_public_key)
    _check_time(certificate, now)
    return certificate


def read(signed: bytes | str | Mapping[str, object], chain_public_key: bytes) -> Certificate:
    """A certificate of our chain, whatever the time: the bytes or text that came, or the JSON object of them.

    Raises `CertificateTooLarge`, `CertificateMalformed`, `CertificateNewer`, `DegenerateKey`, `BadName`,
    `CertificateForeign`, `CertificateForged`, or `FeedKeyForged` where another key was put beside it.
    """
    body, digits, signature = _parted(_bytes(signed), _WHOLE)
    certified, feed_key = _read(body, signature, chain_public_key), bytes.fromhex(digits.decode())
    if commitment(feed_key) != certified.feed_commitment:
        raise FeedKeyForged
    check_public_key(feed_key, "feed key")
    fields = dataclasses.asdict(certified)
    del fields["feed_commitment"]  # the key has it
    return Certificate(**fields, feed_key=feed_key)


def read_public(signed: bytes | Mapping[str, object], chain_public_key: bytes) -> PublicCertificate:
    """The same of one without its feed key; one that has it is `CertificateMalformed`."""
    body, signature = _parted(_bytes(signed), _PUBLIC)
    return _read(body, signature, chain_public_key)


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


def _parted(signed: bytes, form: re.Pattern[bytes]) -> tuple[bytes, ...]:
    """Body, feed key in a form that has it, and signature, each as received."""
    if len(signed) > SIZE_MAX:
        raise CertificateTooLarge(SIZE_MAX)
    found = form.fullmatch(signed)
    if found is None:
        wanted = "its feed key and its signature" if form is _WHOLE else "its signature alone"
        raise CertificateMalformed(f"it is not a certificate with {wanted}")
    return found.groups()


def _read(body: bytes, signature: bytes, chain_public_key: bytes) -> PublicCertificate:
    certificate = _certificate(body)
    if certificate.chain != chain_public_key:
        raise CertificateForeign
    try:
        signing.verify(chain_public_key, PURPOSE, chain_public_key.hex(), body, bytes.fromhex(signature.decode()))
    except BadSignature as error:
        raise CertificateForged from error
    return certificate


def _check_time(certificate: PublicCertificate, now: int) -> None:
    if now < certificate.not_before - CLOCK_TOLERANCE_SECONDS:
        raise CertificateNotYetValid(certificate.not_before - now)
    if certificate.expires is not None and now >= certificate.expires:
        raise CertificateExpired(now - certificate.expires)


def _fields(certificate: Certificate) -> dict[str, object]:
    fields: dict[str, object] = {
        "v": VERSION,
        "chain": certificate.chain.hex(),
        "instance_id": certificate.instance_id,
        "name": certificate.name,
        "role": certificate.role,
        "instance_key": certificate.instance_key.hex(),
        "noise_key": certificate.noise_key.hex(),
        "feed_commitment": certificate.feed_commitment.hex(),
        "serial": certificate.serial,
        "not_before": certificate.not_before,
    }
    if certificate.expires is not None:
        fields["expires"] = certificate.expires
    return fields


def _certificate(body: bytes) -> PublicCertificate:
    """The certificate that these bytes spell: right in every field, signed by whomever."""
    fields = _object(body)
    certificate = PublicCertificate(
        chain=_key(fields, "chain"),
        instance_id=_instance_id(fields),
        name=_name(fields),
        role=_role(fields),
        instance_key=_key(fields, "instance_key"),
        noise_key=_key(fields, "noise_key"),
        feed_commitment=_bytes_of(fields, "feed_commitment"),
        serial=_number(fields, "serial"),
        not_before=_number(fields, "not_before"),
        expires=_number(fields, "expires") if "expires" in fields else None,
    )
    if certificate.expires is not None and certificate.expires <= certificate.not_before:
        raise CertificateMalformed("it expires before it starts")
    three = (certificate.chain, certificate.instance_key, certificate.noise_key)
    if len({certificate.feed_commitment, *map(commitment, three)}) != 4:
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


def _key(fields: Mapping[str, object], name: str) -> bytes:
    key = _bytes_of(fields, name)
    check_public_key(key, name.replace("_", " "))
    return key


def _bytes_of(fields: Mapping[str, object], name: str) -> bytes:
    value = fields[name]
    if not isinstance(value, str) or not _HEX_32_BYTES.fullmatch(value):
        raise CertificateMalformed(f"{name} is not 32 bytes in hex")
    return bytes.fromhex(value)


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


def _number(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 1:
        raise CertificateMalformed(f"{name} is not a whole number above zero")
    return value
