"""Where a machine that wants to join knocks: two routes that anybody may call, and that say little to strangers.

Whoever calls has no token yet. What limits them: how often all of them together may ask, how much they may send, and
that a queue is as long as an invitation has tries. A refusal is a code; nothing that came is repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from crow_hooks import CrowError
from crow_plugins.identity.errors import BadJson, InvitationError, JoinMalformed, JoinNewer
from crow_plugins.joining import (
    BAD_REQUEST,
    BUSY,
    OK,
    OVER,
    PATH,
    POST_SIZE_MAX,
    UNKNOWN,
    WAITING,
    InvitationUnknown,
    TooManyAsk,
)
from crow_plugins.registry.invitations import Invitations

CALLS_PER_SECOND = 20.0  # a joiner that waits makes two
CALLS_AT_ONCE = 60.0
BODY_SECONDS = 10.0


class Allowance:
    """So many calls a second, and some more at once after a pause."""

    def __init__(
        self,
        per_second: float = CALLS_PER_SECOND,
        at_once: float = CALLS_AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second, self._at_once, self._clock = per_second, at_once, clock
        self._left, self._since = at_once, clock()

    def take(self) -> bool:
        """Whether one more may be answered now."""
        now = self._clock()
        self._left = min(self._at_once, self._left + (now - self._since) * self._per_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def join_routes(invitations: Invitations, allowance: Allowance | None = None) -> Sequence[BaseRoute]:
    """The routes of one gateway."""
    allowed = allowance or Allowance()

    async def offer(request: Request) -> Response:
        if not allowed.take():
            return _refused(BUSY, TooManyAsk.code)
        return await _answered(invitations.offer, request.path_params["invitation_id"])

    async def ask(request: Request) -> Response:
        if not allowed.take():
            return _refused(BUSY, TooManyAsk.code)
        body = await _body(request)
        return _refused(BAD_REQUEST, JoinMalformed.code) if body is None else await _answered(invitations.take_in, body)

    return [
        Route(PATH + "/{invitation_id:str}", offer, methods=["GET"]),
        Route(PATH, ask, methods=["POST"]),
    ]


async def _answered(work: Callable[..., bytes | None], argument: object) -> Response:
    try:
        answer = await asyncio.to_thread(work, argument)
    except InvitationUnknown as error:
        return _refused(UNKNOWN, error.code)
    except (JoinMalformed, JoinNewer, BadJson) as error:
        return _refused(BAD_REQUEST, error.code)
    except InvitationError as error:
        return _refused(OVER, error.code)
    except CrowError:  # our own trouble, of which a stranger hears nothing but that it may pass
        return _refused(BUSY, TooManyAsk.code)
    if answer is None:
        return JSONResponse({"v": 1, "waiting": True}, WAITING)
    return Response(answer, OK, media_type="application/json")


async def _body(request: Request) -> bytes | None:
    """What was posted, or None when it is too long or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > POST_SIZE_MAX:
                    return None
    except TimeoutError:
        return None
    return bytes(body)


def _refused(status: int, code: str) -> Response:
    return JSONResponse({"v": 1, "refused": code}, status)
