"""`python -m bench`: everything that is measured, as one table."""

from __future__ import annotations

from bench import calls, catch_up, feed, imports, nest, writes
from bench.figures import show
from bench.world import installation


def main() -> None:
    show("Writes", writes.measure())
    show("The feed beside npm's hypercore", feed.measure())
    with installation() as home:
        show("Import", imports.measure(home))
        show("Calls over HTTP", calls.measure(home))
    show("Sync", catch_up.measure())
    kept = f"{nest.CONFLICTS} conflicts, {nest.INSTANCES} instances, {nest.CALLS:,} calls"
    show(f"Pages of the Nest with {kept}", nest.measure())


main()
