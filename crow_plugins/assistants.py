"""Who may call over HTTP, as FastMCP asks about it: the bearer tokens of `crow token`, and verified callers.

A caller that a middleware has verified already is taken from the request; its token's text alone is nobody's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from fastmcp.server.auth import AccessToken, TokenVerifier
from fastmcp.server.dependencies import get_http_request

from crow_hooks import CrowError
from crow_plugins import bearer, callers
from crow_plugins.store import StoreUnavailable

if TYPE_CHECKING:
    from crow_plugins.host import Host

log = logging.getLogger(__name__)

CLAIM = "crow"  # in a token's claims: the grant's id; a token of somebody else's verifier has none


class AssistantTokens(TokenVerifier):
    """Verifies tokens made by `crow token create`, and knows verified callers; any other string is nobody."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host

    async def verify_token(self, token: str) -> AccessToken | None:
        caller = _verified_caller()
        if caller is not None:
            return _access_of(caller) if caller.token == token else None
        now = self._host.now()
        try:
            grant = bearer.verify(self._host.store.glance, token, now=now)
            if grant is None:
                return None
            if grant.stale(now):
                await asyncio.to_thread(self._note_use, grant, now)
        except CrowError as error:
            # FastMCP answers None with 401: a store that cannot be asked lets nobody in.
            log.error("token not verified reason=%s", error)
            return None
        return AccessToken(
            token=token,
            client_id=grant.id,
            scopes=list(grant.scopes),
            expires_at=grant.expires_at,
            claims={CLAIM: grant.id, "label": grant.label},
        )

    def _note_use(self, grant: bearer.Grant, now: int) -> None:
        """When a token was used last is only shown: a disk that is full keeps nobody from reading."""
        try:
            with self._host.transaction() as transaction:
                bearer.used(transaction.db, grant, now=now)
        except StoreUnavailable as error:
            log.info("when a token was used is not kept reason=%s", error)


def _verified_caller() -> callers.Caller | None:
    try:
        return callers.caller_in(get_http_request().scope)
    except RuntimeError:  # asked outside any request
        return None


def _access_of(caller: callers.Caller) -> AccessToken:
    return AccessToken(
        token=caller.token,
        client_id=caller.instance_id,  # the same for every token: a session belongs to the instance
        scopes=list(caller.scopes),
        expires_at=caller.expires_at,
        claims={callers.CLAIM: caller.instance_id},
    )
