"""Connections over which the head of a request goes along with its body: one packet, so the other side wakes once."""

from __future__ import annotations

from typing import Any

import httpcore2


class OnePacket(httpcore2.AsyncNetworkStream):
    """Holds the first write after a read, a request's head, until the next one, which httpcore makes in any case."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self._head: bytes | None = b""  # None where the head of this request is on its way

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as its inner's
        if self._head == b"":
            self._head = buffer
            return
        held, self._head = self._head or b"", None
        await self._inner.write(held + buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        self._head = b""
        return await self._inner.read(max_bytes, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
