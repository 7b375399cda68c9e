"""Who may call over HTTP: the bearer tokens of `crow token`, as FastMCP asks about them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from fastmcp.server.auth import AccessToken, TokenVerifier

from crow_hooks import CrowError
from crow_plugins import bearer

if TYPE_CHECKING:
    from crow_plugins.host import Host

log = logging.getLogger(__name__)

CLAIM = "crow"  # in a token's claims: the grant's id; a token of somebody else's verifier has none


class AssistantTokens(TokenVerifier):
    """Verifies tokens made by `crow token create`; any other string is nobody."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            return await asyncio.to_thread(self._verify, token)
        except CrowError as error:
            # FastMCP answers None with 401: a store that cannot be asked lets nobody in.
            log.error("token not verified reason=%s", error)
            return None

    def _verify(self, token: str) -> AccessToken | None:
        now = self._host.now()
        with self._host.read() as db:
            grant = bearer.verify(db, token, now=now)
        if grant is None:
            return None
        if grant.stale(now):
            with self._host.transaction() as transaction:
                bearer.used(transaction.db, grant, now=now)
        return AccessToken(
            token=token,
            client_id=grant.id,
            scopes=list(grant.scopes),
            expires_at=grant.expires_at,
            claims={CLAIM: grant.id, "label": grant.label},
        )
