"""`python -m bench [NAME…] [--size short]`: what is measured, as tables; all of it if nothing is named."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace

from bench import calls, catch_up, federation, feed, idle, imports, live, nest, search, starts, tool_writes, writes
from bench.figures import Figure, show
from bench.size import SIZES, Size

Bench = Callable[[Size], Iterable[Figure]]
BENCHES: dict[str, tuple[str, Bench]] = {
    "feed": ("The feed beside npm's hypercore", feed.measure),
    "catch-up": ("Catching up, beside npm's hypercore and PouchDB", catch_up.measure),
    "writes": ("Writes by the door", writes.measure),
    "tool-writes": ("Writes by the MCP tool", tool_writes.measure),
    "imports": ("Import", imports.measure),
    "live": ("Live sync, beside PouchDB", live.measure),
    "federation": ("Calls between instances, beside a bare FastMCP server and its stock proxy", federation.measure),
    "search": ("Search", search.measure),
    "calls": ("Searches over HTTP", calls.measure),
    "idle": ("A gateway that idles", idle.measure),
    "starts": ("Start", starts.measure),
    "nest": (f"Pages of the Nest with {nest.FULL}", nest.measure),
}
COUNTS = tuple(field.name for field in fields(Size))


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Crow beside others, in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all if none is named")
    parser.add_argument("--size", choices=SIZES, default="short", help="short takes ten minutes, full an hour")
    parser.add_argument("--set", action="append", default=[], metavar="COUNT=N", help=f"of {', '.join(COUNTS)}")
    asked = parser.parse_args(words)
    if unknown := set(asked.names) - set(BENCHES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    size = SIZES[asked.size]
    for name, _, number in (each.partition("=") for each in asked.set):
        if name not in COUNTS or not number.isdecimal():
            parser.error(f"{name} is not a count and a number; there are {', '.join(COUNTS)}")
        size = replace(size, **{name: int(number)})
    figures, failed = _shown(asked.names or list(BENCHES), size)
    show("All that is held against a limit", [each for each in figures if each.verdict])
    if failed:
        sys.exit(f"could not be measured: {', '.join(failed)}")


def _shown(names: Sequence[str], size: Size) -> tuple[list[Figure], list[str]]:
    """Measure and show one after the other: the figures, and the names of what could not be measured."""
    figures, failed = [], []
    for name in names:
        title, measure = BENCHES[name]
        began = time.monotonic()
        try:
            found = list(measure(size))
        except Exception:  # of whatever is measured: the others are worth their minutes all the same
            traceback.print_exc()
            failed.append(name)
            continue
        show(f"{title} ({time.monotonic() - began:.0f} s)", found)
        figures += found
    return figures, failed


if __name__ == "__main__":
    main()
