"""Where this instance can be reached: what its operator says, or where its gateway listens.

A loopback address means something on its own machine only, so it is said to nobody else and taken from nobody else.
"""

from __future__ import annotations

from crow_plugins.config import Home
from crow_plugins.outbound import urls
from crow_plugins.outbound.urls import GatewayUrl, UrlError, Zone
from crow_plugins.running import running_gateway

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared with, not bound to


def own_address(setting: str | None, home: Home) -> str | None:
    """The canonical URL; None where nobody can say: no gateway runs, or it listens on every address."""
    if setting is not None:
        return setting
    running = running_gateway(home)
    if running is None or running.host in EVERYWHERE:
        return None
    try:
        return urls.parse(running.base_url).text
    except UrlError:
        return None


def worth_saying(own_url: str | None, to: str) -> str | None:
    """Our address, if the instance at the address `to` could call it."""
    if own_url is None or (is_loopback(urls.parse(own_url)) and not is_loopback(urls.parse(to))):
        return None
    return own_url


def usable(said: str | None, *, same_machine: bool) -> str | None:
    """An announced address in its one spelling, if it can be called from here."""
    if said is None:
        return None
    try:
        url = urls.parse(said)
    except UrlError:
        return None
    return url.text if same_machine or not is_loopback(url) else None


def is_loopback(url: GatewayUrl) -> bool:
    return url.host == "localhost" or (url.address is not None and urls.zone_of(url.address) is Zone.LOOPBACK)
