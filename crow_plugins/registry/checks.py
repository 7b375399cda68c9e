"""What `crow doctor` asks of the registry: does the mirror say what the registry says, and who does not answer."""

from __future__ import annotations

import json
from collections.abc import Sequence

from crow_hooks import Check, Finding
from crow_plugins.registry.registry import Registry
from crow_plugins.wording import plural


def checks(registry: Registry) -> Sequence[Check]:
    return [Check("mirror", lambda: _mirror(registry)), Check("instances", lambda: _instances(registry))]


def _mirror(registry: Registry) -> Finding:
    content = registry.mirrored()
    ids = {other.instance.id for other in registry.others() if not other.hidden}
    try:
        said = {entry["id"] for entry in json.loads(content or b"[]") if not entry.get("self")}
    except (ValueError, TypeError, KeyError):
        said = None
    if said == ids:
        return Finding(True, f"instances.json has {plural(len(ids), 'other instance')}, which is all")
    return Finding(False, "instances.json does not say what the registry says", "it is written anew by: crow serve")


def _instances(registry: Registry) -> Finding:
    offline = [other.instance.name for other in registry.others() if other.status == "offline" and not other.hidden]
    if offline:
        return Finding(True, f"did not answer lately: {', '.join(offline)}", "look with: crow instances check NAME")
    return Finding(True, "every instance that can be called answers")
