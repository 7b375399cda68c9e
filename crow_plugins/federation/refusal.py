"""What a peer says when it will not do what it was asked."""

from __future__ import annotations


class Refusal(Exception):
    """The peer answered that it will not; `code` and `reason` are its own words."""

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.code, self.reason = status, code, reason
