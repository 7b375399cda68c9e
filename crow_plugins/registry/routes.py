"""`/.well-known/crow`: where an instance shows who it is, to strangers a little and to its chain all.

Anybody may call. A stranger is shown the certificate without its feed key and nothing else; what is refused says a
code.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from crow_hooks import Crow, CrowError
from crow_plugins.identity import certificate, challenge
from crow_plugins.identity.challenge import OpenExchanges, Proved
from crow_plugins.keyring import Keyring
from crow_plugins.registry.probing import PATH, PROOF_PATH
from crow_plugins.registry.registering import Registering

log = logging.getLogger(__name__)

CALLS_PER_SECOND, CALLS_AT_ONCE = 50.0, 200.0
BODY_SECONDS = 5.0
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
PROXY_HEADERS = frozenset({"forwarded", "x-forwarded-for", "x-real-ip"})
BAD_REQUEST, FORBIDDEN, TOO_LARGE, BUSY, UNAVAILABLE = 400, 403, 413, 429, 503


class WellKnown:
    """The two routes of one instance."""

    def __init__(self, crow: Crow, keyring: Keyring, registering: Registering) -> None:
        self._crow, self._keyring, self._registering = crow, keyring, registering
        self._open = OpenExchanges()
        self._left, self._since = CALLS_AT_ONCE, time.monotonic()

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route(PATH, self._hello, methods=["POST"]),
            Route(PROOF_PATH, self._proof, methods=["POST"]),
        ]

    async def _hello(self, request: Request) -> Response:
        body = await self._body(request, challenge.HELLO_SIZE_MAX)
        if isinstance(body, Response):
            return body
        try:
            called = challenge.read_hello(body, self._crow.instance.id)
            shown = certificate.public(self._keyring.identity.certificate.encode())
            key, chain = self._keyring.device.instance, bytes.fromhex(self._keyring.identity.chain)
            own_challenge = secrets.token_bytes(challenge.CHALLENGE_BYTES)
            exchange, answer = challenge.answer(called, shown, chain, key, own_challenge)
        except CrowError as error:
            return _refused(BAD_REQUEST, error.code)
        self._open.add(exchange)
        return Response(answer, media_type="application/json")

    async def _proof(self, request: Request) -> Response:
        body = await self._body(request, challenge.PROOF_SIZE_MAX)
        if isinstance(body, Response):
            return body
        key, chain = self._keyring.device.instance, bytes.fromhex(self._keyring.identity.chain)
        try:
            exchange = self._open.take(body)
            proved = challenge.verify_proof(body, exchange, "caller", key, chain, self._crow.now())
            await asyncio.to_thread(self._called, proved, request)
        except CrowError as error:
            log.warning("an instance was not registered reason=%s", error.code)
            return _refused(FORBIDDEN, error.code)
        answer = challenge.prove(
            exchange,
            "callee",
            self._keyring.identity.certificate.encode(),
            key,
            proved.certificate.instance_key,
            gateway_url=None,
            ephemeral=secrets.token_bytes(32),
        )
        return Response(answer, media_type="application/json")

    def _called(self, proved: Proved, request: Request) -> None:
        self._registering.called(proved, same_machine=_is_same_machine(request))

    async def _body(self, request: Request, size_max: int) -> bytes | Response:
        if self._keyring.locked:
            return _refused(UNAVAILABLE, "locked")
        if not self._may_call():
            return _refused(BUSY, "too_many_calls")
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    body += part
                    if len(body) > size_max:
                        return _refused(TOO_LARGE, "too_large")
        except TimeoutError:
            return _refused(BAD_REQUEST, "too_slow")
        return bytes(body)

    def _may_call(self) -> bool:
        now = time.monotonic()
        self._left = min(CALLS_AT_ONCE, self._left + (now - self._since) * CALLS_PER_SECOND)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _refused(status: int, code: str) -> Response:
    return JSONResponse({"v": 1, "refused": code}, status)


def _is_same_machine(request: Request) -> bool:
    """Whether the caller is on this machine: not behind a proxy here, which shows in how it was called."""
    called = urlsplit(f"//{request.headers.get('host', '')}").hostname
    if called not in LOOPBACK_NAMES or not PROXY_HEADERS.isdisjoint(request.headers.keys()):
        return False
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
