"""The door of federation in HTTP: around the whole application, before anything else sees a request.

A request with a token of another instance is read whole, judged, and then either answered here or handed on as if it
had just come. Every answer to it is signed, so that the caller knows who answered. Requests with no token
or another kind pass untouched.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.responses import Response

from crow_hooks import CrowError, Data
from crow_plugins import token
from crow_plugins.callers import Caller, introduce
from crow_plugins.federation.audit import Audit
from crow_plugins.federation.errors import CallDenied, Closed, InsufficientScope, NotExposed, TooManyCalls
from crow_plugins.federation.inbound import Admitted, Inbound, Peer, Reads
from crow_plugins.federation.message import CALL_TOOL, BadMessage, read_message
from crow_plugins.federation.telling import HEARD_HEADER, REVOCATIONS_HEADER

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 1 << 20
BODY_SECONDS_MAX = 30
ADMITTED_KEY = "crow.federation"  # in a request's scope
PROOF_HEADER, TIME_HEADER = b"crow-proof", b"crow-time"
HEARD, REVOCATIONS = HEARD_HEADER.encode(), REVOCATIONS_HEADER.encode()
OF_THE_CLOCK = (token.TokenExpired, token.TokenNotYetValid, token.TokenOfEarlierRun)


class BodyTooLarge(CrowError):
    """A request with a body past the limit."""

    code = "body_too_large"

    def __init__(self) -> None:
        super().__init__(f"a call of another instance has at most {BODY_BYTES_MAX} bytes; ask for less at once")


class BodyTooSlow(CrowError):
    """A request whose body did not come."""

    code = "body_too_slow"

    def __init__(self) -> None:
        super().__init__(f"the body did not come within {BODY_SECONDS_MAX} seconds; call again")


class MethodNotAllowed(CrowError):
    """Other instances keep no stream open here."""

    code = "method_not_allowed"

    def __init__(self) -> None:
        super().__init__("other instances call by POST; there is no stream for them")


STATUSES: dict[type[CrowError], int] = {
    token.TokenError: 401,
    NotExposed: 403,
    InsufficientScope: 403,
    Closed: 403,
    CallDenied: 403,
    BadMessage: 400,
    MethodNotAllowed: 405,
    BodyTooSlow: 408,
    BodyTooLarge: 413,
    TooManyCalls: 429,
}
# Every client of the handshake era asks for a stream; and a flood must not push others out of the record.
UNRECORDED = (MethodNotAllowed, TooManyCalls)
UNAVAILABLE = 503  # every other error: a store or a key that cannot be used


class Disconnected(Exception):
    """The caller went away before its request was complete."""


class FederationDoor:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, inbound: Inbound) -> None:
        self._app, self._inbound = app, inbound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        values = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        if scope["type"] != "http" or not values:
            await self._app(scope, receive, send)
            return
        try:
            peer = self._inbound.identify(values)
        except CrowError as error:
            if not isinstance(error, UNRECORDED):
                _record(self._inbound.audit, "", "", None, error.code, 0.0)
            await _refusal(error)(scope, receive, send)
            return
        if peer is None:
            await self._app(scope, receive, send)
        else:
            heard = next((value.decode("latin-1") for name, value in scope["headers"] if name == HEARD), None)
            proving = Proving(send, self._inbound, peer.claims.jti, self._inbound.revocations_for(heard))
            await self._serve(peer, scope, receive, proving)

    async def _serve(self, peer: Peer, scope: Scope, receive: Receive, send: Proving) -> None:
        begun, body = time.perf_counter(), b""
        try:
            _check_place(scope)
            body = await _read(receive)
            admitted = await self._inbound.admit(peer, scope["method"], body, _reads(scope))
        except Disconnected:
            return
        except CrowError as error:
            if isinstance(error, OF_THE_CLOCK):
                send.time = self._inbound.crow.now()
            if not isinstance(error, UNRECORDED):
                subject, arguments = _subject(error, body)
                _record(self._inbound.audit, peer.id, subject, arguments, error.code, time.perf_counter() - begun)
            await _refusal(error)(scope, receive, send)
            return
        try:
            await self._app(_introduced(scope, peer, values=admitted), _replayed(body, receive), send)
        finally:
            self._record_end(peer, admitted, time.perf_counter() - begun)

    def _record_end(self, peer: Peer, admitted: Admitted, seconds: float) -> None:
        message = admitted.message
        if message.method == CALL_TOOL:
            _record(
                self._inbound.audit, peer.id, message.tool, message.arguments, admitted.status, seconds, allowed=True
            )


class Proving:
    """Sends an answer signed by this instance; with `time`, an answer that tells the caller the hour.

    `revocations` go along: they are signed by themselves.
    """

    def __init__(self, send: Send, inbound: Inbound, jti: bytes, revocations: str | None = None) -> None:
        self._send, self._inbound, self._jti, self._revocations = send, inbound, jti, revocations
        self.time: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            try:
                signed = token.proof(self._inbound.crow.sign, jti=self._jti, status=message["status"], time=self.time)
            except CrowError as error:  # a locked key: unsigned, the answer is refused by whoever called
                log.error("answer not signed reason=%s", error)
            else:
                told = [] if self.time is None else [(TIME_HEADER, str(self.time).encode())]
                if self._revocations is not None:
                    told.append((REVOCATIONS, self._revocations.encode()))
                headers = [*message.get("headers", ()), (PROOF_HEADER, signed.encode()), *told]
                message = {**message, "headers": headers}
        await self._send(message)


def _introduced(scope: Scope, peer: Peer, *, values: Admitted) -> Scope:
    authorization = next(value for name, value in scope["headers"] if name == b"authorization")
    caller = Caller(
        authorization[len(b"Bearer ") :].decode(), peer.id, tuple(sorted(peer.claims.scopes)), peer.claims.expires_at
    )
    scope = {**scope, ADMITTED_KEY: values}
    introduce(scope, caller)
    return scope


def _check_place(scope: Scope) -> None:
    """A peer's token opens the MCP endpoint alone."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if path != scope["app"].state.path:
        raise Closed
    if scope["method"] not in ("POST", "DELETE"):
        raise MethodNotAllowed


def _reads(scope: Scope) -> Reads:
    """Asks the server that answers, ours or the one Crow is mounted on."""
    server = scope["app"].state.fastmcp_server

    async def reads(name: str) -> bool | None:
        tool = await server.get_tool(name)
        return None if tool is None else bool(tool.annotations and tool.annotations.read_only_hint)

    return reads


async def _read(receive: Receive) -> bytes:
    """The whole body. Raises `BodyTooLarge`, `BodyTooSlow`, `Disconnected`."""
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > BODY_BYTES_MAX:
                    raise BodyTooLarge
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError as error:
        raise BodyTooSlow from error


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give the body once, then what really comes: so a caller that goes away is noticed."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed


def _refusal(error: CrowError) -> Response:
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), UNAVAILABLE)
    body = {"error": _oauth_error(status), "code": error.code, "error_description": str(error)}
    return Response(json.dumps(body), status, _headers(error, status), "application/json")


def _oauth_error(status: int) -> str:
    return {401: "invalid_token", 403: "insufficient_scope"}.get(status, "invalid_request")


def _headers(error: CrowError, status: int) -> Mapping[str, str]:
    if status == 401:
        return {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{error}"'}
    if status == 403:
        return {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    if status == 405:
        return {"Allow": "POST, DELETE"}
    if isinstance(error, TooManyCalls):
        return {"Retry-After": str(error.seconds)}
    return {"Retry-After": "5"} if status == UNAVAILABLE else {}


def _subject(error: CrowError, body: bytes) -> tuple[str, Data | None]:
    """What was asked, for the record; nothing where the token does not vouch for the body."""
    if isinstance(error, token.TokenError) or not body:
        return "", None
    try:
        message = read_message(body)
    except BadMessage:
        return "", None
    return message.subject, message.arguments


def _record(
    audit: Audit,
    peer: str,
    tool: str,
    arguments: Data | None,
    status: str,
    seconds: float,
    *,
    allowed: bool = False,
) -> None:
    audit.record(
        direction="inbound",
        peer=peer,
        tool=tool,
        arguments=arguments,
        decision="allowed" if allowed else "denied",
        status=status,
        milliseconds=seconds * 1000,
    )
