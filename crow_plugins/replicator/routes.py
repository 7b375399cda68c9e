"""`/sync`: where other instances of the chain connect. Who they are, the handshake shows; nothing is said before."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from crow_plugins.limits import CONNECTIONS_MAX
from crow_plugins.replicator.sync import InstanceSyncManager
from crow_plugins.replicator.transport import PATH, Accepted

TRY_AGAIN_LATER = 1013


def routes(sync: InstanceSyncManager) -> Sequence[BaseRoute]:
    open_now: set[WebSocket] = set()

    async def accept(websocket: WebSocket) -> None:
        if len(open_now) >= CONNECTIONS_MAX or not sync.own.may_sign:
            await websocket.close(TRY_AGAIN_LATER)
            return
        open_now.add(websocket)
        try:
            await websocket.accept()
            await sync.converse(Accepted(websocket), dialled=False)
        finally:
            open_now.discard(websocket)

    return [WebSocketRoute(PATH, accept)]
