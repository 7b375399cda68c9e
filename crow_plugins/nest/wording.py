"""What became of a conflict, as people read it."""

from __future__ import annotations

SETTLED = {
    "local": "settled: this version was kept",
    "remote": "settled: the other version was taken",
    "merge": "settled: both were merged",
    "superseded": "over: the row was written anew",
    "identical": "over: both became the same",
}


def settled(resolution: str) -> str:
    return SETTLED.get(resolution, resolution)
