"""How many entries a second were applied and written over the last minutes, and a small drawing of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

SAMPLES, SAMPLE_SECONDS = 120, 2.5
SPAN_SECONDS = SAMPLES * SAMPLE_SECONDS
WIDTH, HEIGHT, EDGE = 240.0, 40.0, 2.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """Points of a line and of the area below it, the newest at the right; `latest` and `highest` a second."""

    points: str
    area: str
    latest: float
    highest: float
    span_text: str


class Throughput:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)

    def add(self, entries: int) -> None:
        """How many there are in all, now; asked oftener than needed, the surplus is passed over."""
        now = self._clock()
        if not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS:
            self._samples.append((now, entries))

    def drawn(self) -> Drawing:
        now = self._clock()
        rates = [(at, rate) for at, rate in self._rates() if now - at <= SPAN_SECONDS]
        highest = max((rate for _, rate in rates), default=0.0)
        places = [(_across(at, now), _down(rate, highest)) for at, rate in rates]
        points = places or [(0.0, HEIGHT - EDGE)]
        points = [(points[0][0], points[0][1]), *points, (WIDTH, points[-1][1])]
        line = _listed(points)
        area = f"{points[0][0]:.1f},{HEIGHT:.0f} {line} {WIDTH:.0f},{HEIGHT:.0f}"
        latest = rates[-1][1] if rates else 0.0
        return Drawing(line, area, latest, highest, f"the last {SPAN_SECONDS / 60:.0f} minutes")

    def _rates(self) -> list[tuple[float, float]]:
        """When, and how many a second since the sample before."""
        return [
            (later[0], max(0.0, (later[1] - earlier[1]) / (later[0] - earlier[0])))
            for earlier, later in pairwise(self._samples)
        ]


def _across(at: float, now: float) -> float:
    return WIDTH * (1 - (now - at) / SPAN_SECONDS)


def _down(rate: float, highest: float) -> float:
    return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (rate / highest if highest else 0.0)


def _listed(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
