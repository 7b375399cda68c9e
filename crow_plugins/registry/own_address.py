"""Where this instance can be reached: what its operator says, or where its gateway listens."""

from __future__ import annotations

import json

from crow_plugins.config import Home
from crow_plugins.outbound import urls
from crow_plugins.outbound.urls import UrlError

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared with, not bound to


def own_address(setting: str | None, home: Home) -> str | None:
    """The canonical URL; None where nobody can say. Raises a `UrlError` for a setting that is no address."""
    if setting is not None:
        return urls.parse(setting).text
    try:
        running = json.loads(home.gateway.read_bytes())
        host, port = str(running["host"]), int(running["port"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if host in EVERYWHERE:
        return None
    try:
        return urls.parse(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}").text
    except UrlError:
        return None
