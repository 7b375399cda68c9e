"""Writes numbered memories as fast as it can, and says each number once it is committed. Made to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from crow_plugins.host import Host
from crow_plugins.memories.memories import Memories


def main(home: Path, name: str, first: int) -> None:
    with Host(home) as host:
        memories = Memories(host.hook.handle("memories"))
        for number in range(first, first + 1_000_000):
            memories.store({"content": f"{name} {number}"})
            print(number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
