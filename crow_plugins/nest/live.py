"""Server-sent events: a browser is told that something changed, and loads its page anew by itself.

What changed is not said; a page knows best how to show itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from starlette.responses import Response, StreamingResponse

from crow_plugins.files import stamp
from crow_plugins.nest.web import HEADERS, Visit

LOOK_SECONDS = 0.5
SILENCE_SECONDS = 15.0
STREAMS_MAX = 32
SECONDS_MAX = 1800  # a browser connects again by itself
BUSY = 503


class Live:
    """Tells the open pages; `sample` runs at every look, so that what is measured is measured while somebody looks."""

    def __init__(
        self, databases: Sequence[Path], besides: Callable[[], object], sample: Callable[[], Awaitable[None]]
    ) -> None:
        """`besides` gives what is looked at beside the databases: who is connected, which plugins are on."""
        self._logs = [path.with_name(f"{path.name}-wal") for path in databases]
        self._besides, self._sample = besides, sample
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
                    await self._sample()
                    yield "event: changed\ndata: 1\n\n"
                elif silent >= SILENCE_SECONDS:
                    silent = 0.0
                    await self._sample()
                    yield ": still here\n\n"
        finally:
            self._streams -= 1

    def _stamp(self) -> tuple[object, ...]:
        return (*map(stamp, self._logs), self._besides())
