"""What plugins may not contribute twice: of two things under one name, nobody would ever see the second."""

from __future__ import annotations

from collections.abc import Iterable

from crow_hooks import Format, Job, NestPage, SearchKind, Summary
from crow_plugins.dispatch import BadPlugin


def refuse_clashes(contributed: Iterable[tuple[str, object]]) -> None:
    """Raises `BadPlugin` for the plugin whose contribution has a name that is taken."""
    owners: dict[str, str] = {}
    for plugin, item in contributed:
        for name in _names(plugin, item):
            if name in owners:
                raise BadPlugin(plugin, f"{name} is one of {owners[name]} already")
            owners[name] = plugin


def _names(plugin: str, item: object) -> list[str]:
    match item:
        case SearchKind():
            return [f"the kind {item.name} to search"]
        case Summary():
            return [f"the summary {item.kind}"]
        case Format():
            return [f"the format {item.name}", *(f"the kind {kind} to export" for kind in item.kinds)]
        case Job():
            return [f"the job {item.name} of {plugin}"]
        case NestPage():
            return [f"the page /{item.path.strip('/')} of the Nest"]
    return []
