"""The wire: one connection between two instances, from bytes of a transport to messages on channels, and back.

A secret stream with channels in it. After `Secured` its caller decides whether the peer is welcome: nothing of the
peer is decrypted before the next event is asked for. Bytes in, events out; events in, bytes out. Which transport
carries the bytes, what messages say, and time are no matter of this file: an idle peer's bytes simply do not come.

    wire = Wire(initiator=True, static=key, randomness=os.urandom(RANDOM_BYTES))
    send(wire.data_to_send())
    wire.receive_data(received)
    while (event := wire.next_event()) is not None:
        send(wire.send(*answers(event)))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crow_plugins.feed import channels, messages
from crow_plugins.feed.channels import Channels
from crow_plugins.feed.errors import RemoteProtocolError
from crow_plugins.feed.noise import Session
from crow_plugins.feed.secret_stream import Ended, SecretStream, Secured
from crow_plugins.identity.keys import KeyPair


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Says only that this side lives; the peer's caller sees bytes come, and no event."""


Event = Secured | channels.Event | Ended
Command = KeepAlive | channels.Command


class Wire:
    """One side of one connection. What it raises of the peer it raises ever after: the connection is done for."""

    def __init__(
        self, *, initiator: bool, static: KeyPair, randomness: bytes, aliases: Mapping[str, str] = messages.ALIASES
    ) -> None:
        """`randomness` is `RANDOM_BYTES` from the system's generator; `initiator` is who dialled."""
        self._stream = SecretStream(initiator=initiator, static=static, randomness=randomness)
        self._channels = Channels(aliases)

    @property
    def initiator(self) -> bool:
        return self._stream.initiator

    @property
    def session(self) -> Session | None:
        """Who the peer is and the hash that names the connection, from `Secured` on."""
        return self._stream.session

    def receive_data(self, data: bytes) -> None:
        """Take what came; no bytes at all mean the end. Ask for events until there are none before taking more.

        A call of `next_event` may pass over all that is here: hand over 64 KiB at a time, and none takes 20 ms but
        for what a single large frame costs.
        """
        self._stream.receive_data(data)

    def next_event(self) -> Event | None:
        """What happened next; None when more bytes are needed. Raises a `RemoteProtocolError`, then always."""
        try:
            while (event := self._channels.next_event()) is None:
                heard = self._stream.next_event()
                if not isinstance(heard, bytes):
                    return heard
                self._channels.receive(heard)
        except RemoteProtocolError as error:
            self.refuse(error)
            raise
        return event

    def send(self, *commands: Command) -> bytes:
        """Bytes for the peer: all that is due, then the commands, as few frames as hold them.

        Agreeing to an offer gives events at once: ask for them. Raises a `LocalProtocolError`; what stood before the
        refused command is then still due.
        """
        self._stream.check_sending()
        frames = self._channels.send(*(command for command in commands if not isinstance(command, KeepAlive)))
        silent = any(isinstance(command, KeepAlive) for command in commands) and not frames
        return self._stream.send(*([b""] if silent else frames))

    def data_to_send(self) -> bytes:
        """What is due without any command: ask at the beginning, and whenever events have been handled."""
        answers = self._channels.due()
        return self._stream.send(*answers) if answers else self._stream.data_to_send()

    def refuse(self, error: RemoteProtocolError) -> None:
        """End it because of what a message meant: this error is raised from here on, and nothing more is said."""
        self._stream.fail(error)
        self._channels.fail(error)
