"""Which addresses this machine may call: what a person may type, and what its name may lead to.

A URL is typed by a person or announced by another machine, and calling it makes this machine knock at a door that
the other one chose. So there is one spelling of each address and every other is refused rather than understood:
programs disagree about `0177.1`, `[::ffff:7f00:1]` or `http://a@b`, and where two readers disagree one is deceived.
What a name leads to is sorted into zones; an address that is in none of them is never called.

Facts in, answer out: names are resolved and sockets opened elsewhere. No message repeats what was typed.

    UrlError                      blame the typing
    ├── UrlTooLong, UrlCharacters, UrlNotAscii
    ├── UrlScheme                 neither http:// nor https://
    ├── UrlCredentials, UrlQuery, UrlFragment, UrlPath
    ├── UrlPort                   not 1 to 65535 in plain digits
    ├── UrlHost                   neither a host name nor an address
    └── UrlOddNumber              a number that programs read differently
    ForbiddenZone                 blame what the name leads to
    ├── NeverCalled               an address that no instance has
    ├── ZoneOff                   a zone that is not switched on here
    ├── HttpsNeeded               plain http beyond private networks
    └── NoAddress                 the name leads nowhere
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from crow_hooks import CrowError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Scheme = Literal["http", "https"]

URL_CHARACTERS_MAX = 300  # the longest host name, and room for the rest
NAME_CHARACTERS_MAX = 253
PORT_MAX = 65_535
DEFAULT_PORTS: dict[Scheme, int] = {"http": 80, "https": 443}
# What a person copies from an assistant's settings is the gateway's endpoint; its base is meant.
PATHS = frozenset({"", "/", "/mcp", "/mcp/", "/router/mcp", "/router/mcp/"})
CHALLENGE_PATH = "/.well-known/crow"  # where an instance shows who it is
RESERVED = "a reserved address"


class Zone(StrEnum):
    """A kind of network: `public` is called by https only."""

    PUBLIC = "public"
    TAILNET = "tailnet"
    LAN = "lan"
    LOOPBACK = "loopback"


DEFAULT_ZONES = frozenset({Zone.PUBLIC, Zone.TAILNET, Zone.LOOPBACK})


class UrlError(CrowError):
    """A text is not the URL of a gateway."""

    code = "url_error"


class UrlTooLong(UrlError):
    """Longer than any gateway's URL; it was not looked at."""

    code = "url_too_long"

    def __init__(self) -> None:
        super().__init__(
            f"a gateway's URL has at most {URL_CHARACTERS_MAX} characters; give only its start, to the port"
        )


class UrlCharacters(UrlError):
    """A space, a control character, a backslash, a percent sign or another that no host has."""

    code = "url_characters"

    def __init__(self) -> None:
        super().__init__("the URL holds a space or another character that no gateway's URL has; type it again without")


class UrlNotAscii(UrlError):
    """Letters or digits beyond ASCII, which can look like others."""

    code = "url_not_ascii"

    def __init__(self) -> None:
        super().__init__("the URL holds characters beyond ASCII; type plain digits, and a name in its xn-- form")


class UrlScheme(UrlError):
    """It does not start as the URL of a gateway does."""

    code = "url_scheme"

    def __init__(self) -> None:
        super().__init__("a gateway's URL starts with http:// or https://; put that before the host")


class UrlCredentials(UrlError):
    """Something stands before the host."""

    code = "url_credentials"

    def __init__(self) -> None:
        super().__init__("a gateway's URL holds no user name or password; leave out everything up to the @")


class UrlQuery(UrlError):
    """It has a query."""

    code = "url_query"

    def __init__(self) -> None:
        super().__init__("a gateway's URL has no query; leave out everything from the ? on")


class UrlFragment(UrlError):
    """It has a fragment."""

    code = "url_fragment"

    def __init__(self) -> None:
        super().__init__("a gateway's URL has no fragment; leave out everything from the # on")


class UrlPath(UrlError):
    """It has a path that is not the gateway's."""

    code = "url_path"

    def __init__(self) -> None:
        super().__init__("a gateway answers at the top of its host, not below a path; leave out what follows the port")


class UrlPort(UrlError):
    """The port is not one."""

    code = "url_port"

    def __init__(self) -> None:
        super().__init__(f"a port is a number from 1 to {PORT_MAX} without leading zeros; correct it or leave it out")


class UrlHost(UrlError):
    """Where the host should be there is neither a name nor an address."""

    code = "url_host"

    def __init__(self) -> None:
        super().__init__(
            "the URL has no valid host; give a host name, an IPv4 address, or an IPv6 address in [brackets]"
        )


class UrlOddNumber(UrlError):
    """The host is a number in a spelling that programs read differently."""

    code = "url_odd_number"

    def __init__(self) -> None:
        super().__init__("the host is a number in an odd spelling; write an IPv4 address as four plain decimal numbers")


class ForbiddenZone(CrowError):
    """What a name leads to may not be called."""

    code = "forbidden_zone"


class NeverCalled(ForbiddenZone):
    """An address that no instance has; `kind` is our word for it."""

    code = "never_called"

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"the host has {kind}, which is never called; give an address where the gateway answers")


class ZoneOff(ForbiddenZone):
    """An address of a zone that is not switched on here."""

    code = "zone_off"

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        super().__init__(
            f"the host has an address of the zone {zone}, which is off on this machine; "
            f"add {zone} to the registry's setting zones, or use an address of another zone"
        )


class HttpsNeeded(ForbiddenZone):
    """Plain http to a public address."""

    code = "https_needed"

    def __init__(self) -> None:
        super().__init__("the host has a public address, which is called by https only; give the https:// URL")


class NoAddress(ForbiddenZone):
    """A name without any address."""

    code = "name_without_address"

    def __init__(self) -> None:
        super().__init__("the host's name has no address; check its spelling")


@dataclass(frozen=True, slots=True)
class GatewayUrl:
    """Where a gateway answers: `host` in lower case and without brackets, in its one spelling."""

    scheme: Scheme
    host: str
    port: int

    @property
    def text(self) -> str:
        """The canonical URL, without a path and without the port that the scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def address(self) -> Address | None:
        """The host, when it is an address and no name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?P<port>:[^:]*)?")
_PORT = re.compile(r":([1-9][0-9]{0,4})")
_DOTTED = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label such as this makes the whole host a number
_REFUSED: dict[str, type[UrlError]] = {
    "\\": UrlCharacters,  # browsers read it as a slash
    "%": UrlCharacters,
    "@": UrlCredentials,
    "#": UrlFragment,
    "?": UrlQuery,
}


def parse(text: str) -> GatewayUrl:
    """The gateway that a text names; the path of its MCP endpoint is cut off. Raises a `UrlError`."""
    _check_characters(text)
    scheme, separator, rest = text.partition("://")
    known = _scheme(scheme.lower())
    if known is None or not separator:
        raise UrlScheme
    for character, refusal in _REFUSED.items():
        if character in rest:
            raise refusal
    authority, slash, path = rest.partition("/")
    host, port = _host_and_port(authority, DEFAULT_PORTS[known])
    if slash + path not in PATHS:
        raise UrlPath
    return GatewayUrl(known, host, port)


def zone_of(address: Address) -> Zone | None:
    """The zone that an address is in; None for one that is never called."""
    if _never_kind(address) is not None:
        return None
    return next((zone for network, zone in _ZONES if address in network), None)


def allowed(url: GatewayUrl, answers: Iterable[Address], zones: Collection[Zone]) -> tuple[Address, ...]:
    """The addresses to call, each once, when every answer for the host may be called. Raises a `ForbiddenZone`."""
    addresses = tuple(dict.fromkeys(answers))
    if not addresses:
        raise NoAddress
    for address in addresses:
        _check_address(url, address, zones)
    return addresses


def _check_characters(text: str) -> None:
    if len(text) > URL_CHARACTERS_MAX:
        raise UrlTooLong
    if not text.isascii():
        raise UrlNotAscii
    if any(not "!" <= character <= "~" for character in text):
        raise UrlCharacters


def _scheme(text: str) -> Scheme | None:
    match text:
        case "http" | "https":
            return text
        case _:
            return None


def _host_and_port(authority: str, default_port: int) -> tuple[str, int]:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise UrlHost
    host = parts["host"].lower()
    port = default_port if parts["port"] is None else _port(parts["port"])
    return (_ipv6(host) if host.startswith("[") else _ipv4_or_name(host)), port


def _port(text: str) -> int:
    digits = _PORT.fullmatch(text)
    if digits is None or int(digits[1]) > PORT_MAX:
        raise UrlPort
    return int(digits[1])


def _ipv6(host: str) -> str:
    try:
        return str(IPv6Address(host[1:-1]))
    except ValueError:
        raise UrlHost from None


def _ipv4_or_name(host: str) -> str:
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return _ipv4(host)
    if len(host) > NAME_CHARACTERS_MAX or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise UrlHost
    return host


def _ipv4(host: str) -> str:
    if not _DOTTED.fullmatch(host):
        raise UrlOddNumber
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise UrlOddNumber from None


def _check_address(url: GatewayUrl, address: Address, zones: Collection[Zone]) -> None:
    zone = zone_of(address)
    if zone is None:
        raise NeverCalled(_never_kind(address) or RESERVED)
    if zone not in zones:
        raise ZoneOff(zone)
    if zone is Zone.PUBLIC and url.scheme != "https":
        raise HttpsNeeded


def _never_kind(address: Address) -> str | None:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "an address that holds on one link only"
    return next((kind for network, kind in _NEVER if address in network), None)


# Our own table, not the library's `is_global`: what that says changes from one Python to the next.
_NEVER_BY_KIND: dict[str, list[str]] = {
    "the unspecified address": ["0.0.0.0/8", "::/128"],
    "a link-local address": ["169.254.0.0/16", "fe80::/10"],
    "a site-local address": ["fec0::/10"],
    "a multicast address": ["224.0.0.0/4", "ff00::/8"],
    "the broadcast address": ["255.255.255.255/32"],
    "an address for documentation": [
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "3fff::/20",
    ],
    "an address for benchmarks": ["198.18.0.0/15", "2001:2::/48"],
    "an IPv4 address inside an IPv6 one": ["::ffff:0:0/96", "::ffff:0:0:0/96"],
    "an address of a NAT64 gateway": ["64:ff9b::/96", "64:ff9b:1::/48"],
    "an address of a 6to4 tunnel": ["2002::/16", "192.88.99.0/24"],
    "an address of a Teredo tunnel": ["2001::/32"],
    # Within the ranges of private and public networks; clouds answer here with the machine's own credentials.
    "the address of a cloud's metadata": [
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:42::42/128",
        "fd00:c1::a9fe:a9fe/128",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
    ],
    # Each machine of a tailnet answers at the first two itself; the last holds any IPv4 address behind a router.
    "an address of the tailnet's own services": [
        "100.100.100.100/32",
        "fd7a:115c:a1e0::53/128",
        "fd7a:115c:a1e0:b1a::/64",
    ],
    RESERVED: ["192.0.0.0/24", "240.0.0.0/4", "2001::/23"],
}
_NEVER: list[tuple[Network, str]] = [
    (ip_network(text), kind) for kind, texts in _NEVER_BY_KIND.items() for text in texts
]
# The first that fits: the tailnet's IPv6 range lies within the LAN's.
_ZONES: list[tuple[Network, Zone]] = [
    (ip_network("127.0.0.0/8"), Zone.LOOPBACK),
    (ip_network("::1/128"), Zone.LOOPBACK),
    (ip_network("100.64.0.0/10"), Zone.TAILNET),
    (ip_network("fd7a:115c:a1e0::/48"), Zone.TAILNET),
    (ip_network("10.0.0.0/8"), Zone.LAN),
    (ip_network("172.16.0.0/12"), Zone.LAN),
    (ip_network("192.168.0.0/16"), Zone.LAN),
    (ip_network("fc00::/7"), Zone.LAN),
    (ip_network("0.0.0.0/0"), Zone.PUBLIC),
    (ip_network("2000::/3"), Zone.PUBLIC),  # the rest of IPv6 was given to nobody yet
]
