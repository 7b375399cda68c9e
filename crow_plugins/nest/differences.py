"""Two versions of a row, field by field and word by word, as a person compares them.

Nothing here is markup: what stands in a field comes from somewhere else, and the templates escape it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["same", "gone", "new"]
ROWS_MAX, COLUMNS = 14, 90
WORDS_MAX = 4000  # on both sides together; longer texts are shown whole, since comparing them takes seconds

_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text that both sides have, or only this one (`gone` here means: the other side has something else)."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field: what it was for both, what it is here and there, and which side changed it."""

    name: str
    base: str | None
    local: Sequence[Piece]
    remote: Sequence[Piece]
    local_text: str
    remote_text: str
    changed_by: Literal["local", "remote", "both"] | None
    is_json: bool

    @property
    def rows(self) -> int:
        """How high a text area should be for the longer side."""
        longer = max(self.local_text, self.remote_text, key=len)
        return min(ROWS_MAX, longer.count("\n") + len(longer) // COLUMNS + 1)


def differences(
    local: Mapping[str, object], remote: Mapping[str, object], base: Mapping[str, object] | None
) -> list[FieldDifference]:
    """The fields that differ, in the order in which the row has them."""
    names = [*local, *(name for name in remote if name not in local)]
    return [_field(name, local, remote, base) for name in names if local.get(name) != remote.get(name)]


def alike(local: Mapping[str, object], remote: Mapping[str, object]) -> list[tuple[str, str]]:
    """The fields that both sides have alike, so that a person sees what row it is."""
    return [(name, shown(value)) for name, value in local.items() if name in remote and remote[name] == value]


def shown(value: object) -> str:
    """A field's value as text: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def words(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """The two texts in pieces, so that what differs can be marked in each."""
    ours, theirs = _WORD.findall(one), _WORD.findall(other)
    if len(ours) + len(theirs) > WORDS_MAX:
        return [Piece("gone", one)], [Piece("new", other)]
    left, right = list[Piece](), list[Piece]()
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        if start < end:
            left.append(Piece("same" if tag == "equal" else "gone", "".join(ours[start:end])))
        if other_start < other_end:
            right.append(Piece("same" if tag == "equal" else "new", "".join(theirs[other_start:other_end])))
    return left, right


def _field(
    name: str, local: Mapping[str, object], remote: Mapping[str, object], base: Mapping[str, object] | None
) -> FieldDifference:
    one, other = local.get(name), remote.get(name)
    left, right = words(shown(one), shown(other))
    return FieldDifference(
        name=name,
        base=None if base is None else shown(base.get(name)),
        local=left,
        remote=right,
        local_text=shown(one),
        remote_text=shown(other),
        changed_by=None if base is None else _changed_by(one, other, base.get(name)),
        is_json=not isinstance(one, str | None) or not isinstance(other, str | None),
    )


def _changed_by(local: object, remote: object, base: object) -> Literal["local", "remote", "both"]:
    if local == base:
        return "remote"
    return "local" if remote == base else "both"
