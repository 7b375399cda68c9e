"""Whether everything is in sync, for `crow status`: as far as the plugins that know are on."""

from __future__ import annotations

from dataclasses import asdict

from crow_hooks import CONFLICTS, REGISTRY, REPLICATION, FeedStatus, KnownInstance
from crow_plugins.host import Host
from crow_plugins.remarks import of_instances

COMMANDS = {"conflicts": "crow sync conflicts", "sync": "crow sync status", None: ""}


def standing(host: Host) -> list[str]:
    """A few sentences, each with the command that says more; none where no plugin knows of other instances."""
    registry = host.services.offered(REGISTRY, host.is_enabled)
    if registry is None:
        return []
    others = [_row(other) for other in registry.others() if not other.hidden]
    remarks = of_instances(others, _status(host))
    return [f"{remark.text}; see: {COMMANDS[remark.about]}" if remark.about else remark.text for remark in remarks]


def _status(host: Host) -> dict[str, object]:
    replication = host.services.offered(REPLICATION, host.is_enabled)
    conflicts = host.services.offered(CONFLICTS, host.is_enabled)
    if replication is None or conflicts is None:
        return {}
    return {
        "feeds": [_feed(feed) for feed in replication.status()],
        "open_conflicts": sum(conflicts.open_by_instance().values()),
        "suspect": replication.suspect(),
        "failing": replication.failing(),
    }


def _feed(feed: FeedStatus) -> dict[str, object]:
    known = {name: value for name, value in asdict(feed).items() if name != "instance"}
    return {**known, "name": feed.instance.name, "behind": max(0, feed.length - feed.applied)}


def _row(other: KnownInstance) -> dict[str, object]:
    return {"name": other.instance.name, "status": other.status, "revoked": other.revoked, "own": False}
