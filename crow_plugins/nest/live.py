"""Server-sent events: a browser is told that something changed, and loads its page anew by itself.

What changed is not said; a page knows best how to show itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.responses import Response, StreamingResponse

from crow_plugins.nest.web import HEADERS, Visit

LOOK_SECONDS = 0.5
SILENCE_SECONDS = 15.0
STREAMS_MAX = 32
SECONDS_MAX = 1800  # a browser connects again by itself
BUSY = 503


class Live:
    def __init__(self, database: Path, besides: Callable[[], object]) -> None:
        """`besides` gives what is looked at beside the database: who is connected, which plugins are on."""
        self._log, self._besides = database.with_name(f"{database.name}-wal"), besides
        self._streams = 0

    async def stream(self, visit: Visit) -> Response:
        if self._streams >= STREAMS_MAX:
            return Response(status_code=BUSY, headers=HEADERS)
        return StreamingResponse(self._changes(), media_type="text/event-stream", headers=HEADERS)

    async def _changes(self) -> AsyncIterator[str]:
        self._streams += 1
        try:
            seen, silent, lasted = self._stamp(), 0.0, 0.0
            yield "retry: 2000\n\n"
            while lasted < SECONDS_MAX:
                await asyncio.sleep(LOOK_SECONDS)
                lasted, silent = lasted + LOOK_SECONDS, silent + LOOK_SECONDS
                now = self._stamp()
                if now != seen:
                    seen, silent = now, 0.0
                    yield "event: changed\ndata: 1\n\n"
                elif silent >= SILENCE_SECONDS:
                    silent = 0.0
                    yield ": still here\n\n"
        finally:
            self._streams -= 1

    def _stamp(self) -> tuple[object, object]:
        try:
            status = self._log.stat()
        except OSError:
            return None, self._besides()
        return (status.st_size, status.st_mtime_ns), self._besides()
