"""What a person types about federation: what other instances may call, and what they did."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter

from crow_hooks import Answer, Command, CrowError, InstanceRegistry, Invalid
from crow_plugins.federation.audit import Audit, Call
from crow_plugins.federation.exposure import EVERYBODY, EVERYTHING, NEVER, Exposure, Word

GROUP, ABOUT = "federation", "What other instances may call here, and what they did."
NO_OPPOSITE = Parameter(negative=())
Tools = Callable[[], Mapping[str, bool]]


class AuditBroken(CrowError):
    """The chain of the record does not hold."""

    code = "audit_broken"

    def __init__(self, seq: int) -> None:
        super().__init__(
            f"the record of calls was changed at row {seq}; keep a copy of audit.db and look who had access"
        )


def commands(
    exposure: Exposure, audit: Audit, registry: InstanceRegistry, setting: Sequence[str], tools: Tools
) -> list[Command]:
    """`tools` has the name of every tool of Crow that is on here, and whether it only reads."""
    return [*_exposing(exposure, registry, setting, tools), _auditing(audit, registry)]


def _exposing(exposure: Exposure, registry: InstanceRegistry, setting: Sequence[str], tools: Tools) -> list[Command]:
    def expose(
        tool: str | None = None, /, *, peer: str | None = None, writes: Annotated[bool, NO_OPPOSITE] = False
    ) -> Answer:
        """Let other instances call a tool; without a tool, show what they may call.

        Parameters
        ----------
        tool
            The tool's exact name.
        peer
            Only this instance: its name, its id or the beginning of one.
        writes
            The tool may write too; without this, one that writes stays closed.
        """
        if tool is not None:
            exposure.expose(tool, _about(registry, peer), writes=writes)
        note = None if tool is None else _unknown(tool, known := tools(), writes) or _stays_closed(tool, known, writes)
        return _words(exposure.words(), setting, registry, note)

    def deny(tool: str, /, *, peer: str | None = None) -> Answer:
        """Forbid other instances to call a tool.

        Parameters
        ----------
        tool
            The tool's exact name, or * for all of them.
        peer
            Only this instance: its name, its id or the beginning of one.
        """
        exposure.deny(tool, _about(registry, peer))
        return _words(exposure.words(), setting, registry, None if tool == EVERYTHING else _unknown(tool, tools()))

    return [Command("expose", expose, GROUP, ABOUT), Command("deny", deny, GROUP)]


def _auditing(audit: Audit, registry: InstanceRegistry) -> Command:
    def show_audit(*, peer: str | None = None, limit: int = 50, verify: Annotated[bool, NO_OPPOSITE] = False) -> Answer:
        """Show the calls between instances, the newest first.

        Parameters
        ----------
        peer
            Only calls of or to this instance.
        limit
            How many to show.
        verify
            Check instead that no row was changed, taken out or put in.
        """
        if verify:
            return _verified(audit)
        if limit < 1:
            raise Invalid("--limit is how many calls to show; give 1 or more")
        calls = audit.rows(limit=limit, peer=None if peer is None else _about(registry, peer))
        names = {known.instance.id: known.instance.name for known in registry.others()}
        text = "\n".join(_line(call, names) for call in calls)
        return Answer([asdict(call) for call in calls], text or "no calls yet")

    return Command("audit", show_audit, GROUP)


def _about(registry: InstanceRegistry, peer: str | None) -> str:
    return EVERYBODY if peer is None else registry.find(peer).instance.id


def _unknown(tool: str, known: Mapping[str, bool], writes: bool = True) -> str | None:
    """What to say of a name that no tool has: a misspelt denial closes nothing."""
    if tool in known:
        return None
    near = difflib.get_close_matches(tool, known, 1)
    elsewhere = "it counts once there is one, or for one of a server of yours"
    if not writes:
        elsewhere += " that says readOnlyHint; another one needs --writes"
    advice = f"did you mean {near[0]}?" if near else elsewhere
    return f"No tool of Crow that is on here is called {tool}; {advice}"


def _stays_closed(tool: str, known: Mapping[str, bool], writes: bool) -> str | None:
    if known[tool] or writes:
        return None
    return f"{tool} does not only read, so it stays closed until: crow federation expose {tool} --writes"


def _words(
    words: Sequence[Word], setting: Sequence[str], registry: InstanceRegistry, note: str | None = None
) -> Answer:
    names = {known.instance.id: known.instance.name for known in registry.others()}
    lines = [f"every instance: {tool} allowed (setting)" for tool in setting if tool not in NEVER]
    for word in words:
        who = names.get(word.instance_id, word.instance_id) or "every instance"
        said = "allowed, writing too" if word.writes else "allowed" if word.allowed else "denied"
        lines.append(f"{who}: {word.tool} {said}")
    value = {"setting": list(setting), "words": [asdict(word) for word in words], "note": note}
    return Answer(value, "\n".join([*(lines or ["nothing is open to other instances"]), *([note] if note else [])]))


def _verified(audit: Audit) -> Answer:
    found = audit.verify()
    if found.broken_at is not None:
        raise AuditBroken(found.broken_at)
    text = f"{found.rows} rows follow from one another; {found.pruned} older ones are gone"
    return Answer({**asdict(found), "whole": True}, text)


def _line(call: Call, names: dict[str, str]) -> str:
    when = datetime.fromtimestamp(call.time / 1000, UTC).isoformat(timespec="seconds")
    who = names.get(call.peer, call.peer) or "nobody known"
    return f"{when} {call.direction} {who} {call.tool or '-'} {call.decision} {call.status} {call.milliseconds} ms"
