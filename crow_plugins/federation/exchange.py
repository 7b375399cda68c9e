"""One question to another instance and its answer: an MCP message that stands by itself, as a POST.

The MCP SDK's transport sends it and reads what comes, a JSON object or a stream of events of which the last is the
answer. The session that FastMCP's client puts around it is left out: its tasks and queues cost as much as the exchange
itself, and a message of this era needs none. There is no public way to use the transport alone, so this one module
calls `_handle_post_request`.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2
import mcp_types
from mcp.client.streamable_http import RequestContext, StreamableHTTPTransport
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    encode_header_value,
)
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse
from mcp_types.methods import parse_server_result
from pydantic import ValidationError

from crow_plugins import __version__
from crow_plugins.outbound.calling import CallError

log = logging.getLogger(__name__)

Progress = Callable[[float, float | None, str | None], Awaitable[None]]  # done, of how much, and a word about it

PROTOCOL = "2026-07-28"  # the first whose messages stand by themselves; every gateway of Crow speaks it
EVENT_BYTES_MAX = 2**20
META: Mapping[str, object] = {
    mcp_types.PROTOCOL_VERSION_META_KEY: PROTOCOL,
    mcp_types.CLIENT_INFO_META_KEY: {"name": "crow", "version": __version__},
    mcp_types.CLIENT_CAPABILITIES_META_KEY: {},
}


class NotMcp(CallError):
    """What came is no answer to what was asked."""

    code = "not_mcp"

    def __init__(self) -> None:
        super().__init__("what came back is no answer of an instance to this call; check the address, and its version")


class Exchange:
    """Questions to one MCP endpoint, any number at once; none takes another one's answer."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._transport = StreamableHTTPTransport(url, max_sse_event_size=EVENT_BYTES_MAX)
        self._numbers = itertools.count(1)

    async def ask(self, method: str, parameters: Mapping[str, object], progress: Progress | None = None) -> Any:
        """The MCP result, held against its form. Who is cancelled meanwhile leaves the connection closed, which cancels
        the call there. Raises `NotMcp`, and what the client raises.
        """
        number = next(self._numbers)
        meta = META if progress is None else {**META, "progressToken": number}
        message = JSONRPCRequest(jsonrpc="2.0", id=number, method=method, params={**parameters, "_meta": meta})
        metadata = ClientMessageMetadata(headers=_headers(method, parameters))
        answer = Answer(number, progress)
        context = RequestContext(
            client=self._client,
            session_id=None,
            session_message=SessionMessage(message),
            metadata=metadata,
            read_stream_writer=answer,  # type: ignore[arg-type]  # it only sends
        )
        await self._transport._handle_post_request(context)
        return answer.result(method)


class Answer:
    """Takes the place of the session's stream: tells progress as it comes, and keeps what ends the call."""

    def __init__(self, number: int, progress: Progress | None) -> None:
        self._number, self._progress = number, progress
        self._last: object = None

    async def send(self, came: SessionMessage | Exception) -> None:
        message = came.message if isinstance(came, SessionMessage) else came
        if not isinstance(message, JSONRPCNotification):
            self._last = message
        elif self._progress is not None and message.method == "notifications/progress":
            await self._tell(self._progress, message.params or {})

    def result(self, method: str) -> Any:
        """Raises `NotMcp` for an error, for another question's answer, and for what has no form of an answer."""
        if not isinstance(self._last, JSONRPCResponse) or self._last.id != self._number:
            raise NotMcp
        try:
            return parse_server_result(method, PROTOCOL, self._last.result)
        except ValidationError:
            raise NotMcp from None  # not from it: it quotes what came

    async def _tell(self, progress: Progress, said: Mapping[str, Any]) -> None:
        """What does not fit is left out, and who listens cannot break the call."""
        try:
            found = mcp_types.ProgressNotificationParams.model_validate(said, by_name=False)
            if found.progress_token == self._number:
                await progress(found.progress, found.total, found.message)
        except Exception as error:
            log.info("progress of a call not told error=%s", type(error).__name__)


def _headers(method: str, parameters: Mapping[str, object]) -> dict[str, str]:
    headers = {MCP_PROTOCOL_VERSION_HEADER: PROTOCOL, MCP_METHOD_HEADER: method}
    name = parameters.get("name")
    return {**headers, MCP_NAME_HEADER: encode_header_value(name)} if isinstance(name, str) else headers
