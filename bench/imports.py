"""`crow import` of real text: rows a second, counted by a clock outside, from the command's start to its end."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.demo_data import write
from bench.figures import Figure, at_least, measured
from bench.machines import CROW, ENVIRONMENT
from bench.size import Size
from bench.world import installation

LIMITS = at_least(5000, 15_000)


def measure(size: Size) -> Iterator[Figure]:
    rates = []
    for _ in range(size.rounds):
        with installation() as home:
            rows, seconds = imported(home, size.imported)
            rates.append(rows / seconds)
    yield measured(f"import of {rows:,} memories", rates, "rows/s", LIMITS)


def imported(home: Path, most: int) -> tuple[int, float]:
    """Import real text into `home`; returns how many memories, and the seconds."""
    everything, chosen = home.parent / "everything.jsonl", home.parent / "memories.jsonl"
    write(everything)
    with everything.open() as lines, chosen.open("w") as out:
        out.writelines(islice(lines, most))
    began = time.perf_counter()
    command = [*CROW, "import", str(chosen), "--home", str(home), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    return int(json.loads(done.stdout)["imported"]), time.perf_counter() - began
