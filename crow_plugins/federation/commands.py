"""What a person types about federation: what other instances may call, and what they did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from crow_hooks import Answer, Command, CrowError, InstanceRegistry
from crow_plugins.federation.audit import Audit, Call
from crow_plugins.federation.exposure import EVERYBODY, NEVER, Exposure, Word

GROUP = "federation"


class AuditBroken(CrowError):
    """The chain of the record does not hold."""

    code = "audit_broken"

    def __init__(self, seq: int) -> None:
        super().__init__(
            f"the record of calls was changed at row {seq}; keep a copy of audit.db and look who had access"
        )


def commands(exposure: Exposure, audit: Audit, registry: InstanceRegistry, setting: Sequence[str]) -> list[Command]:
    return [*_exposing(exposure, registry, setting), _auditing(audit, registry)]


def _exposing(exposure: Exposure, registry: InstanceRegistry, setting: Sequence[str]) -> list[Command]:
    def expose(tool: str | None = None, /, *, peer: str | None = None, writes: bool = False) -> Answer:
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
        return _words(exposure.words(), setting, registry)

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
        return _words(exposure.words(), setting, registry)

    return [Command("expose", expose, GROUP), Command("deny", deny, GROUP)]


def _auditing(audit: Audit, registry: InstanceRegistry) -> Command:
    def show_audit(*, peer: str | None = None, limit: int = 50, verify: bool = False) -> Answer:
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
        calls = audit.rows(limit=limit, peer=None if peer is None else _about(registry, peer))
        names = {known.instance.id: known.instance.name for known in registry.others()}
        text = "\n".join(_line(call, names) for call in calls)
        return Answer([asdict(call) for call in calls], text or "no calls yet")

    return Command("audit", show_audit, GROUP)


def _about(registry: InstanceRegistry, peer: str | None) -> str:
    return EVERYBODY if peer is None else registry.find(peer).instance.id


def _words(words: Sequence[Word], setting: Sequence[str], registry: InstanceRegistry) -> Answer:
    names = {known.instance.id: known.instance.name for known in registry.others()}
    lines = [f"every instance: {tool} allowed (setting)" for tool in setting if tool not in NEVER]
    for word in words:
        who = names.get(word.instance_id, word.instance_id) or "every instance"
        said = "allowed, writing too" if word.writes else "allowed" if word.allowed else "denied"
        lines.append(f"{who}: {word.tool} {said}")
    value = {"setting": list(setting), "words": [asdict(word) for word in words]}
    return Answer(value, "\n".join(lines) or "nothing is open to other instances")


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
