"""Real text to try things on: the package descriptions that Debian's index on this machine holds, as memories.

python -m bench.demo_data FOLDER      writes FOLDER/memories.jsonl and makes FOLDER/home
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "demo-data.crow.invalid")
CONTENT_BYTES_MAX = 60 * 1024
EPOCH, SECONDS_APART = 1_600_000_000, 600  # when the first was written, and how far apart they are
MISSING = "this needs apt-cache, which Debian and its relatives have; on another system import a file of your own"


def stanzas() -> Iterator[dict[str, str]]:
    """The index, one package at a time: field to text, continued lines joined."""
    with subprocess.Popen(["apt-cache", "dumpavail"], stdout=subprocess.PIPE, text=True, errors="replace") as index:
        assert index.stdout is not None
        fields: dict[str, str] = {}
        name = ""
        for line in index.stdout:
            if line == "\n":
                yield fields
                fields = {}
            elif line.startswith(" "):
                fields[name] += "\n" + line.strip().removeprefix(".")
            else:
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
        if fields:
            yield fields


def memories() -> Iterator[dict[str, object]]:
    """A memory for each package that has a description."""
    for number, fields in enumerate(stanzas()):
        text = next((fields[name] for name in fields if name.startswith("Description") and "md5" not in name), "")
        if not text:
            continue
        maintainer = fields.get("Maintainer", "").split("<")[0].strip()[:64]
        yield {
            "kind": "memory",
            "id": str(uuid.uuid5(NAMESPACE, fields["Package"] + fields.get("Version", ""))),
            "content": text.encode()[:CONTENT_BYTES_MAX].decode(errors="ignore"),
            "category": fields.get("Section", "general")[:64],
            "importance": {"required": 9, "important": 8, "standard": 7}.get(fields.get("Priority", ""), 5),
            "tags": [tag for tag in (fields["Package"][:64], maintainer) if tag],
            "source": fields.get("Homepage"),
            "created_at": EPOCH + number * SECONDS_APART,
            "updated_at": EPOCH + number * SECONDS_APART,
        }


def write(file: Path) -> int:
    """Write the memories as JSON Lines; returns how many. Fetches the package lists first where there are none."""
    if shutil.which("apt-cache") is None:
        sys.exit(MISSING)
    count = _write_once(file)
    if not count and hasattr(os, "geteuid") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update"], check=True, stdout=sys.stderr)
        count = _write_once(file)
    return count


def _write_once(file: Path) -> int:
    seen: set[str] = set()
    with file.open("w", encoding="utf-8") as out:
        for memory in memories():
            if str(memory["id"]) not in seen:
                seen.add(str(memory["id"]))
                out.write(json.dumps(memory, ensure_ascii=False) + "\n")
    return len(seen)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bench.demo_data FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    count = write(folder / "memories.jsonl")
    if not count:
        sys.exit("the package lists are empty; run apt-get update, then try again")
    sys.stdout.write(f"{count} memories in {folder / 'memories.jsonl'}\n")


if __name__ == "__main__":
    main()
