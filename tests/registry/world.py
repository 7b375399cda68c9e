"""Instances of one chain, open in this process, and machines at an address that say what a test lets them say."""

from __future__ import annotations

import json
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from crow_hooks import Instance, KnownInstance, Role
from crow_plugins.files import make_private_folder
from crow_plugins.host import Host
from crow_plugins.identity import certificate, challenge, keys, revocation
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.challenge import Exchange
from crow_plugins.identity.keys import DeviceKeys, KeyPair
from crow_plugins.identity.revocation import Branch, Revocation
from crow_plugins.keyring import Keyring
from crow_plugins.registry import OWN, REGISTERING
from crow_plugins.registry.registering import Registering
from crow_plugins.registry.registry import Registry

SEED, OTHER_SEED = b"\x01" * 32, b"\x02" * 32
CHAIN, OTHER_CHAIN = keys.chain_key(SEED), keys.chain_key(OTHER_SEED)
PATH, PROOF_PATH = "/.well-known/crow", "/.well-known/crow/proof"

Reply = tuple[int, bytes]
Script = Callable[[bytes], Reply]


def chain_home(folder: Path, name: str, role: Role = "home", *, settings: str = "", module: str = "") -> Path:
    """A home of the chain that all tests here share, with settings of the registry and a plugin of a test."""
    home = folder / name
    make_private_folder(home)
    Keyring.create(home, name=name, role=role, now=int(time.time()), seed=SEED)
    manifest = f'[[plugin]]\nname = "registry"\n[plugin.settings]\n{settings}\n'
    manifest += f'[[plugin]]\nname = "tested"\nmodule = "{module}"\n' if module else ""
    (home / "plugin_manifest.toml").write_text(manifest)
    return home


@dataclass
class House:
    """One open installation and its registry."""

    host: Host

    @property
    def registry(self) -> Registry:
        return self.host.services.find("tests", OWN)

    @property
    def registering(self) -> Registering:
        return self.host.services.find("tests", REGISTERING)

    def known(self, name: str) -> KnownInstance:
        return next(other for other in self.registry.others() if other.instance.name == name)

    def mirror(self) -> list[dict[str, Any]]:
        content = self.registry.mirrored()
        return [] if content is None else list(json.loads(content))

    def everything(self) -> tuple[object, ...]:
        """All that registering could change."""
        with self.host.read() as db:
            tables = ("crow_instances", "revocations", "registry_state")
            rows = [db.execute_sql(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables]
        return (*rows, self.registry.mirrored())


@dataclass
class Machine:
    """What another machine of a chain has: keys and a certificate."""

    name: str
    role: Role = "satellite"
    chain: KeyPair = CHAIN
    device: DeviceKeys = field(default_factory=lambda: keys.device_keys(secrets.token_bytes(32)))
    certificate: Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.certificate = Certificate(
            chain=self.chain.public_key,
            instance_id=str(uuid.uuid4()),
            name=self.name,
            role=self.role,
            instance_key=self.device.instance.public_key,
            noise_key=self.device.noise.public_key,
            feed_key=self.device.feed.public_key,
            serial=1,
            not_before=int(time.time()),
        )

    def with_certificate(self, **changes: Any) -> Machine:
        self.certificate = replace(self.certificate, **changes)
        return self

    @property
    def id(self) -> str:
        return self.certificate.instance_id

    @property
    def instance(self) -> Instance:
        return Instance(self.id, self.name, self.role)

    @property
    def signed(self) -> bytes:
        return certificate.issue(self.certificate, self.chain)

    @property
    def shown(self) -> bytes:
        """What a stranger is shown."""
        return certificate.public(self.signed)

    def revoked(self, chain: KeyPair = CHAIN, serial: int = 1) -> bytes:
        """A statement by a chain that this machine is trusted no more."""
        branch = Branch(0, 0, b"\0" * 32)
        return revocation.issue(
            Revocation(chain.public_key, self.id, serial, branch, {}, int(time.time())), chain
        ).signed


class Callee:
    """A machine that speaks the challenge as it should; tests change what they like."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.exchanges: list[Exchange] = []
        self.heard: list[challenge.Proved] = []

    def scripts(self) -> dict[str, Script]:
        return {"/health": self.health, PATH: self.answer, PROOF_PATH: self.proof}

    def health(self, body: bytes) -> Reply:
        said = {"status": "ok", "instance_id": self.machine.id, "name": self.machine.name, "version": "1"}
        return 200, json.dumps(said).encode()

    def answer(self, body: bytes) -> Reply:
        called = challenge.read_hello(body, self.machine.id)
        key, shown, chain = self.machine.device.instance, self.machine.shown, self.machine.chain.public_key
        exchange, answer = challenge.answer(called, shown, chain, key, secrets.token_bytes(32))
        self.exchanges.append(exchange)
        return 200, answer

    def proof(self, body: bytes) -> Reply:
        exchange, key = self.exchanges[-1], self.machine.device.instance
        proved = challenge.verify_proof(body, exchange, "caller", key, CHAIN.public_key, int(time.time()))
        self.heard.append(proved)
        return 200, self.own_proof(exchange, proved)

    def own_proof(self, exchange: Exchange, proved: challenge.Proved) -> bytes:
        return challenge.prove(
            exchange,
            "callee",
            self.machine.signed,
            self.machine.device.instance,
            proved.certificate.instance_key,
            gateway_url=None,
            ephemeral=secrets.token_bytes(32),
        )


def _missing(body: bytes) -> Reply:
    return 404, b"{}"


@dataclass
class Answering:
    """An HTTP server of a test: where it is, and what came, as path and Host."""

    url: str
    calls: list[tuple[str, str]]
    stopping: threading.Event


@contextmanager
def answering(scripts: dict[str, Script], headers: dict[str, str] | None = None) -> Iterator[Answering]:
    """Serve scripts by path on a free loopback port; a script may wait for the end of the block."""
    stopping = threading.Event()
    calls: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            calls.append((self.path, self.headers.get("Host", "")))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = scripts.get(self.path, _missing)(body)
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # their names

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                return  # the caller had enough

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A script that was told to raise did."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Answering(f"http://127.0.0.1:{server.server_port}", calls, stopping)
        finally:
            stopping.set()
            server.shutdown()
            thread.join()
