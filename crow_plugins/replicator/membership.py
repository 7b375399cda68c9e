"""What two instances show each other before anything of a feed is said: who they are, and whom the chain trusts.

    {"v":1,"certificate":text,"signature":hex,"certificates":[text,…],"revocations":[text,…]}

in canonical JSON, on a channel of its own inside the secret stream. `certificate` is the sender's, and its noise key
must be the one of this connection; `signature` is by its instance key, for the purpose `sync`, over the handshake's
hash and the sender's side of it, so that nothing of it can be said again on another connection. The rest is all that
the sender knows of the chain, and is said again when more is heard. Since certificates name feed keys, they are shown
to a key that is known already, or that has shown its certificate; a stranger is told nothing.

    MembershipRefused
    ├── MembershipMalformed
    ├── NotAMember           no valid certificate of our chain, or not for this connection
    └── PeerRevoked
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from crow_hooks import Credentials, CrowError
from crow_plugins.feed.channels import Channel
from crow_plugins.feed.noise import Session
from crow_plugins.identity import certificate, signing
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.errors import IdentityError
from crow_plugins.identity.keys import SIGNATURE_BYTES
from crow_plugins.identity.reading import Reader
from crow_plugins.limits import INTRODUCTION_BYTES_MAX, INTRODUCTION_LISTED_MAX

CHANNEL = Channel("crow/membership/1")
VERSION = 1
PURPOSE = "sync"


class MembershipRefused(CrowError):
    """A peer is not let in."""

    code = "membership_refused"


class MembershipMalformed(MembershipRefused):
    """What a peer says of itself is not what an instance says."""

    code = "membership_malformed"

    def __init__(self, what: str) -> None:
        super().__init__(f"the peer introduced itself wrongly ({what}); upgrade crow-plugins on both machines")


class MembershipNewer(MembershipMalformed):
    """The peer speaks a newer form of it."""

    code = "membership_newer"

    def __init__(self) -> None:
        super().__init__("in a newer form")


class NotAMember(MembershipRefused):
    """The peer has not shown that it is of this chain."""

    code = "not_a_member"

    def __init__(self) -> None:
        super().__init__("the peer is no instance of this chain; register it, or check the address that was dialled")


class PeerRevoked(MembershipRefused):
    """The peer was an instance of this chain."""

    code = "peer_revoked"

    def __init__(self) -> None:
        super().__init__("the peer was revoked; it may join again as a new instance")


class Quarantined(MembershipRefused):
    """The peer sent false entries again and again."""

    code = "peer_quarantined"

    def __init__(self) -> None:
        super().__init__("the peer is shut out, since it sent false entries; let it in again with: crow sync now")


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a peer said, checked: who it is, and what it knows of the chain."""

    certificate: Certificate
    heard: Credentials


_READ = Reader(VERSION, MembershipMalformed, MembershipNewer)
_NAMES = {"v", "certificate", "signature", "certificates", "revocations"}


def introduction(
    own: bytes, known: Credentials, session: Session, initiator: bool, sign: Callable[[bytes], bytes]
) -> bytes:
    """Our side of it; `sign` signs for the purpose `sync` with the instance key."""
    return _READ.encoded(
        {
            "certificate": own.decode(),
            "signature": sign(_bound(session, initiator)).hex(),
            "certificates": [each.decode() for each in known.certificates],
            "revocations": [each.decode() for each in known.revocations],
        }
    )


def check(
    said: bytes, session: Session, initiator: bool, chain: bytes, revoked: Collection[str], now: int
) -> Introduction:
    """What the peer said; `initiator` tells whether we dialled. Raises a `MembershipRefused`."""
    fields = _READ.message(said, INTRODUCTION_BYTES_MAX, _NAMES)
    shown = _text(fields["certificate"])
    try:
        theirs = certificate.verify(shown, chain, now)
        signature = _READ.hex(fields["signature"], SIGNATURE_BYTES, "signature")
        signing.verify(theirs.instance_key, PURPOSE, theirs.instance_id, _bound(session, not initiator), signature)
    except IdentityError as error:
        raise NotAMember from error
    if theirs.noise_key != session.remote_public_key:
        raise NotAMember
    if theirs.instance_id in revoked:
        raise PeerRevoked
    return Introduction(theirs, Credentials((shown, *_texts(fields["certificates"])), _texts(fields["revocations"])))


def _bound(session: Session, initiator: bool) -> bytes:
    return session.handshake_hash + (b"\x01" if initiator else b"\x00")


def _texts(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > INTRODUCTION_LISTED_MAX:
        raise MembershipMalformed("a list is none, or too long")
    return tuple(_text(each) for each in value)


def _text(value: object) -> bytes:
    if not isinstance(value, str):
        raise MembershipMalformed("something signed is no text")
    return value.encode()
