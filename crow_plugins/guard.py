"""The gateway's doorkeeper: whose name a request may call us by, and which pages may call at all.

A web page that a person visits can make their browser send requests to this machine. It cannot choose
the Host that its name resolves under, nor hide the Origin it comes from; so both are checked, for
requests and for WebSockets alike, before anything else looks at them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
POLICY_VIOLATION = 1008  # the close code for a WebSocket that is not welcome


class HostAndOriginGuard:
    """Passes on what is addressed to one of `names`, from no page or from a page of one of them.

    With `any_address`, an IP address in place of a name passes too: a gateway bound beyond loopback does not
    know all its addresses, and a page that lies about names cannot lie about those.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], *, any_address: bool = False) -> None:
        self._app = app
        self._names = LOOPBACK | {name.lower().strip("[]") for name in names}
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            status, sentence = refusal
            await PlainTextResponse(sentence + "\n", status)(scope, receive, send)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._known(f"//{hosts[0]}"):
            return 421, "This gateway does not answer to that host name; start it with --allow-host NAME."
        if len(origins) > 1 or (origins and not self._known(origins[0])):
            return 403, "Pages of other sites may not call this gateway."
        return None

    def _known(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            name, _ = parts.hostname or "", parts.port
        except ValueError:
            return False
        if parts.username is not None or parts.path or not name:
            return False
        return name in self._names or (self._any_address and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
