"""Homes that invite and homes that join, over real gateways, for tests that stop at any step."""

from __future__ import annotations

import json
import secrets
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from crow_plugins.config import Home
from crow_plugins.handle import Handle
from crow_plugins.host import Host
from crow_plugins.identity import invitation, keys
from crow_plugins.identity.invitation import Joining
from crow_plugins.identity.keys import DeviceKeys
from crow_plugins.joining import Joiner, Keeping, Posted
from crow_plugins.keyring import Keyring
from crow_plugins.outbound.calling import RemoteGateway
from crow_plugins.outbound.urls import parse
from crow_plugins.registry.invitations import Invitations
from crow_plugins.registry.inviting import Inviter
from crow_plugins.registry.joining_rows import Arrivals
from crow_plugins.registry.registry import Registry
from tests.gateway_process import CROW

DEADLINE_SECONDS = 60


def registry_handle(host: Host) -> Handle:
    """The handle that the registry plugin has."""
    return Handle(host, next(plugin for plugin in host.manifest.plugins if plugin.name == "registry"))


def device() -> DeviceKeys:
    return keys.device_keys(secrets.token_bytes(keys.SECRET_BYTES))


def asking(
    code: bytes, offer: bytes, name: str = "swan", *, of: DeviceKeys | None = None, keep: str | None = None
) -> tuple[Joining, bytes]:
    """A request by this code for this offer, and what is posted of it."""
    own = of or device()
    nonce, box_nonce = secrets.token_bytes(invitation.NONCE_BYTES), secrets.token_bytes(invitation.BOX_NONCE_BYTES)
    joining = invitation.ask(code, offer, own, name, gateway_url=None, nonce=nonce, box_nonce=box_nonce)
    keeping = Keeping.of(keep, joining.request, own) if keep else None
    return joining, Posted(joining.request, keeping).encoded()


def forged(offer: bytes, invitation_id: str) -> bytes:
    """What one posts who knows an invitation's id and not its code."""
    _, right = asking(_CODE, _offer_of_another_code(offer))
    fields = json.loads(right)
    fields["request"]["invitation"] = invitation_id
    return json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()


_CODE = secrets.token_bytes(16)


def _offer_of_another_code(offer: bytes) -> bytes:
    chain = bytes.fromhex(json.loads(offer)["chain"])
    return invitation.invite(_CODE, chain, secrets.token_bytes(32), int(time.time())).offer


class Inviting:
    """An open installation that invites, without a process of its own."""

    def __init__(self, host: Host) -> None:
        self.host, self.crow = host, registry_handle(host)
        self.invitations = Invitations(self.crow)
        self.arrivals = Arrivals(self.crow, Registry(self.crow, host), host.keyring.identity)

    def invite(self, now: int | None = None) -> Inviter:
        chain = self.host.keyring.chain_key()
        certificate = self.host.keyring.identity.certificate.encode()
        return Inviter(
            self.invitations, self.arrivals, chain, certificate, now=self.host.now if now is None else lambda: now
        )

    def names(self) -> list[str]:
        """Of the instances in the registry."""
        with self.host.read() as db:
            rows = db.execute_sql("SELECT name FROM crow_instances ORDER BY name").fetchall()
        return [name for (name,) in rows if name != self.host.instance.name]


@dataclass(frozen=True)
class OpenInvitation:
    """A `crow invite` that waits."""

    process: subprocess.Popen[str]
    code: str
    url: str | None

    def outcome(self) -> dict[str, object]:
        """What it says at its end."""
        out, err = self.process.communicate(timeout=DEADLINE_SECONDS)
        assert self.process.returncode == 0, err
        said: dict[str, object] = json.loads(out)
        return said


@contextmanager
def open_invitation(home: Path, *options: str, stdin: str = "") -> Iterator[OpenInvitation]:
    """Run `crow invite` until it ends by itself, or the block does."""
    command = [*CROW, "invite", *options, "--home", str(home), "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.flush()
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        said = json.loads(line)
        try:
            yield OpenInvitation(process, said["code"], said["url"])
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(DEADLINE_SECONDS)


@asynccontextmanager
async def joiner(home: Path, url: str, passphrase: str | None = None) -> AsyncIterator[Joiner]:
    """The joining side, to be led a step at a time."""
    async with RemoteGateway(parse(url)) as gateway:
        yield Joiner(Home(home), gateway, now=lambda: int(time.time()), passphrase=passphrase)


def rows(home: Path, sql: str) -> list[tuple[object, ...]]:
    """What the database of a home says, read from beside it."""
    with closing(sqlite3.connect(f"file:{home / 'crow.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def files_with(home: Path, secret: bytes) -> list[Path]:
    """Files below a home that hold a secret, as bytes or in hex."""
    wanted = (secret, secret.hex().encode(), secret.hex().upper().encode())
    files = [path for path in home.rglob("*") if path.is_file()]
    return [path for path in files if any(each in path.read_bytes() for each in wanted)]


def seed_of(home: Path) -> bytes:
    return Keyring.load(home).seed()
