"""The Nest with much to show: how long the gateway takes for each page."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from starlette.testclient import TestClient

from bench import full_nest
from bench.figures import Figure, percentile
from crow_plugins.gateway import application
from crow_plugins.host import Host
from crow_plugins.nest.access import Access

CONFLICTS, INSTANCES, CALLS = 200, 50, 100_000
ROUNDS = 30
MS_FLOOR = 200.0
PAGES = ("instances", "conflicts", "sync", "plugins", "audit", "tokens")


def measure() -> list[Figure]:
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        home = full_nest.keyring_home(Path(folder), "bench", int(time.time()))
        with Host(home) as host:
            ids = full_nest.add_instances(host, INSTANCES)
            full_nest.add_conflicts(host, "memories", CONFLICTS, ids)
            full_nest.add_calls(host, CALLS, ids)
            with TestClient(application(host), base_url="http://127.0.0.1") as web:
                web.post("/nest/login", data={"code": Access(host.hook.handle("nest")).new_code()})
                conflict = web.get("/nest/conflicts").text.split('"/nest/conflicts/')[1].split('"')[0]
                more = {
                    "one instance": f"instances/{ids[0]}",
                    "one conflict": f"conflicts/{conflict}",
                    "audit of one instance": f"audit?instance={ids[0]}",
                    "audit, an old page": f"audit?before={CALLS // 2}",
                }
                return [_figure(web, name, path) for name, path in ({name: name for name in PAGES} | more).items()]


def _figure(web: TestClient, name: str, path: str) -> Figure:
    times = [_milliseconds(web, path) for _ in range(ROUNDS)]
    high = percentile(times, 0.95)
    measured = f"p50 {percentile(times, 0.5):.0f} ms, p95 {high:.0f} ms"
    return Figure(name, measured, f"{MS_FLOOR:.0f} ms", high < MS_FLOOR)


def _milliseconds(web: TestClient, path: str) -> float:
    began = time.perf_counter()
    answer = web.get(f"/nest/{path}")
    assert answer.status_code == 200, path
    return (time.perf_counter() - began) * 1000
