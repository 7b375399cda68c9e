"""What other instances may call here: nothing, but what the setting names and a person has allowed.

The nearest word counts: about this instance and this tool, about this instance and all tools, about every instance and
this tool, about every instance and all tools, the setting. Whether a tool writes is not known here; a tool
that does needs a word that says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from crow_hooks import Crow, Invalid, OpenTool

EVERYBODY = ""
EVERYTHING = "*"
# A call of another instance calls no third one, whatever a person allows.
NEVER = frozenset({"crow_federated_search", "crow_call_instance", "crow_list_instance_tools", "crow_refresh_summaries"})
TOOL = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Word:
    """What a person said about one tool; `instance_id` is empty for every instance."""

    instance_id: str
    tool: str
    allowed: bool
    writes: bool
    changed_at: int


@dataclass(frozen=True, slots=True)
class Exposed:
    """What one instance may call now."""

    instance_id: str
    setting: frozenset[str]
    words: Mapping[tuple[str, str], Word]

    def allows(self, tool: str) -> bool:
        if tool in NEVER:
            return False
        word = self._nearest(tool)
        return tool in self.setting if word is None else word.allowed

    def allows_writing(self, tool: str) -> bool:
        word = self._nearest(tool)
        return word is not None and word.allowed and word.writes and tool not in NEVER

    def said(self) -> list[OpenTool]:
        """What counts for every tool that is named anywhere, by name."""
        named = (self.setting | {word.tool for word in self.words.values()}) - NEVER
        return [self._said(tool) for tool in sorted(named)]

    def _said(self, tool: str) -> OpenTool:
        word = self._nearest(tool)
        if word is None:
            return OpenTool(tool, tool in self.setting, False, "setting")
        said_for: Literal["every instance", "this instance"] = "this instance" if word.instance_id else "every instance"
        return OpenTool(tool, word.allowed, word.writes, said_for)

    def _nearest(self, tool: str) -> Word | None:
        places = [(who, what) for who in (self.instance_id, EVERYBODY) for what in (tool, EVERYTHING)]
        return next((self.words[place] for place in places if place in self.words), None)


class Exposure:
    """The words of one home about what may be called. What does not say otherwise is database work."""

    def __init__(self, crow: Crow, setting: Sequence[str]) -> None:
        self._crow, self._setting = crow, frozenset(setting)

    def of(self, instance_id: str) -> Exposed:
        """What that instance may call."""
        return self.among(self.words(), instance_id)

    def among(self, words: Sequence[Word], instance_id: str) -> Exposed:
        """What that instance may call by these words. No database work."""
        told = {(word.instance_id, word.tool): word for word in words if word.instance_id in (instance_id, EVERYBODY)}
        return Exposed(instance_id, self._setting, told)

    def said(self, instance_id: str) -> list[OpenTool]:
        return self.of(instance_id).said()

    def words(self) -> list[Word]:
        with self._crow.read() as db:
            rows = db.execute_sql(
                "SELECT instance_id, tool, allowed, writes, changed_at FROM federation_exposure ORDER BY 1, 2"
            )
            return [
                Word(str(who), str(tool), bool(allowed), bool(writes), at) for who, tool, allowed, writes, at in rows
            ]

    def expose(self, tool: str, instance_id: str = EVERYBODY, *, writes: bool = False) -> None:
        """Allow a tool. Raises `Invalid` for one that may never be called from outside, and for all at once."""
        if tool in NEVER:
            raise Invalid(f"{tool} calls other instances, and such calls go one step only; call it from here")
        if tool == EVERYTHING:
            raise Invalid("tools are exposed one by one; name each")
        self._say(tool, instance_id, allowed=True, writes=writes)

    def deny(self, tool: str, instance_id: str = EVERYBODY) -> None:
        """Deny a tool, or with `*` all. Raises `Invalid`."""
        self._say(tool, instance_id, allowed=False, writes=False)

    def _say(self, tool: str, instance_id: str, *, allowed: bool, writes: bool) -> None:
        if tool != EVERYTHING and not TOOL.fullmatch(tool):
            raise Invalid(
                "a tool's name has 1 to 128 letters, digits and . _ -; list them with: crow federation expose"
            )
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql(
                "INSERT OR REPLACE INTO federation_exposure (instance_id, tool, allowed, writes, changed_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (instance_id, tool, int(allowed), int(writes), transaction.now),
            )
