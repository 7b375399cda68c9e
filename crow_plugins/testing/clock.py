"""The time of one instance, which passes only when a test says so."""

from __future__ import annotations


class Clock:
    """Unix seconds. Instances may differ: each has a clock of its own."""

    def __init__(self, now: float) -> None:
        self._now = now

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; negative seconds put the clock back."""
        self._now += seconds
