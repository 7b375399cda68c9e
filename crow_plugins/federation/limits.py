"""How many calls a caller may make: a bucket a caller, which fills by the minute."""

from __future__ import annotations

import math

from crow_plugins.federation.errors import TooManyCalls


class Buckets:
    """A bucket for each caller; on one thread. Its callers are known instances, so there are not many."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: dict[str, tuple[float, int]] = {}

    def take(self, caller: str, now: int) -> None:
        """Take one; `now` in unix seconds. Raises `TooManyCalls` when there is none."""
        left, at = self._buckets.get(caller, (float(self._per_minute), now))
        left = min(self._per_minute, left + max(0, now - at) * self._per_minute / 60)
        if left < 1:
            self._buckets[caller] = (left, now)
            raise TooManyCalls(math.ceil((1 - left) * 60 / self._per_minute))
        self._buckets[caller] = (left - 1, now)
