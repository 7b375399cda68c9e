"""The lines of `crow doctor` about federation."""

from __future__ import annotations

from crow_hooks import Check, Finding
from crow_plugins.federation.audit import Audit
from crow_plugins.wording import plural


def checks(audit: Audit) -> list[Check]:
    return [Check("record of calls", lambda: _audit(audit))]


def _audit(audit: Audit) -> Finding:
    found = audit.verify()
    if found.whole:
        return Finding(True, f"{plural(found.rows, 'call')} between instances on record, none changed")
    return Finding(
        False,
        f"the record of calls was changed at row {found.broken_at}",
        "keep a copy of audit.db and look who had access to this home",
    )
