"""The Nest with much to show: how long the gateway takes for each page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.testclient import TestClient

from bench import full_nest
from bench.figures import Figure, below, measured, percentile
from bench.size import Size
from crow_plugins.gateway import application
from crow_plugins.host import Host
from crow_plugins.nest.access import Access

CONFLICTS, INSTANCES, CALLS = 200, 50, 100_000
ROUNDS = 30
LIMITS = below(200)
FULL = f"{CONFLICTS} conflicts, {INSTANCES} instances, {CALLS:,} calls"
PAGES = ("instances", "conflicts", "sync", "plugins", "audit", "tokens")


def measure(size: Size) -> Iterator[Figure]:
    calls = min(CALLS, size.rows)
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        home = full_nest.keyring_home(Path(folder), "bench", int(time.time()))
        with Host(home) as host:
            ids = full_nest.add_instances(host, INSTANCES)
            full_nest.add_conflicts(host, "memories", CONFLICTS, ids)
            full_nest.add_calls(host, calls, ids)
            with TestClient(application(host), base_url="http://127.0.0.1") as web:
                web.post("/nest/login", data={"code": Access(host.hook.handle("nest")).new_code()})
                conflict = web.get("/nest/conflicts").text.split('"/nest/conflicts/')[1].split('"')[0]
                more = {
                    "one instance": f"instances/{ids[0]}",
                    "one conflict": f"conflicts/{conflict}",
                    "audit of one instance": f"audit?instance={ids[0]}",
                    "audit, an old page": f"audit?before={calls // 2}",
                }
                for name, path in ({name: name for name in PAGES} | more).items():
                    times = [_milliseconds(web, path) for _ in range(ROUNDS)]
                    yield measured(f"{name}, p95", times, "ms", LIMITS, value=percentile(times, 0.95))


def _milliseconds(web: TestClient, path: str) -> float:
    began = time.perf_counter()
    answer = web.get(f"/nest/{path}")
    assert answer.status_code == 200, path
    return (time.perf_counter() - began) * 1000
