"""In which line of a manifest a key stands, so that a fault can be pointed at.

The TOML parser forgets lines; this looks for them in the text, once it is known to be TOML. It knows nothing of what a
key means. What it does not find (a key within a table on one line) has the line of what holds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TABLE, SETTINGS = "[[plugin]]", "[plugin.settings]"
BEGINS = ""  # the key under which the line of the table itself stands

_KEY = re.compile(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=")

Lines = Mapping[str, int]


def lines_of(text: str) -> list[Lines]:
    """For each `[[plugin]]` table its keys with their lines, from 1; a setting is named `settings.KEY`."""
    tables: list[dict[str, int]] = []
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.sub(r"\s", "", line.split("#")[0])
        if header == TABLE:
            tables.append({BEGINS: number})
            prefix = ""
        elif not tables:
            continue
        elif header == SETTINGS:
            tables[-1]["settings"] = number
            prefix = "settings."
        elif key := _KEY.match(line):
            tables[-1].setdefault(prefix + re.sub(r"[\s\"']", "", key[1]), number)
    return list(tables)


def line_of(lines: Lines, key: str) -> int:
    """The line of a key, or of the nearest thing that holds it; 0 when not even the table was found."""
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return lines.get(key, lines.get(BEGINS, 0))
