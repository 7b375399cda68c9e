"""The identity files of one home: who this installation is, and the keys that show it.

    identity.json        the chain's public key and this instance's certificate; written last, so that without it
                         there is no identity, however many keys lie about
    keys/device.json     the device secret: all that a running gateway needs
    keys/seed.json       the master seed, on machines that may certify and revoke; opened only inside a command

With a passphrase both secrets are sealed. A keyring of sealed secrets that was loaded without one is *locked*: the
public facts are there, and what needs a key says that the passphrase is missing.

    KeyringError
    ├── NoIdentity         there is none here yet
    ├── IdentityExists     there is one, and it is not overwritten
    ├── IdentityDamaged    files that are not what was written, or do not belong together
    ├── IdentityNewer      a format that this release does not know
    ├── NoSeed             this machine was joined by invitation and cannot certify
    ├── WrongCertificate   a certificate that came is for other keys than this machine's
    └── BadPassphraseSource   the environment names a passphrase that cannot be read
"""

from __future__ import annotations

import json
import os
import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from crow_hooks import CrowError
from crow_hooks.types import Role
from crow_plugins.files import (
    FileError,
    FileExists,
    FileMissing,
    check_private_folder,
    create_private,
    locked_folder,
    make_private_folder,
    read_plain,
    read_private,
    set_aside,
    write_private,
)
from crow_plugins.identity import canonical_json, certificate, keys, sealing, signing, words
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.errors import (
    BadJson,
    CertificateNewer,
    EmptyPassphrase,
    IdentityError,
    PassphraseMissing,
    WrongPassphrase,
)
from crow_plugins.identity.keys import DeviceKeys, KeyPair
from crow_plugins.identity.sealing import USUAL_COST, Cost

__all__ = [
    "BadPassphraseSource",
    "EmptyPassphrase",
    "Identity",
    "IdentityDamaged",
    "IdentityExists",
    "IdentityNewer",
    "Keyring",
    "KeyringError",
    "NoIdentity",
    "NoSeed",
    "PassphraseMissing",
    "WrongCertificate",
    "WrongPassphrase",
    "passphrase_from_environment",
]

VERSION = 1
PASSPHRASE_SIZE_MAX = 4096
CREDENTIAL = "crow-passphrase"
STANDARD_STREAMS_LAST = 2  # closing one would give its number to the next file opened
DEVICE: Final = "device secret"
SEED: Final = "master seed"
HEX_KEY = re.compile(rf"[0-9a-f]{{{2 * keys.PUBLIC_KEY_BYTES}}}", re.ASCII)


class KeyringError(CrowError):
    """Something is wrong with the identity files of this home."""

    code = "keyring_error"


class NoIdentity(KeyringError):
    """This home has no identity yet."""

    code = "no_identity"

    def __init__(self, home: Path) -> None:
        super().__init__(f"there is no identity in {home} yet; make one with: crow init")


class IdentityExists(KeyringError):
    """This home has an identity, which is never overwritten."""

    code = "identity_exists"

    def __init__(self, home: Path) -> None:
        super().__init__(f"{home} has an identity already and keeps it; choose another folder with --home")


class IdentityDamaged(KeyringError):
    """Files of the identity are not what was written, or do not belong together."""

    code = "identity_damaged"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged ({reason}); restore identity.json and keys together from one backup")


class IdentityNewer(KeyringError):
    """The identity was written by a newer release."""

    code = "identity_newer"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was written by a newer release; update crow to read it")


class NoSeed(KeyringError):
    """This machine has no master seed."""

    code = "no_seed"

    def __init__(self, home: Path) -> None:
        super().__init__(f"{home} holds no master seed, since it was joined by invitation; do this where the seed is")


class WrongCertificate(KeyringError):
    """A certificate is for other keys than this machine made."""

    code = "wrong_certificate"

    def __init__(self) -> None:
        super().__init__("the certificate is for the keys of another machine; ask for one for this machine's")


class BadPassphraseSource(KeyringError):
    """The environment promises a passphrase that cannot be had."""

    code = "bad_passphrase_source"

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"no passphrase can be read from {source}: {reason}; correct or unset it")


@dataclass(frozen=True, slots=True)
class Identity:
    """The public facts of this installation: keys in hex, the certificate as it travels."""

    instance_id: str
    name: str
    role: Role
    chain: str
    fingerprint: str
    instance_key: str
    noise_key: str
    feed_key: str
    certificate: str
    encrypted: bool
    has_seed: bool


class Keyring:
    """The keys of one home. Make it with `create`, `adopt` or `load`."""

    def __init__(self, files: _Files, identity: Identity, device: DeviceKeys | None) -> None:
        self._files = files
        self._device = device
        self.identity = identity

    @classmethod
    def create(
        cls,
        home: Path,
        name: str,
        role: Role,
        now: int,
        passphrase: str | None = None,
        *,
        seed: bytes | None = None,
        cost: Cost = USUAL_COST,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Make an identity in a home that has none: a new chain, or another instance of the one `seed` is of.

        Raises `IdentityExists`, `BadName`, `CertificateMalformed`, `EmptyPassphrase` or a `FileError`; then there is
        no identity.
        """
        seed = random(keys.SECRET_BYTES) if seed is None else seed
        device_secret = random(keys.SECRET_BYTES)
        chain, device = keys.chain_key(seed), keys.device_keys(device_secret)
        certified = Certificate(
            chain=chain.public_key,
            instance_id=str(uuid.UUID(bytes=random(16), version=4)),
            name=name,
            role=role,
            instance_key=device.instance.public_key,
            noise_key=device.noise.public_key,
            feed_key=device.feed.public_key,
            serial=1,
            not_before=now,
        )
        signed = certificate.issue(certified, chain)
        kept = {DEVICE: device_secret, SEED: seed}
        return cls._write(home, kept, chain.public_key, signed, _Sealer(passphrase, cost, random))

    @classmethod
    def adopt(
        cls,
        home: Path,
        device_secret: bytes,
        signed: bytes,
        chain: bytes,
        now: int,
        passphrase: str | None = None,
        *,
        cost: Cost = USUAL_COST,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Keep an identity that a machine with the seed certified: no seed comes here.

        Raises what `certificate.verify` does, `WrongCertificate`, and as `create`.
        """
        certificate.verify(signed, chain, now)
        return cls._write(home, {DEVICE: device_secret}, chain, signed, _Sealer(passphrase, cost, random))

    @classmethod
    def load(cls, home: Path, passphrase: str | None = None) -> Self:
        """The identity of a home: with its device keys, or locked when they are sealed and no passphrase is given.

        A passphrase that is not needed is not looked at. Raises `NoIdentity`, `IdentityDamaged`, `IdentityNewer`,
        `WrongPassphrase`, another `IdentityError`, or a `FileError`.
        """
        identity = cls.public(home)
        keyring = cls(_Files(home), identity, None)
        if passphrase is not None or not identity.encrypted:
            keyring.unlock(passphrase)
        return keyring

    @classmethod
    def public(cls, home: Path) -> Identity:
        """The public facts alone; no secret is opened. Raises as `load`, but for passphrases."""
        files = _Files(home)
        chain, signed = files.read_identity()
        content = files.read(DEVICE)
        if content is None:
            raise IdentityDamaged(files.secret(DEVICE), "it is missing")
        encrypted, has_seed = sealing.is_sealed(DEVICE, content), files.secret(SEED).exists()
        try:
            return _facts(signed, chain, encrypted=encrypted, has_seed=has_seed)
        except CertificateNewer:
            raise IdentityNewer(files.identity) from None
        except IdentityError as error:  # our own file: another identity's certificate is no more ours than noise
            raise IdentityDamaged(files.identity, "its certificate is not the chain's") from error

    @classmethod
    def _write(cls, home: Path, kept: Mapping[str, bytes], chain: bytes, signed: bytes, sealer: _Sealer) -> Self:
        files = _Files(home)
        device = keys.device_keys(kept[DEVICE])
        encrypted = sealer.passphrase is not None
        identity = _facts(signed, chain, encrypted=encrypted, has_seed=SEED in kept)
        if not _certified(device, identity):
            raise WrongCertificate
        contents = {kind: sealer.content(kind, secret) for kind, secret in kept.items()}
        make_private_folder(home)
        with locked_folder(home):
            files.write(contents, chain, signed)
        return cls(files, identity, device)

    @property
    def locked(self) -> bool:
        """Whether the device keys still wait for their passphrase."""
        return self._device is None

    def unlock(self, passphrase: str | None) -> None:
        """Open the device keys. Raises `PassphraseMissing`, `WrongPassphrase`, `IdentityDamaged`."""
        device = keys.device_keys(self._files.open(DEVICE, passphrase))
        if not _certified(device, self.identity):
            raise IdentityDamaged(self._files.secret(DEVICE), "the certificate is of another device secret")
        self._device = device

    @property
    def device(self) -> DeviceKeys:
        """This machine's own keys. Raises `PassphraseMissing` while locked."""
        if self._device is None:
            raise PassphraseMissing(DEVICE)
        return self._device

    def sign(self, purpose: str, payload: bytes) -> bytes:
        """64 bytes by the instance key, over `signing.message(purpose, instance id, payload)`.

        Raises `BadLabel` for a purpose that is not one, `PassphraseMissing` while locked.
        """
        return signing.sign(self.device.instance, purpose, self.identity.instance_id, payload)

    def chain_key(self, passphrase: str | None = None) -> KeyPair:
        """The key that certifies and revokes: for one command, not to be kept.

        Raises `NoSeed`, `PassphraseMissing`, `WrongPassphrase`, `IdentityDamaged`.
        """
        return keys.chain_key(self.seed(passphrase))

    def words(self, passphrase: str | None = None) -> str:
        """The 24 words of the master seed. Raises as `chain_key`."""
        return words.of_secret(self.seed(passphrase))

    def seed(self, passphrase: str | None = None) -> bytes:
        """The master seed, to be carried to another machine of the same person. Raises as `chain_key`."""
        seed = self._files.open(SEED, passphrase)
        if keys.chain_key(seed).public_key.hex() != self.identity.chain:
            raise IdentityDamaged(self._files.secret(SEED), "it is of another chain")
        return seed


@dataclass(frozen=True, slots=True)
class _Sealer:
    """How secrets are put into files: plain without a passphrase."""

    passphrase: str | None
    cost: Cost
    random: Callable[[int], bytes]

    def content(self, kind: str, secret: bytes) -> bytes:
        if self.passphrase is None:
            return sealing.plain(kind, secret)
        salt, nonce = self.random(sealing.SALT_BYTES), self.random(sealing.NONCE_BYTES)
        return sealing.sealed(kind, secret, self.passphrase, salt=salt, nonce=nonce, cost=self.cost)


@dataclass(frozen=True, slots=True)
class _Files:
    """Where the identity of one home lies, and in which order it is written."""

    home: Path

    @property
    def identity(self) -> Path:
        return self.home / "identity.json"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    def secret(self, kind: str) -> Path:
        return self.keys / {DEVICE: "device.json", SEED: "seed.json"}[kind]

    def write(self, contents: Mapping[str, bytes], chain: bytes, signed: bytes) -> None:
        """The secrets first, the identity last: before its last step there is none. Hold the home's lock."""
        if self.identity.exists() or self.identity.is_symlink():
            raise IdentityExists(self.home)
        set_aside(self.keys)  # most likely half made, and perhaps somebody's only seed
        make_private_folder(self.keys)
        for kind, content in contents.items():
            write_private(self.secret(kind), content)
        facts = {"v": VERSION, "chain": chain.hex(), "certificate": canonical_json.parse(signed)}
        try:
            create_private(self.identity, json.dumps(facts, indent=2, ensure_ascii=False).encode() + b"\n")
        except FileExists:
            raise IdentityExists(self.home) from None

    def read_identity(self) -> tuple[bytes, Mapping[str, object]]:
        """The chain's public key, and the signed certificate."""
        check_private_folder(self.home)
        try:
            content = read_private(self.identity, sealing.SIZE_MAX)
        except FileMissing:
            raise NoIdentity(self.home) from None
        return self._parsed(content)

    def _parsed(self, content: bytes) -> tuple[bytes, Mapping[str, object]]:
        try:
            fields = canonical_json.parse(content)
        except BadJson as error:
            raise IdentityDamaged(self.identity, "it is not JSON") from error
        match fields:
            case {"v": bool()}:  # true equals 1, and is no version
                pass
            case {"v": int(version)} if version > VERSION:
                raise IdentityNewer(self.identity)
            case {"v": 1, "chain": str(chain), "certificate": dict(signed), **more}:
                if not more and HEX_KEY.fullmatch(chain):
                    return bytes.fromhex(chain), signed
        raise IdentityDamaged(self.identity, "a field is missing, unknown or wrong")

    def read(self, kind: str) -> bytes | None:
        """A secret's file as it lies there, or None."""
        check_private_folder(self.keys)
        try:
            return read_private(self.secret(kind), sealing.SIZE_MAX)
        except FileMissing:
            return None

    def open(self, kind: str, passphrase: str | None) -> bytes:
        content = self.read(kind)
        if content is not None:
            return sealing.secret_of(kind, content, passphrase)
        if kind == SEED:
            raise NoSeed(self.home)
        raise IdentityDamaged(self.secret(kind), "it is missing")


def _facts(signed: bytes | Mapping[str, object], chain: bytes, *, encrypted: bool, has_seed: bool) -> Identity:
    # Not `verify`: a wrong clock must not lock a person out of what is theirs.
    known = certificate.read(signed, chain)
    text = signed if isinstance(signed, bytes) else canonical_json.encode(dict(signed))
    return Identity(
        instance_id=known.instance_id,
        name=known.name,
        role=known.role,
        chain=chain.hex(),
        fingerprint=words.fingerprint(chain),
        instance_key=known.instance_key.hex(),
        noise_key=known.noise_key.hex(),
        feed_key=known.feed_key.hex(),
        certificate=text.decode(),
        encrypted=encrypted,
        has_seed=has_seed,
    )


def _certified(device: DeviceKeys, identity: Identity) -> bool:
    held = [key.public_key.hex() for key in (device.instance, device.noise, device.feed)]
    return held == [identity.instance_key, identity.noise_key, identity.feed_key]


def passphrase_from_environment(environment: Mapping[str, str] = os.environ) -> str | None:
    """The passphrase that the environment leads to, or None when it says nothing: the first line of

    the file `CROW_PASSPHRASE_FILE` (private), else what the descriptor `CROW_PASSPHRASE_FD` gives (read to its line
    end and closed, so once), else `crow-passphrase` in systemd's `CREDENTIALS_DIRECTORY`.

    Raises `BadPassphraseSource`, `EmptyPassphrase`.
    """
    if file := environment.get("CROW_PASSPHRASE_FILE"):
        return _passphrase("CROW_PASSPHRASE_FILE", lambda: read_private(Path(file), PASSPHRASE_SIZE_MAX))
    if number := environment.get("CROW_PASSPHRASE_FD"):
        return _passphrase("CROW_PASSPHRASE_FD", lambda: _read_descriptor(number))
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / CREDENTIAL
        if credential.exists():
            # The service manager guards these by rights of its own; modes do not tell them.
            return _passphrase(f"the credential {CREDENTIAL}", lambda: read_plain(credential, PASSPHRASE_SIZE_MAX))
    return None


def _passphrase(source: str, read: Callable[[], bytes]) -> str:
    try:
        line = read().split(b"\n")[0].removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise BadPassphraseSource(source, "it is not UTF-8") from error
    except FileError as error:
        raise BadPassphraseSource(source, str(error)) from error
    except (OSError, ValueError, OverflowError) as error:
        raise BadPassphraseSource(source, "it is not an open descriptor") from error
    if not line:
        raise EmptyPassphrase(source)
    if len(line) > PASSPHRASE_SIZE_MAX:
        raise BadPassphraseSource(source, f"its first line has more than {PASSPHRASE_SIZE_MAX} characters")
    return line


def _read_descriptor(number: str) -> bytes:
    descriptor = int(number)
    try:
        content = b""
        while b"\n" not in content and len(content) <= PASSPHRASE_SIZE_MAX:
            some = os.read(descriptor, PASSPHRASE_SIZE_MAX)
            if not some:
                break
            content += some
        return content
    finally:
        if descriptor > STANDARD_STREAMS_LAST:
            os.close(descriptor)
