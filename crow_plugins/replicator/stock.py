"""One feed and one ordinary Hypercore peer over TCP: no certificates, only the handshake and the feed's key.

Whoever knows a feed's key may read it, which is all that Hypercore asks; here a list of peers' keys may ask for more.
What the feed is kept in is the caller's: `work` does a turn of the session, on a worker thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Collection

from crow_hooks import CrowError
from crow_plugins.feed.exchange import FeedEvent
from crow_plugins.feed.replication import Replication
from crow_plugins.feed.secret_stream import RANDOM_BYTES, Ended, Secured
from crow_plugins.feed.wire import KeepAlive, Wire
from crow_plugins.identity.keys import KeyPair

PIECE_BYTES = 64 * 1024
KEEP_ALIVE_SECONDS = 5.0  # npm's own

Work = Callable[[Replication], list[FeedEvent]]


class PeerNotAllowed(CrowError):
    """A peer whose key is not on the list."""

    code = "peer_not_allowed"

    def __init__(self) -> None:
        super().__init__("the peer's key is not one that --allow names; add it, or let the peer use the key you named")


class Conversation:
    """One connection about one feed, from its first byte to its end."""

    def __init__(
        self,
        key: bytes,
        work: Work,
        *,
        noise_key: KeyPair,
        upload: bool,
        dialled: bool,
        allowed: Collection[bytes] = (),
    ) -> None:
        """`allowed` are the peers' public keys; empty, anybody who knows the feed's key is welcome."""
        wire = Wire(initiator=dialled, static=noise_key, randomness=os.urandom(RANDOM_BYTES))
        self.session = Replication(wire)
        self._key, self._work, self._upload, self._allowed = key, work, upload, frozenset(allowed)
        self._woken = asyncio.Event()
        self.ended = False

    def wake(self) -> None:
        """The feed has changed. On the event loop."""
        self._woken.set()

    async def run(self, reader: StreamReader, writer: StreamWriter, heard: Callable[[list[FeedEvent]], None]) -> None:
        """Until an end that either side makes; `heard` is told what came of each turn.

        Raises a `RemoteProtocolError` or `PeerNotAllowed`; a connection that breaks is an end like another.
        """
        opened: socket.socket = writer.get_extra_info("socket")
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reading = asyncio.ensure_future(reader.read(PIECE_BYTES))
        woken = asyncio.ensure_future(self._woken.wait())
        try:
            writer.write(self.session.data_to_send())
            while not self.ended:
                await asyncio.wait({reading, woken}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                data = None
                if reading.done():
                    data = reading.result()
                    reading = asyncio.ensure_future(reader.read(PIECE_BYTES))
                elif woken.done():
                    self._woken.clear()
                    woken = asyncio.ensure_future(self._woken.wait())
                elif self.session.wire.session is not None:
                    self.session.say(KeepAlive())
                await self._turn(data, writer, heard)
        except (ConnectionError, TimeoutError):
            return
        finally:
            for task in (reading, woken):
                task.cancel()
            await asyncio.gather(reading, woken, return_exceptions=True)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _turn(self, data: bytes | None, writer: StreamWriter, heard: Callable[[list[FeedEvent]], None]) -> None:
        if data is not None:
            self.session.receive_data(data)
            self._hear()
        while not self.ended:
            heard(await asyncio.to_thread(self._work, self.session))
            writer.write(self.session.data_to_send())
            await writer.drain()
            if not self.session.has_work:
                return

    def _hear(self) -> None:
        while (event := self.session.next_event()) is not None:
            if isinstance(event, Secured):
                self._admit()
            elif isinstance(event, Ended):
                self.ended = True

    def _admit(self) -> None:
        session = self.session.wire.session
        assert session is not None
        if self._allowed and session.remote_public_key not in self._allowed:
            raise PeerNotAllowed
        self.session.offer(self._key, upload=self._upload)
