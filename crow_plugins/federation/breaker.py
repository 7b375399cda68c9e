"""A breaker: a peer that failed again and again is not called for a while, and then by one call first.

Only failures of the way there count: a peer that refuses, or whose tool fails, is a peer that works. So is one that
was too slow for a call and meanwhile answered others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FAILURES_MAX = 5
FIRST_SECONDS, LAST_SECONDS = 30.0, 600.0


@dataclass(slots=True)
class Breaker:
    """One peer's; `clock` is a monotonic one, in seconds."""

    clock: Callable[[], float]
    failures: int = 0
    opened_at: float | None = None
    pause: float = FIRST_SECONDS
    trying: bool = False
    answered_at: float | None = None

    def may_call(self) -> bool:
        """Whether a call may go out now; after the pause one may, to see."""
        if self.opened_at is None:
            return True
        if self.trying or self.clock() - self.opened_at < self.pause:
            return False
        self.trying = True
        return True

    def dropped(self) -> None:
        """The call ended before the peer could, so nothing is known; another may try."""
        self.trying = False

    def worked(self) -> None:
        self.answered_at = self.clock()
        self.failures, self.opened_at, self.pause, self.trying = 0, None, FIRST_SECONDS, False

    def timed_out(self, made_at: float) -> None:
        """A call that was made then had its time: a failure, unless the peer answered another one since."""
        if self.answered_at is not None and self.answered_at >= made_at:
            self.dropped()
        else:
            self.failed()

    def failed(self) -> None:
        """Nothing answered, or not as it should."""
        self.failures += 1
        if self.trying:
            self.pause, self.trying = min(2 * self.pause, LAST_SECONDS), False
            self.opened_at = self.clock()
        elif self.failures >= FAILURES_MAX and self.opened_at is None:
            self.opened_at = self.clock()
