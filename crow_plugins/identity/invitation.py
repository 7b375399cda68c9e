"""Joining by invitation: a machine comes into the chain by a one-time code, and no seed travels.

The code is 128 random bits, shown as seven groups of four letters (Crockford's base 32 and twelve bits of checksum)
that a person types on the new machine. It is never sent; each message shows that its maker knows it. Every key is

    HKDF-SHA256(code, label ‖ what makes it of one use)

and what the messages say is sealed (XChaCha20-Poly1305) with the whole transcript before it as associated data, so one
changed bit anywhere is refused at the next step. The messages are canonical JSON, bytes in hex:

    offer     {"v":1,"invitation":…,"chain":…,"nonce":…,"mac":…}    public; the gateway hands it to whoever names the
                                                                    invitation, an id that the code gives
    request   {"v":1,"invitation":…,"nonce":…,"box":…}              the joiner's; the gateway queues it unread
        in the box: {"name":…,"instance_key":…,"noise_key":…,"feed_key":…,"gateway_url":text or null,"signature":…}
    answer    {"v":1,"box":…}                                       the inviter's, handed to the joiner when it asks
        in the box: {"certificate":{…},"inviter":{…}}  or  {"refused":"declined"}

`mac` is HMAC-SHA256 over the offer without it. `signature` is by the new instance key, over label and transcript and
all that stands beside it: nobody can have another machine's keys certified as their own. The inviter chooses the new
instance's id, since a machine that could choose might take another's.

Three parties, three states, each of which survives its process as bytes:

    gateway   holds an `Invitation`: offer, end, tries left, used or not; no code, no seed
    inviter   holds the code and the chain key: `Invitation.tried`, `open_request`, `certify` or `refuse`,
              `Invitation.spent`
    joiner    holds a `Joining`: code, offer and its own request; what was asked for is read back from the request

Both people compare `fingerprint`: eight words of offer and request, and thereby of the chain's key and of the new
machine's. It guards where the code itself was overlooked: who stands between with the code has to make two different
conversations of it.

What remains: who sees an invitation's id pass by can use up its tries. What is not known here: whether a name, a key
or an id is taken already, and whether the address may be called.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.exceptions import CryptoError

from crow_plugins.identity import canonical_json, certificate, keys, signing, words
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.errors import (
    BadSignature,
    CodeMistyped,
    InvitationExpired,
    InvitationUsed,
    JoinMalformed,
    JoinNewer,
    JoinRefused,
    TriesUsedUp,
    WrongAnswer,
    WrongCode,
)
from crow_plugins.identity.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, DeviceKeys, KeyPair, check_public_key
from crow_plugins.identity.reading import Reader

VERSION = 1
PURPOSE = "join"
LABEL = b"crow/v1/join/"
CODE_BYTES = 16
NONCE_BYTES = 32
BOX_NONCE_BYTES: int = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
LIFETIME_SECONDS = 600
TRIES = 5
OFFER_SIZE_MAX = 512
REQUEST_SIZE_MAX = 8192
ANSWER_SIZE_MAX = 16384  # twice the longest: two certificates in hex
STATE_SIZE_MAX = 16384

# Crockford's: no I, L, O (they look like 1 and 0) and no U.
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUP = 4
CHECK_BITS = 12
TYPED_MAX = 200  # no slip of the finger is longer
CODE_LETTERS = (8 * CODE_BYTES + CHECK_BITS) // 5
_LOOKALIKES = str.maketrans("OIL", "011")
_BETWEEN = re.compile(r"[\s\-‐-―]+")  # spaces and whatever a keyboard makes of a hyphen

Refusal = Literal["declined", "name_taken", "key_taken"]
REFUSALS: dict[Refusal, str] = {
    "declined": "its operator said no; ask them, then use a new invitation",
    "name_taken": "another instance has this name; choose another one and use a new invitation",
    "key_taken": "another instance has this machine's keys; start with an empty home and a new invitation",
}

_MAC_BYTES = 32
_ID_BYTES = 8
_READ = Reader(VERSION, JoinMalformed, JoinNewer)


# ---- the code ------------------------------------------------------------------------------------------------------


def spelled(code: bytes) -> str:
    """A code of 16 random bytes as a person reads it: 7 groups of 4 letters."""
    number = int.from_bytes(code) << CHECK_BITS | _check_bits(code)
    letters = "".join(LETTERS[number >> 5 * left & 31] for left in reversed(range(CODE_LETTERS)))
    return "-".join(letters[start : start + GROUP] for start in range(0, CODE_LETTERS, GROUP))


def typed(text: str) -> bytes:
    """The 16 bytes of a code as a person typed it, in any case and grouping. Raises `CodeMistyped`."""
    letters = _BETWEEN.sub("", text) if len(text) <= TYPED_MAX else ""
    if letters.isascii():  # elsewhere a letter's capital may be another one's
        letters = letters.upper().translate(_LOOKALIKES)
    if len(letters) != CODE_LETTERS:
        raise CodeMistyped(f"it has not {CODE_LETTERS} letters and digits")
    if not set(letters) <= set(LETTERS):
        raise CodeMistyped("it has a letter or sign that codes do not use")
    number = 0
    for letter in letters:
        number = number << 5 | LETTERS.index(letter)
    code = (number >> CHECK_BITS).to_bytes(CODE_BYTES)
    if number & (1 << CHECK_BITS) - 1 != _check_bits(code):
        raise CodeMistyped("a letter of it is wrong, or two are swapped")
    return code


def invitation_id(code: bytes) -> str:
    """What may be said aloud of a code: 16 hex digits by which a gateway finds its invitation."""
    return _key(code, b"id")[:_ID_BYTES].hex()


def _check_bits(code: bytes) -> int:
    return int.from_bytes(hashlib.sha256(LABEL + b"check\0" + code).digest()[:2]) >> 16 - CHECK_BITS


# ---- the inviting side ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invitation:
    """An open invitation as a gateway keeps it: nothing in it is secret. `expires_at` is unix seconds."""

    offer: bytes
    expires_at: int
    tries_left: int = TRIES
    used: bool = False

    @property
    def id(self) -> str:
        """16 hex digits."""
        return _offer(self.offer).invitation

    def check(self, now: int) -> None:
        """Refuse to go on when it is over. Raises `InvitationUsed`, `InvitationExpired` or `TriesUsedUp`."""
        if self.used:
            raise InvitationUsed
        if now >= self.expires_at:
            raise InvitationExpired
        if self.tries_left < 1:
            raise TriesUsedUp

    def tried(self, now: int) -> Self:
        """One try less. Keep it before looking at a request: a try that a crash forgets could be had again for ever.

        Raises as `check`.
        """
        self.check(now)
        return replace(self, tries_left=self.tries_left - 1)

    def spent(self) -> Self:
        """The invitation after a machine was certified by it; keep it together with the answer.

        The time is not asked again: who was tried in time may be looked at in peace. Raises `InvitationUsed`.
        """
        if self.used:
            raise InvitationUsed
        return replace(self, used=True)

    def encoded(self) -> bytes:
        offer = canonical_json.parse(self.offer)
        return _READ.encoded(
            {"offer": offer, "expires_at": self.expires_at, "tries_left": self.tries_left, "used": self.used}
        )

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        """Raises `JoinMalformed`, `JoinNewer`."""
        match _READ.message(data, STATE_SIZE_MAX, {"v", "offer", "expires_at", "tries_left", "used"}):
            case {"offer": dict(offer), "expires_at": int(expires_at), "tries_left": int(tries), "used": bool(used)}:
                invitation = cls(canonical_json.encode(offer), expires_at, tries, used)
                _offer(invitation.offer)
                if type(expires_at) is type(tries) is int and 0 <= tries <= TRIES:
                    return invitation
        raise JoinMalformed("a field of the invitation is wrong")


@dataclass(frozen=True, slots=True)
class Applicant:
    """A machine that knows the code and asks for a certificate: its name, its public keys, where it can be called."""

    name: str
    instance_key: bytes
    noise_key: bytes
    feed_key: bytes
    gateway_url: str | None


@dataclass(frozen=True, slots=True)
class Certified:
    """A machine that was let in: the answer for it, and its certificate as it travels and as read."""

    answer: bytes
    signed: bytes
    certificate: Certificate


def invite(code: bytes, chain_public_key: bytes, nonce: bytes, now: int) -> Invitation:
    """Open an invitation; `code` is 16 random bytes, `nonce` 32, neither ever used before."""
    plain = {"invitation": invitation_id(code), "chain": chain_public_key.hex(), "nonce": nonce.hex()}
    return Invitation(_READ.encoded({**plain, "mac": _offer_mac(code, plain).hex()}), now + LIFETIME_SECONDS)


def check_request(invitation: Invitation, request: bytes, now: int) -> None:
    """What a gateway can see before it queues a request: its form, and that its invitation is open.

    Raises `JoinMalformed`, `JoinNewer`, and as `Invitation.check`.
    """
    if _request(request).invitation != invitation.id:
        raise JoinMalformed("it is for another invitation")
    invitation.check(now)


def open_request(code: bytes, invitation: Invitation, request: bytes) -> Applicant:
    """Who asks. Count the try first (`Invitation.tried`).

    Raises `JoinMalformed`, `JoinNewer`, `WrongCode`, `BadName`, `DegenerateKey`.
    """
    return _applicant(code, invitation.offer, request)


def certify(
    code: bytes,
    invitation: Invitation,
    request: bytes,
    chain: KeyPair,
    inviter: bytes,
    *,
    instance_id: str,
    now: int,
    box_nonce: bytes,
) -> Certified:
    """Let the applicant in, as a satellite.

    `inviter` is our own certificate, as it travels; `instance_id` a new random one; `box_nonce` 24 random bytes.
    Raises as `open_request` and `certificate.issue`.
    """
    applicant = open_request(code, invitation, request)
    certified = Certificate(
        chain=_offer(invitation.offer).chain,
        instance_id=instance_id,
        name=applicant.name,
        role="satellite",
        instance_key=applicant.instance_key,
        noise_key=applicant.noise_key,
        feed_key=applicant.feed_key,
        serial=1,
        not_before=now,
    )
    signed = certificate.issue(certified, chain)
    content = {"certificate": canonical_json.parse(signed), "inviter": canonical_json.parse(inviter)}
    return Certified(_answer(code, invitation.offer, request, content, box_nonce), signed, certified)


def refuse(code: bytes, invitation: Invitation, request: bytes, reason: Refusal, *, box_nonce: bytes) -> bytes:
    """The answer that turns the applicant away."""
    return _answer(code, invitation.offer, request, {"refused": reason}, box_nonce)


# ---- the joining side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Joining:
    """A request under way, as the joiner keeps it: a secret, since the code stands in it."""

    code: bytes = field(repr=False)
    offer: bytes
    request: bytes

    def encoded(self) -> bytes:
        offer, request = canonical_json.parse(self.offer), canonical_json.parse(self.request)
        return _READ.encoded({"code": self.code.hex(), "offer": offer, "request": request})

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        """Raises `JoinMalformed`, `JoinNewer`, and as `open_request` when its parts do not belong together."""
        fields = _READ.message(data, STATE_SIZE_MAX, {"v", "code", "offer", "request"})
        offer, request = (canonical_json.encode(_READ.fields(fields[part])) for part in ("offer", "request"))
        joining = cls(_READ.hex(fields["code"], CODE_BYTES, "code"), offer, request)
        _applicant(joining.code, joining.offer, joining.request)
        return joining


@dataclass(frozen=True, slots=True)
class Joined:
    """What a machine that joined has: the chain's public key, its own certificate as it travels, its inviter's."""

    chain: bytes
    signed: bytes
    certificate: Certificate
    inviter_signed: bytes
    inviter: Certificate


def ask(
    code: bytes,
    offer: bytes,
    device: DeviceKeys,
    name: str,
    *,
    gateway_url: str | None,
    nonce: bytes,
    box_nonce: bytes,
) -> Joining:
    """Ask to be let in, of an offer that knows the code. `nonce` is 32 random bytes, `box_nonce` 24.

    Raises `JoinMalformed`, `JoinNewer`, `DegenerateKey`, `WrongCode`, `BadName`.
    """
    _check_offer(code, offer)
    certificate.check_name(name)
    head = {"invitation": invitation_id(code), "nonce": nonce.hex()}
    said: dict[str, object] = {
        "name": name,
        "instance_key": device.instance.public_key.hex(),
        "noise_key": device.noise.public_key.hex(),
        "feed_key": device.feed.public_key.hex(),
        "gateway_url": _READ.url(gateway_url),
    }
    transcript = _transcript(offer, _READ.encoded(head))
    signature = signing.sign(device.instance, PURPOSE, device.instance.public_key.hex(), _possession(transcript, said))
    content = canonical_json.encode({**said, "signature": signature.hex()})
    box = _sealed(_key(code, b"request", transcript), content, transcript, box_nonce)
    return Joining(code, offer, _READ.encoded({**head, "box": box.hex()}))


def finish(joining: Joining, answer: bytes, now: int) -> Joined:
    """What the answer gives, checked against what was asked: our keys and name, the chain of the offer.

    Raises `JoinMalformed`, `JoinNewer`, `WrongCode`, `JoinRefused`, `WrongAnswer`, and as `certificate.verify`.
    """
    asked = _applicant(joining.code, joining.offer, joining.request)
    transcript = _transcript(joining.offer, joining.request)
    fields = _READ.message(answer, ANSWER_SIZE_MAX, {"v", "box"})
    content = _opened(_key(joining.code, b"answer", transcript), fields["box"], transcript, ANSWER_SIZE_MAX)
    match content:
        case {"refused": str(reason), **more} if not more and reason in REFUSALS:
            raise JoinRefused(reason, REFUSALS[reason])
        case {"certificate": dict(signed), "inviter": dict(inviter), **more} if not more:
            return _joined(asked, _offer(joining.offer).chain, signed, inviter, now)
    raise JoinMalformed("a field of the answer is missing or unknown")


def _joined(
    asked: Applicant, chain: bytes, signed: Mapping[str, object], inviter: Mapping[str, object], now: int
) -> Joined:
    ours, theirs = (certificate.verify(each, chain, now) for each in (signed, inviter))
    certified = (ours.name, ours.instance_key, ours.noise_key, ours.feed_key, ours.role)
    if certified != (asked.name, asked.instance_key, asked.noise_key, asked.feed_key, "satellite"):
        raise WrongAnswer
    if ours.instance_id == theirs.instance_id:
        raise WrongAnswer
    return Joined(chain, canonical_json.encode(dict(signed)), ours, canonical_json.encode(dict(inviter)), theirs)


# ---- both ----------------------------------------------------------------------------------------------------------


def fingerprint(offer: bytes, request: bytes) -> str:
    """Eight words that are equal on both machines if both saw the same offer and the same request."""
    return words.fingerprint(_transcript(offer, request))


@dataclass(frozen=True, slots=True)
class _Offer:
    invitation: str
    chain: bytes
    nonce: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class _Request:
    invitation: str
    nonce: bytes
    box: str


def _offer(data: bytes) -> _Offer:
    fields = _READ.message(data, OFFER_SIZE_MAX, {"v", "invitation", "chain", "nonce", "mac"})
    return _Offer(
        _READ.hex(fields["invitation"], _ID_BYTES, "invitation").hex(),
        _public_key(fields, "chain"),
        _READ.hex(fields["nonce"], NONCE_BYTES, "nonce"),
        _READ.hex(fields["mac"], _MAC_BYTES, "mac"),
    )


def _check_offer(code: bytes, data: bytes) -> None:
    offer = _offer(data)
    plain = {"invitation": offer.invitation, "chain": offer.chain.hex(), "nonce": offer.nonce.hex()}
    if offer.invitation != invitation_id(code) or not hmac.compare_digest(offer.mac, _offer_mac(code, plain)):
        raise WrongCode


def _offer_mac(code: bytes, plain: Mapping[str, object]) -> bytes:
    return hmac.digest(_key(code, b"offer"), _READ.encoded(plain), hashlib.sha256)


def _request(data: bytes) -> _Request:
    fields = _READ.message(data, REQUEST_SIZE_MAX, {"v", "invitation", "nonce", "box"})
    invitation = _READ.hex(fields["invitation"], _ID_BYTES, "invitation").hex()
    return _Request(
        invitation, _READ.hex(fields["nonce"], NONCE_BYTES, "nonce"), _READ.hex(fields["box"], None, "box").hex()
    )


def _applicant(code: bytes, offer: bytes, data: bytes) -> Applicant:
    asked = _request(data)  # that it belongs to code and offer shows in the box, whose key is made of all three
    transcript = _transcript(offer, _READ.encoded({"invitation": asked.invitation, "nonce": asked.nonce.hex()}))
    said = _opened(_key(code, b"request", transcript), asked.box, transcript, REQUEST_SIZE_MAX)
    if said.keys() != {"name", "instance_key", "noise_key", "feed_key", "gateway_url", "signature"}:
        raise JoinMalformed("a field of the request is missing or unknown")
    signature = _READ.hex(said.pop("signature"), SIGNATURE_BYTES, "signature")
    applicant = Applicant(
        _name(said["name"]),
        _public_key(said, "instance_key"),
        _public_key(said, "noise_key"),
        _public_key(said, "feed_key"),
        _READ.url(said["gateway_url"]),
    )
    key = applicant.instance_key
    try:
        signing.verify(key, PURPOSE, key.hex(), _possession(transcript, said), signature)
    except BadSignature as error:
        raise WrongCode from error
    return applicant


def _possession(transcript: bytes, said: Mapping[str, object]) -> bytes:
    return canonical_json.encode({**said, "transcript": transcript.hex()})


def _answer(code: bytes, offer: bytes, request: bytes, content: Mapping[str, object], box_nonce: bytes) -> bytes:
    transcript = _transcript(offer, request)
    box = _sealed(_key(code, b"answer", transcript), canonical_json.encode(dict(content)), transcript, box_nonce)
    return _READ.encoded({"box": box.hex()})


def _key(code: bytes, what: bytes, transcript: bytes = b"") -> bytes:
    """The nonces of both sides are in the transcript, so each of its keys is of one conversation."""
    return keys.derive(code, LABEL + what + b"\0" + transcript)


def _transcript(*parts: bytes) -> bytes:
    """32 bytes for all that was said so far; each part with its length, so that none can run into the next."""
    digest = hashlib.sha256(LABEL + b"transcript\0")
    for part in parts:
        digest.update(len(part).to_bytes(4) + part)
    return digest.digest()


def _sealed(key: bytes, content: bytes, transcript: bytes, nonce: bytes) -> bytes:
    return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(content, transcript, nonce, key)


def _opened(key: bytes, box: object, transcript: bytes, size_max: int) -> dict[str, object]:
    content = _READ.hex(box, None, "box")
    nonce, sealed = content[:BOX_NONCE_BYTES], content[BOX_NONCE_BYTES:]
    try:
        opened = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, transcript, nonce, key)
    except CryptoError as error:
        raise WrongCode from error
    return _READ.fields(_READ.parsed(opened, size_max))


def _public_key(fields: Mapping[str, object], which: str) -> bytes:
    key = _READ.hex(fields[which], PUBLIC_KEY_BYTES, which.replace("_", " "))
    check_public_key(key, which.replace("_", " "))
    return key


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise JoinMalformed("its name is not text")
    certificate.check_name(value)
    return value
