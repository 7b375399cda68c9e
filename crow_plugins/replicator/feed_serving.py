"""This instance's own feed, given to ordinary Hypercore peers over TCP for as long as the command runs."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from crow_hooks import Crow, CrowError, Invalid
from crow_plugins.feed import RemoteProtocolError
from crow_plugins.feed.exchange import FeedEvent
from crow_plugins.feed.replication import Replication
from crow_plugins.identity.keys import KeyPair
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.shelf import ChainFeed, ReadingShelf
from crow_plugins.replicator.stock import Conversation, PeerNotAllowed

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2  # any process of the home may have appended
PUBLIC_KEY_BYTES = 32


class FeedSuspect(CrowError):
    """The feed may be older than what others have of it."""

    code = "feed_suspect"

    def __init__(self) -> None:
        super().__init__(
            "this instance's feed is not given to anybody until it is known what the others have of it; "
            "run crow sync status to see how that stands"
        )


class NotOnlyHere(CrowError):
    """An address beyond this machine, and nobody named who may come."""

    code = "not_only_here"

    def __init__(self) -> None:
        super().__init__(
            "beyond this machine a feed is given to named peers only; add --allow with the public key of each, or "
            "use 127.0.0.1"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, or whom to call."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Place:
        """`HOST:PORT`, with an IPv6 address in brackets. Raises `Invalid`."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
            raise Invalid(f"{text!r} is no address; give it as 127.0.0.1:4977")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def is_here_only(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def public_key(text: str) -> bytes:
    """32 bytes in hex. Raises `Invalid`."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_BYTES:
        raise Invalid("a key is 64 hexadecimal digits; copy it whole")
    return key


class FeedServer:
    """Answers whoever knows the feed's key, or of those only the ones named."""

    def __init__(self, crow: Crow, own: OwnFeed, noise_key: KeyPair, allowed: Collection[bytes]) -> None:
        self._crow, self._own, self._noise_key, self._allowed = crow, own, noise_key, allowed
        self._feeds = {own.key: ChainFeed(own.key, own.manifest, own.instance_id)}
        self._talking: set[Conversation] = set()

    async def run(self, place: Place, ready: Callable[[int], None]) -> None:
        """Until cancelled; `ready` is told the port. Raises `NotOnlyHere`, `FeedSuspect`, `OSError`."""
        if not place.is_here_only and not self._allowed:
            raise NotOnlyHere
        await asyncio.to_thread(self._length)
        server = await asyncio.start_server(self._talk, place.host, place.port)
        async with server:
            ready(int(server.sockets[0].getsockname()[1]))
            await self._watch()

    async def _talk(self, reader: StreamReader, writer: StreamWriter) -> None:
        conversation = Conversation(
            self._own.key, self._work, noise_key=self._noise_key, upload=True, dialled=False, allowed=self._allowed
        )
        self._talking.add(conversation)
        try:
            await conversation.run(reader, writer, _nothing)
        except (RemoteProtocolError, PeerNotAllowed) as error:
            log.warning("a peer was sent away reason=%s", error.code)
        except asyncio.CancelledError:  # the command ends, and the connection with it
            return
        finally:
            self._talking.discard(conversation)
            writer.close()

    async def _watch(self) -> None:
        """Tell the peers when the feed has grown."""
        length = -1
        while True:
            now = await asyncio.to_thread(self._length)
            if now != length:
                length = now
                for conversation in self._talking:
                    conversation.wake()
            await asyncio.sleep(LOOK_SECONDS)

    def _length(self) -> int:
        with self._crow.read() as db:
            if self._own.suspect(db) is not None:
                raise FeedSuspect
            feed = self._own.held(db)
            return 0 if feed is None else feed.head.length

    def _work(self, session: Replication) -> list[FeedEvent]:
        with self._crow.read() as db:
            return session.work(ReadingShelf(db, self._feeds))


def _nothing(events: list[FeedEvent]) -> None:
    """A peer that reads tells us nothing that we keep."""


async def until_stopped(work: asyncio.Task[None], stopped: asyncio.Event) -> None:
    """Let a task run until it ends by itself, or somebody stops it."""
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not work.done():
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        return
    work.result()
