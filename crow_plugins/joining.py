"""The joining machine's side of an invitation: from a code that a person typed to an identity of the chain.

It works in a home that has no identity yet, so there is neither plugin nor database here; whoever has those is told
of the inviter at the end (`INTRODUCTIONS`). Two calls to the inviter's gateway:

    GET  /.well-known/crow/join/ID      the offer
    POST /.well-known/crow/join         {"v":1,"request":{…},"keeping":null or {"instance_id":…,"signature":…}}
                                        202 while nobody has answered yet; then 200 and the answer, to this same
                                        request as often as it is sent; 404 or 410 {"v":1,"refused":CODE}

Before anything is asked for, `joining.json` is in the home: the code, the request and the device secret. It goes when
all is done. A join that was killed is therefore continued by saying the same again, and what it continues is the very
same request, for which the inviter has one answer only. The order of the steps:

    joining.json → request → answer, checked, into joining.json → the identity → the registry → joining.json gone

`keeping` is for a machine that was used alone: it asks to keep the id under which its feed was written, and shows by
its instance key that the wish is its own. What was its master seed is kept under another name.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

from crow_hooks import Instance, ServiceKey
from crow_plugins.config import Home
from crow_plugins.files import FileExists, FileMissing, create_private, make_private_folder, read_private, write_private
from crow_plugins.identity import canonical_json, invitation, keys, sealing, signing
from crow_plugins.identity.errors import (
    BadSignature,
    InvitationError,
    InvitationExpired,
    InvitationUsed,
    JoinMalformed,
    JoinNewer,
    JoinRefused,
    TriesUsedUp,
    WrongAnswer,
    WrongCode,
)
from crow_plugins.identity.invitation import Joined, Joining
from crow_plugins.identity.keys import SIGNATURE_BYTES, DeviceKeys
from crow_plugins.identity.reading import Reader
from crow_plugins.keyring import DEVICE, VERSION, Identity, Keyring, NoIdentity
from crow_plugins.outbound.calling import BadStatus, CallError, RemoteGateway
from crow_plugins.running import gateway_runs

STATE = "joining.json"
SEED_FILE, OLD_SEED_FILE = "seed.json", "seed-before-joining.json"
PATH = "/.well-known/crow/join"
KEEPING_PURPOSE = "join-keeping"
POST_SIZE_MAX = invitation.REQUEST_SIZE_MAX + 1024
STATE_SIZE_MAX = 64 * 1024
POLL_SECONDS = 0.5
WAIT_SECONDS = invitation.LIFETIME_SECONDS + 60  # the gateway's clock decides; it tells when it is over

OK, WAITING, BAD_REQUEST, UNKNOWN, OVER, BUSY = 200, 202, 400, 404, 410, 429

_READ = Reader(1, JoinMalformed, JoinNewer)


class InvitationUnknown(InvitationError):
    """The gateway has no invitation of this code."""

    code = "invitation_unknown"

    def __init__(self) -> None:
        super().__init__("that gateway knows no invitation of this code; check the code and the address")


class InvitationWithdrawn(InvitationError):
    """Whoever invited took it back."""

    code = "invitation_withdrawn"

    def __init__(self) -> None:
        super().__init__("the invitation was withdrawn; make a new one with: crow invite, and leave it open")


class TooManyAsk(InvitationError):
    """The gateway turns requests away for now."""

    code = "too_many_ask"

    def __init__(self) -> None:
        super().__init__("that gateway is asked too often just now; wait a little, then say the same again")


class NoAnswer(InvitationError):
    """Nobody certified the request in time."""

    code = "join_not_answered"

    def __init__(self) -> None:
        super().__init__("nobody answered; leave crow invite open on the other machine, then say the same again")


class AlreadyInChain(InvitationError):
    """The home has an identity, and it was not said that its data should be kept."""

    code = "already_in_chain"

    def __init__(self, home: Path) -> None:
        super().__init__(
            f"{home} has an identity already; to bring this machine and its data into another chain, add --keep-data; "
            "or join in an empty home with --home DIR"
        )


class NotAlone(InvitationError):
    """A machine that knows others cannot change its chain."""

    code = "not_alone"

    def __init__(self, home: Path) -> None:
        super().__init__(f"{home} is chained to other instances, so its data cannot be moved; join in an empty home")


class HomeInUse(InvitationError):
    """The gateway runs on the identity that is to be replaced."""

    code = "home_in_use"

    def __init__(self, home: Path) -> None:
        super().__init__(f"the gateway of {home} is running; stop it and the assistants that run crow, then join again")


class OtherJoin(InvitationError):
    """Another process joins in this home."""

    code = "other_join"

    def __init__(self, home: Path) -> None:
        super().__init__(f"another crow join is at work in {home}; wait for it, or stop it")


class JoinStateDamaged(InvitationError):
    """What was kept of an unfinished join cannot be read."""

    code = "join_state_damaged"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not what an unfinished join keeps; move it away and join by a new invitation")


OVER_BY_CODE: dict[str, type[InvitationError]] = {
    error.code: error
    for error in (InvitationUnknown, InvitationWithdrawn, InvitationUsed, InvitationExpired, TriesUsedUp, WrongCode)
}


class Introductions(Protocol):
    """Who is told, once a machine has joined, by whom it was let in."""

    def introduced(self, signed: bytes, gateway_url: str) -> Instance:
        """Know the inviter by its certificate and its address; saying it again changes nothing. Database work."""


INTRODUCTIONS: ServiceKey[Introductions] = ServiceKey("introductions")


# ---- what is sent ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Keeping:
    """The wish to keep an instance id, signed by the instance key that asks to be certified."""

    instance_id: str
    signature: bytes

    @classmethod
    def of(cls, instance_id: str, request: bytes, device: DeviceKeys) -> Self:
        key = device.instance
        payload = _keeping_payload(instance_id, request)
        return cls(instance_id, signing.sign(key, KEEPING_PURPOSE, key.public_key.hex(), payload))

    def check(self, request: bytes, instance_key: bytes) -> None:
        """Raises `WrongCode` when it was not made by that key for that request."""
        payload = _keeping_payload(self.instance_id, request)
        try:
            signing.verify(instance_key, KEEPING_PURPOSE, instance_key.hex(), payload, self.signature)
        except BadSignature as error:
            raise WrongCode from error


def _keeping_payload(instance_id: str, request: bytes) -> bytes:
    return canonical_json.encode({"instance_id": instance_id, "request": hashlib.sha256(request).hexdigest()})


@dataclass(frozen=True, slots=True)
class Posted:
    """What a joiner posts; equal bytes get an equal answer."""

    request: bytes
    keeping: Keeping | None = None

    @property
    def invitation_id(self) -> str:
        """Which invitation the request says it is for. Raises `JoinMalformed`."""
        said = _READ.fields(canonical_json.parse(self.request)).get("invitation")
        return _READ.hex(said, None, "invitation").hex()

    def encoded(self) -> bytes:
        keeping = self.keeping and {
            "instance_id": self.keeping.instance_id,
            "signature": self.keeping.signature.hex(),
        }
        return _READ.encoded({"request": canonical_json.parse(self.request), "keeping": keeping})

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        """Raises `JoinMalformed`, `JoinNewer`."""
        fields = _READ.message(data, POST_SIZE_MAX, {"v", "request", "keeping"})
        return cls(canonical_json.encode(_READ.fields(fields["request"])), _keeping(fields["keeping"]))


def _keeping(value: object) -> Keeping | None:
    match value:
        case None:
            return None
        case {"instance_id": instance_id, "signature": signature, **more} if not more:
            return Keeping(_READ.instance_id(instance_id), _READ.hex(signature, SIGNATURE_BYTES, "signature"))
    raise JoinMalformed("what it wants to keep is told otherwise")


# ---- what is kept ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Underway:
    """A join that was begun: whom it asks, with what, and the answer once it is here.

    `secret` is the device secret as it lies in a file, None for a machine that keeps its own.
    """

    url: str
    joining: Joining
    secret: bytes | None = field(repr=False)
    keeping: Keeping | None = None
    answer: bytes | None = None

    @property
    def fingerprint(self) -> str:
        """Eight words for both people to compare."""
        return invitation.fingerprint(self.joining.offer, self.joining.request)

    def joined(self, now: int) -> Joined:
        """What the answer gives. Raises as `invitation.finish`, and `NoAnswer` while there is none."""
        if self.answer is None:
            raise NoAnswer
        joined = invitation.finish(self.joining, self.answer, now)
        if self.keeping is not None and joined.certificate.instance_id != self.keeping.instance_id:
            raise WrongAnswer
        return joined

    def posted(self) -> bytes:
        return Posted(self.joining.request, self.keeping).encoded()

    def encoded(self) -> bytes:
        return _READ.encoded(
            {
                "url": self.url,
                "joining": canonical_json.parse(self.joining.encoded()),
                "secret": self.secret and canonical_json.parse(self.secret),
                "keeping": self.keeping
                and {"instance_id": self.keeping.instance_id, "signature": self.keeping.signature.hex()},
                "answer": self.answer and canonical_json.parse(self.answer),
            }
        )

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        """Raises `InvitationError`."""
        fields = _READ.message(data, STATE_SIZE_MAX, {"v", "url", "joining", "secret", "keeping", "answer"})
        return cls(
            url=_READ.url(fields["url"]) or "",
            joining=Joining.decoded(canonical_json.encode(fields["joining"])),
            secret=_bytes_of(fields["secret"]),
            keeping=_keeping(fields["keeping"]),
            answer=_bytes_of(fields["answer"]),
        )


def _bytes_of(value: object) -> bytes | None:
    return None if value is None else canonical_json.encode(_READ.fields(value))


def unfinished(home: Home) -> Underway | None:
    """The join that was begun in a home and not ended. Raises `JoinStateDamaged` or a `FileError`."""
    path = home.folder / STATE
    home.check()
    try:
        return Underway.decoded(read_private(path, STATE_SIZE_MAX))
    except FileMissing:
        return None
    except InvitationError as error:
        raise JoinStateDamaged(path) from error


def finish(home: Home, introductions: Introductions, now: int) -> Instance | None:
    """Tell the registry who let this machine in, if that was not done yet; returns the inviter. Database work."""
    underway = unfinished(home)
    if underway is None or underway.answer is None:
        return None
    joined = underway.joined(now)
    if not _is(home, joined):
        return None
    if underway.secret is None:
        change_over(home, joined)
    inviter = introductions.introduced(joined.inviter_signed, underway.url)
    (home.folder / STATE).unlink(missing_ok=True)
    return inviter


# ---- the way --------------------------------------------------------------------------------------------------------


class Joiner:
    """Takes one home through a join, a step at a time; each step may be the last before the process is killed."""

    def __init__(
        self,
        home: Home,
        gateway: RemoteGateway,
        *,
        now: Callable[[], int],
        passphrase: str | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._home, self._gateway = home, gateway
        self._now, self._passphrase, self._random = now, passphrase, random

    async def begin(self, code: bytes, name: str, alone: Keyring | None = None) -> Underway:
        """Get the offer and keep a request for it; `alone` is the unlocked identity that keeps its data.

        Raises an `InvitationError`, `BadName`, a `CallError` or a `FileError`; then nothing was changed.
        """
        offer = await self._offer(code)
        device_secret = self._random(keys.SECRET_BYTES)
        device = alone.device if alone else keys.device_keys(device_secret)
        joining = invitation.ask(
            code,
            offer,
            device,
            name,
            gateway_url=None,
            nonce=self._random(invitation.NONCE_BYTES),
            box_nonce=self._random(invitation.BOX_NONCE_BYTES),
        )
        keeping = Keeping.of(alone.identity.instance_id, joining.request, device) if alone else None
        secret = None if alone else self._as_file(device_secret)
        underway = Underway(self._gateway.url.text, joining, secret, keeping)
        make_private_folder(self._home.folder)
        try:
            create_private(self._home.folder / STATE, underway.encoded())
        except FileExists:
            raise OtherJoin(self._home.folder) from None
        return underway

    async def resume(self, code: bytes) -> Underway | None:
        """The unfinished join of this home, if it is by this code or was answered after all; else it is given up.

        Raises `JoinStateDamaged` or a `FileError`.
        """
        before = unfinished(self._home)
        if before is None or before.answer is not None or before.joining.code == code:
            return before
        try:
            answered = await self.ask(before)
        except (InvitationError, CallError):
            answered = None
        if answered is None:
            self.forget()
        return answered

    async def ask(self, underway: Underway) -> Underway | None:
        """Post the request once; with the answer when there is one, checked and kept.

        Raises the reason why there will never be one, `TooManyAsk`, or a `CallError`.
        """
        got = await self._gateway.call(
            PATH, underway.posted(), statuses=(OK, WAITING, BAD_REQUEST, UNKNOWN, OVER, BUSY)
        )
        if got.status == WAITING:
            return None
        _refuse(got.status, got.json())
        answered = replace(underway, answer=got.content, url=self._gateway.url.text)
        answered.joined(self._now())
        return self._keep(answered)

    async def wait(self, underway: Underway, *, seconds: float = WAIT_SECONDS) -> Underway:
        """Ask until there is an answer. What is wrong at once is told at once; later a gateway may be away for a while.

        Raises as `ask`, and `NoAnswer`.
        """
        end = asyncio.get_running_loop().time() + seconds
        answered = await self.ask(underway)
        while answered is None:
            if asyncio.get_running_loop().time() >= end:
                raise NoAnswer
            await asyncio.sleep(POLL_SECONDS)
            with suppress(CallError, TooManyAsk):
                answered = await self.ask(underway)
        return answered

    def adopt(self, underway: Underway) -> Identity:
        """Make the answer this home's identity. Doing it again changes nothing.

        Raises as `Keyring.adopt`; then the home is as it was.
        """
        joined = underway.joined(self._now())
        if underway.secret is None:
            change_over(self._home, joined)
        elif not _is(self._home, joined):
            secret = sealing.secret_of(DEVICE, underway.secret, self._passphrase)
            now = self._now()
            Keyring.adopt(self._home.folder, secret, joined.signed, joined.chain, now, self._passphrase)
        return Keyring.public(self._home.folder)

    def forget(self) -> None:
        """Give up what was begun; only for a request that will never be answered."""
        (self._home.folder / STATE).unlink(missing_ok=True)

    async def _offer(self, code: bytes) -> bytes:
        path = f"{PATH}/{invitation.invitation_id(code)}"
        got = await self._gateway.call(path, statuses=(OK, UNKNOWN, OVER, BUSY))
        _refuse(got.status, got.json())
        return got.content

    def _as_file(self, device_secret: bytes) -> bytes:
        if self._passphrase is None:
            return sealing.plain(DEVICE, device_secret)
        salt, nonce = self._random(sealing.SALT_BYTES), self._random(sealing.NONCE_BYTES)
        return sealing.sealed(DEVICE, device_secret, self._passphrase, salt=salt, nonce=nonce)

    def _keep(self, underway: Underway) -> Underway:
        write_private(self._home.folder / STATE, underway.encoded())
        return underway


def is_over(error: InvitationError) -> bool:
    """Whether it says that a request will never be answered by a certificate."""
    return isinstance(error, (*OVER_BY_CODE.values(), JoinRefused)) and not isinstance(error, WrongCode)


def change_over(home: Home, joined: Joined) -> None:
    """Make a machine that was used alone one of the chain: other certificate, same device keys, its seed set aside."""
    seed, identity = home.folder / "keys" / SEED_FILE, home.folder / "identity.json"
    if not _is(home, joined):
        if seed.exists():
            write_private(seed.with_name(OLD_SEED_FILE), read_private(seed))
        facts = {"v": VERSION, "chain": joined.chain.hex(), "certificate": canonical_json.parse(joined.signed)}
        write_private(identity, json.dumps(facts, indent=2, ensure_ascii=False).encode() + b"\n")
    # Under its own name it would pass for the new chain's; it is the same bytes as the one set aside.
    if seed.with_name(OLD_SEED_FILE).exists():
        seed.unlink(missing_ok=True)


def check_alone(home: Home) -> None:
    """Refuse to change an identity that a gateway runs on, or begins to. Raises `HomeInUse`."""
    if gateway_runs(home):
        raise HomeInUse(home.folder)


def _is(home: Home, joined: Joined) -> bool:
    """Whether a home has the identity that an answer gives."""
    try:
        return Keyring.public(home.folder).certificate.encode() == joined.signed
    except NoIdentity:
        return False


def _refuse(status: int, said: object) -> None:
    """The gateway's refusal as our own sentence; nothing it sent is repeated."""
    if status == OK:
        return
    if status == BUSY:
        raise TooManyAsk
    if status == BAD_REQUEST:  # what we write is well formed in this release
        raise JoinNewer
    match said:
        case {"refused": str(code)} if code in OVER_BY_CODE:
            raise OVER_BY_CODE[code]
    raise BadStatus(status)  # some other server's, from which nothing follows
