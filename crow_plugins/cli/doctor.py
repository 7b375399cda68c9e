"""Examining an installation, one line a check."""

from __future__ import annotations

import time
from dataclasses import asdict

from cyclopts import App

from crow_hooks import CrowError
from crow_plugins.cli.terminal import ATerminal
from crow_plugins.doctor import Line, Premises, examine
from crow_plugins.wording import plural

LABEL_WIDTH = 26  # the longest of ours; a longer one pushes its line to the right


class NotWell(CrowError):
    """An examination found faults."""

    code = "not_well"

    def __init__(self, wrong: int, looked_at: int) -> None:
        verb = "is" if wrong == 1 else "are"
        super().__init__(f"{wrong} of {looked_at} checks {verb} wrong; do what their lines say, then look again")


def add_to(app: App) -> None:
    app.command(doctor)


def doctor(*, terminal: ATerminal) -> None:
    """Look at everything that can go wrong, and say what to do about what did."""
    lines = []
    for line in examine(Premises(terminal.home, terminal.manifest_file, int(time.time()))):
        lines.append(line)
        if not terminal.json:
            terminal.answer(None, _shown(line))
    wrong = sum(not line.finding.ok and not line.fails_with for line in lines)
    if terminal.json:
        found = [{"owner": line.owner, "check": line.check, **asdict(line.finding)} for line in lines]
        terminal.answer({"ok": not wrong, "checks": found})
    elif not wrong:
        notes = sum(bool(line.finding.remedy) for line in lines)
        advice = f"; {plural(notes, 'note')} above" if notes else ""
        terminal.answer(None, f"\nAll is well: {plural(len(lines), 'check')}{advice}.")
    if wrong:
        raise NotWell(wrong, len(lines))


def _shown(line: Line) -> str:
    finding = line.finding
    state = "wrong" if not finding.ok else "note" if finding.remedy else "ok"
    told = "; ".join(filter(None, (finding.message, finding.remedy)))
    return f"{state:5}  {line.label:{LABEL_WIDTH}}  {' '.join(told.split())}"
