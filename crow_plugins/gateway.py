"""The gateway: one installation answering on one address, until it is told to stop.

MCP at `/mcp` (and at `/router/mcp`, as older clients call it), `/health`, and whatever routes plugins add.
One gateway runs in a home at a time; it holds a lock that dies with it, and `gateway.json` says where it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from crow_hooks import CrowError
from crow_plugins.config import DEFAULT_HOST, DEFAULT_PORT, PORT_MAX, Home
from crow_plugins.files import FileFault, write_private
from crow_plugins.logs import kept
from crow_plugins.packets import HttpProtocol
from crow_plugins.running import ADDRESS_NAMES, Running, announced
from crow_plugins.uncollected import uncollected

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from crow_plugins.host import Host

log = logging.getLogger(__name__)

STOP_SECONDS = 3  # what a stop waits for answers under way; streams that stay open are cut after it
BACKLOG = 2048
WEBSOCKET_MESSAGE_BYTES_MAX = 1 << 20  # held in memory before anybody looks who sent it
SWITCH_SECONDS = 0.001  # a thread that comes back from SQLite waits so long for one that is busy, not five times
LOCK_TRIES = 20
LOCK_WAIT_SECONDS = 0.01


class GatewayRunning(CrowError):
    """Another gateway runs in this home."""

    code = "gateway_running"

    def __init__(self, home: Path, pid: int | None, to_go_on: str | None = None) -> None:
        """`to_go_on` is what to do once it is stopped, for whom its address is of no use."""
        known = f"process {pid}" if pid else "another process"
        how = f" with Ctrl-C where it runs, or: kill {pid}" if pid else " with Ctrl-C where it runs"
        advice = "stop it first, or use its address" if to_go_on is None else f"stop it{how}; then {to_go_on}"
        super().__init__(f"{known} runs the gateway of {home} already; {advice}")


class AddressTaken(CrowError):
    """The address cannot be listened on."""

    code = "address_taken"

    def __init__(self, host: str, port: int, reason: str, *, is_ours: bool = True) -> None:
        """`is_ours` is False where no port would do, since the address is not one of this machine."""
        advice = "choose another with --port, or --port 0 for any" if is_ours else "give an address of this machine"
        super().__init__(f"cannot listen on {host}:{port}: {reason}; {advice}")


def application(host: Host, names: Sequence[str] = (), *, any_address: bool = False) -> ASGIApp:
    """The ASGI application; `names` are the host names it answers to beside the loopback ones."""
    from crow_plugins.guard import HostAndOriginGuard  # importing FastMCP takes longer than the other commands do
    from crow_plugins.layers import around_messages, around_requests

    around_messages(host.server, host)
    app = host.server.http_app(path="/mcp")
    around_requests(app, host)
    said = host.services.offered(ADDRESS_NAMES, host.is_enabled)
    app.add_middleware(HostAndOriginGuard, names=[*names, *(said() if said else ())], any_address=any_address)
    return Alias(app, {"/router/mcp": "/mcp"})


class Alias:
    """Serves some paths as others."""

    def __init__(self, app: ASGIApp, paths: dict[str, str]) -> None:
        self._app, self._paths = app, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._paths.get(scope.get("path", ""))
        if path is not None:
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)


def serve(
    host: Host,
    *,
    address: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    names: Sequence[str] = (),
    ready: Callable[[Running], None],
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called once it answers. Raises `GatewayRunning`, `AddressTaken`."""
    with only_gateway(host.home), _listening(address, port) as listener, kept(host.home.gateway_log):
        plugins = tuple(plugin.name for plugin in host.manifest.plugins)
        running = Running(os.getpid(), address, listener.getsockname()[1], plugins)
        with uncollected():
            app = application(host, [address, *names], any_address=not is_loopback(address))

        def announce() -> None:
            gc.freeze()  # all that stays for good: no collection walks through it again
            sys.setswitchinterval(SWITCH_SECONDS)
            write_private(host.home.gateway, json.dumps(asdict(running)).encode())
            log.info("gateway ready address=%s pid=%d", running.mcp, running.pid)
            ready(running)

        asyncio.run(_serve_until_told(host, app, listener, announce))
        log.info("gateway stopped pid=%d", running.pid)


@contextmanager
def only_gateway(home: Home, to_go_on: str | None = None) -> Iterator[None]:
    """Hold the lock of the home's gateway; the kernel lets go of it however the process ends.

    Raises `FileFault`, and `GatewayRunning`, which says with `to_go_on` what to do once that one is stopped.
    """
    try:
        descriptor = os.open(home.gateway_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FileFault(home.gateway_lock, error) from error
    with os.fdopen(descriptor, "r+b") as lock:
        if not _locked(lock.fileno()):
            running = announced(home)
            raise GatewayRunning(home.folder, running.pid if running else None, to_go_on)
        try:
            yield
        finally:
            home.gateway.unlink(missing_ok=True)


def _locked(lock: int) -> bool:
    """Take a lock, whose holder keeps it for long; who only looks whether there is one shares it for a moment."""
    for _ in range(LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(LOCK_WAIT_SECONDS)
    return False


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    if not 0 <= port <= PORT_MAX:  # the system would take it modulo 65,536
        raise AddressTaken(host, port, "there is no such port")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # The protocol said outright: asyncio turns Nagle's delay off only where it sees TCP.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        is_ours = not isinstance(error, socket.gaierror) and error.errno != errno.EADDRNOTAVAIL
        raise AddressTaken(host, port, error.strerror or str(error), is_ours=is_ours) from error
    with listener:
        yield listener


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Ends what the other side is closing: uvicorn would say goodbye, fail at it, and leave all the rest as it is."""

    def shutdown(self) -> None:
        if self.conn.state is State.CLOSING:
            self.transport.abort()
        else:
            super().shutdown()


class Server(uvicorn.Server):
    """Says when it answers and when no more, and leaves signals to us: uvicorn would end the process by the signal."""

    def __init__(self, config: uvicorn.Config, host: Host, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._host, self._announce = host, announce
        self._told = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._host.told_to_stop()  # before any connection ends
        self._host.home.gateway.unlink(missing_ok=True)  # before the plugins stop, who may keep it elsewhere, too
        await super().shutdown(sockets)
        if not self.lifespan.shutdown_event.is_set():  # uvicorn passes the plugins over when it is asked twice
            await self.lifespan.shutdown()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Sleep until told to stop; uvicorn would look ten times a second, and renew the date that answers carry."""
        await self._told.wait()

    def stop(self) -> None:
        if self.should_exit and not self.force_exit:
            log.warning("told again to stop: what is still open is cut, and the plugins end what they have begun")
            self.force_exit = True
        self.should_exit = True
        self._told.set()


async def _serve_until_told(host: Host, app: ASGIApp, listener: socket.socket, announce: Callable[[], None]) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=WEBSOCKET_MESSAGE_BYTES_MAX,
        ws_ping_interval=None,  # sync has signs of life of its own
        ws_per_message_deflate=False,  # what syncs is encrypted: it does not get smaller
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = Server(config, host, announce)
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(RuntimeError):  # a thread that is not the main one cannot; its owner stops it
            loop.add_signal_handler(signal_number, server.stop)
    await server.serve([listener])
