"""Why a call of another instance is not allowed, though its token is good.

InboundError
├── NotExposed          a tool that this instance may not call, or that is not here
├── InsufficientScope   a tool that writes, called with a token that only reads
├── Closed              a part of the gateway that no other instance may use
├── CallDenied          a plugin said no
└── TooManyCalls        more than an instance may make in a minute
"""

from __future__ import annotations

from crow_hooks import CrowError


class InboundError(CrowError):
    """A call of another instance that is not allowed."""

    code = "inbound_error"


class NotExposed(InboundError):
    """The tool is not open to this caller; whether it exists is not told."""

    code = "not_exposed"

    def __init__(self) -> None:
        super().__init__("this tool is not open to your instance; expose it there with: crow federation expose TOOL")


class InsufficientScope(InboundError):
    """The token does not cover what the tool does."""

    code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"the token lacks the scope {scope}; call with a token that has it")


class Closed(InboundError):
    """Other instances list and call tools, and nothing else."""

    code = "closed"

    def __init__(self) -> None:
        super().__init__("other instances may list and call tools here, nothing else; ask for a tool")


class CallDenied(InboundError):
    """A plugin denied the call."""

    code = "call_denied"

    def __init__(self, reason: str) -> None:
        super().__init__(reason or "a plugin of this instance denies the call; look into its log")


class TooManyCalls(InboundError):
    """The caller has used up its calls for now."""

    code = "too_many_calls"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many calls; wait {seconds} seconds and call again")
        self.seconds = seconds
