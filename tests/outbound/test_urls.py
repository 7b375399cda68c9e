"""A gateway's URL has one spelling, and what it leads to must be in a zone that may be called.

`urls.txt` holds a text and what must come of it, a tab between: the canonical URL, or the code of the refusal.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_hooks import CrowError
from crow_plugins.outbound.urls import (
    DEFAULT_ZONES,
    URL_CHARACTERS_MAX,
    Address,
    ForbiddenZone,
    GatewayUrl,
    HttpsNeeded,
    NeverCalled,
    NoAddress,
    UrlCharacters,
    UrlError,
    UrlHost,
    UrlTooLong,
    Zone,
    ZoneOff,
    allowed,
    parse,
    zone_of,
)

CORPUS = [
    tuple(line.split("\t"))
    for line in (Path(__file__).parent / "urls.txt").read_text().splitlines()
    if not line.startswith("#")
]
FORBIDDEN_V4 = [
    "0.0.0.0/8",
    "100.100.100.100/32",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
FORBIDDEN_V6 = [
    "::/128",
    "::2/127",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "4000::/2",
    "8000::/2",
    "c000::/3",
    "e000::/4",
    "f000::/5",
    "f800::/6",
    "fe00::/9",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
    "fd7a:115c:a1e0::53/128",
    "fd7a:115c:a1e0:b1a::/64",
]


def addresses_in(networks: list[str]) -> st.SearchStrategy[Address]:
    """Any address of these, their edges more often."""
    found = [ip_network(network) for network in networks]
    return st.sampled_from(found).flatmap(
        lambda network: st.integers(0, network.num_addresses - 1).map(lambda position: network[position])
    )


forbidden_v4 = addresses_in(FORBIDDEN_V4)
forbidden = forbidden_v4 | addresses_in(FORBIDDEN_V6)
anything = st.integers(0, 2**32 - 1).map(IPv4Address) | st.integers(0, 2**128 - 1).map(IPv6Address)


def verdict(text: str) -> str:
    """What becomes of a URL that a person types; a name is taken to lead nowhere yet."""
    try:
        url = parse(text)
        if url.address is not None:
            allowed(url, [url.address], DEFAULT_ZONES)
    except CrowError as error:
        return error.code
    return url.text


@pytest.mark.parametrize(("text", "expected"), CORPUS)
def test_each_text_is_one_url_or_one_refusal(text: str, expected: str) -> None:
    assert verdict(text) == expected


def test_every_refusal_of_a_text_or_an_address_is_in_the_corpus() -> None:
    refusals = {error.code for error in [*UrlError.__subclasses__(), *ForbiddenZone.__subclasses__()]}
    told_elsewhere = {UrlTooLong.code, NoAddress.code, "other_origin"}
    assert refusals - told_elsewhere <= {expected for _, expected in CORPUS}


@pytest.mark.parametrize("text", [text for text, expected in CORPUS if "://" not in expected])
def test_a_refusal_is_one_sentence_with_what_to_do_and_without_what_was_typed(text: str) -> None:
    with pytest.raises(CrowError) as refused:
        url = parse(text)
        assert url.address
        allowed(url, [url.address], DEFAULT_ZONES)
    sentence = str(refused.value)
    assert "; " in sentence
    assert "\n" not in sentence
    assert "." not in sentence
    assert len(text) < 9 or text not in sentence


@pytest.mark.parametrize("character", [*map(chr, range(0x21)), "\x7f"])
@pytest.mark.parametrize("place", ["{}http://grackle", "ht{}tp://grackle", "http://gra{}ckle", "http://grackle:80{}"])
def test_no_space_and_no_control_character_stands_anywhere(character: str, place: str) -> None:
    with pytest.raises(UrlCharacters):
        parse(place.format(character))


def test_a_url_is_as_long_as_its_longest_name_and_no_longer() -> None:
    label = "a" * 63
    longest = ".".join([label, label, label, label[:61]])
    assert parse(f"https://{longest}:65535/mcp").host == longest
    with pytest.raises(UrlHost):
        parse(f"https://{longest}a")
    with pytest.raises(UrlTooLong):
        parse("https://" + "a" * URL_CHARACTERS_MAX)


@given(st.text() | st.from_regex(r"https?://[a-z0-9.:\[\]/@%x-]{0,20}", fullmatch=True))
def test_any_text_is_a_canonical_url_or_a_named_refusal(text: str) -> None:
    try:
        url = parse(text)
    except UrlError:
        return
    assert parse(url.text) == url
    assert parse(url.text + "/mcp") == url


@given(st.from_regex(r"https?://[a-z0-9.:\[\]x-]{1,16}(:[0-9]{1,5})?(/mcp)?", fullmatch=True))
def test_other_readers_see_the_same_host_and_port(text: str) -> None:
    try:
        url = parse(text)
    except UrlError:
        return
    split, client = urlsplit(url.text), httpx2.URL(url.text)
    default = {"http": 80, "https": 443}[url.scheme]
    assert (split.scheme, split.hostname, split.port or default) == (url.scheme, url.host, url.port)
    assert (client.scheme, client.raw_host.decode(), client.port or default) == (url.scheme, url.host, url.port)


def odd_spellings(address: IPv4Address) -> list[str]:
    """What some program somewhere takes for this address."""
    number, parts = int(address), [int(part) for part in str(address).split(".")]
    first, second, third, _ = parts
    spellings = [
        f"{number}",
        f"{number:#x}",
        f"{number:#X}",
        f"0{number:o}",
        ".".join(f"{part:#x}" for part in parts),
        ".".join(f"0{part:o}" for part in parts),
        ".".join(f"{part:04d}" for part in parts),
        f"{first}.{number & 0xFFFFFF}",
        f"{first}.{second}.{number & 0xFFFF}",
        f"{first}.{second}.{third}.{parts[3]:#x}",
        f"{address}.",
        str(address).replace(".", "。"),
        str(address).translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}),
        "".join(f"%{ord(character):02x}" for character in str(address)),
        f"grackle@{address}",
        f"grackle:80@{address}",
        f"[{address}]",
        f"[::{address}]",
        f"[::ffff:{address}]",
        f"[::ffff:0:{address}]",
        f"[64:ff9b::{address}]",
        f"[64:ff9b:1::{address}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
        f"[2001:0:{number >> 16:x}:{number & 0xFFFF:x}::1]",
        f"[fd7a:115c:a1e0:b1a:0:1:{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[0000:0:0:0000:0:FFFF:{number >> 16:04X}:{number & 0xFFFF:04X}]",
        f"[::ffff:{address}%25lo]",
    ]
    return [str(address), *spellings]


def refused(url: str, zones: frozenset[Zone] = frozenset(Zone)) -> bool:
    try:
        parsed = parse(url)
        assert parsed.address, "the text was read as a name"
        allowed(parsed, [parsed.address], zones)
    except (UrlError, ForbiddenZone):
        return True
    return False


@given(forbidden_v4, st.sampled_from(["http", "https", "HTTPS"]), st.sampled_from(["", ":443", ":3001", ":3001/mcp"]))
def test_no_spelling_of_a_forbidden_address_passes(address: IPv4Address, scheme: str, rest: str) -> None:
    for spelling in odd_spellings(address):
        assert refused(f"{scheme}://{spelling}{rest}"), spelling


@given(addresses_in(FORBIDDEN_V6))
def test_no_spelling_of_a_forbidden_ipv6_address_passes(address: IPv6Address) -> None:
    for spelling in (str(address), address.exploded, address.exploded.upper(), f"{address}%25eth0"):
        assert refused(f"https://[{spelling}]:3001"), spelling


@given(addresses_in(["127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16", "100.64.0.0/26"]))
def test_an_odd_spelling_of_a_private_address_passes_nowhere(address: IPv4Address) -> None:
    for spelling in odd_spellings(address)[1:]:
        assert refused(f"http://{spelling}"), spelling


@given(forbidden)
def test_a_name_that_leads_to_a_forbidden_address_is_refused(address: Address) -> None:
    with pytest.raises(NeverCalled):
        allowed(parse("https://grackle"), [address], frozenset(Zone))


@given(anything)
def test_what_the_standard_library_knows_as_not_global_is_never_public(address: Address) -> None:
    if not address.is_global:
        assert zone_of(address) is not Zone.PUBLIC


@pytest.mark.parametrize(
    ("zone", "networks"),
    [
        (Zone.LOOPBACK, ["127.0.0.0/8", "::1/128"]),
        (Zone.TAILNET, ["100.64.0.0/11", "fd7a:115c:a1e0:1::/64"]),
        (Zone.LAN, ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd12::/16", "fc00::/8", "fd7a:115c:a1e1::/48"]),
        (Zone.PUBLIC, ["1.1.1.0/24", "172.32.0.0/16", "100.128.0.0/9", "2606:4700::/32", "2a00::/12", "2003::/16"]),
    ],
)
def test_each_zone_holds_its_networks_from_edge_to_edge(zone: Zone, networks: list[str]) -> None:
    for network in map(ip_network, networks):
        assert {zone_of(network[0]), zone_of(network[-1])} == {zone}


@pytest.mark.parametrize("network", [*FORBIDDEN_V4, *FORBIDDEN_V6])
def test_a_forbidden_network_is_so_from_edge_to_edge(network: str) -> None:
    found = ip_network(network)
    assert zone_of(found[0]) is None
    assert zone_of(found[-1]) is None


def test_an_address_with_a_zone_id_is_never_called() -> None:
    assert zone_of(IPv6Address("2606:4700::1%eth0")) is None


@pytest.mark.parametrize("bad", ["169.254.169.254", "::ffff:8.8.8.8", "10.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_answer_that_may_not_be_called_spoils_all(bad: str, position: int) -> None:
    answers = [ip_address("8.8.8.8"), ip_address("2606:4700::1")]
    answers.insert(position, ip_address(bad))
    with pytest.raises((NeverCalled, ZoneOff)):
        allowed(parse("https://grackle"), answers, DEFAULT_ZONES)


def test_a_name_with_one_public_answer_is_called_by_https_only() -> None:
    answers = [ip_address("100.64.0.1"), ip_address("8.8.8.8")]
    assert allowed(parse("https://grackle"), answers, DEFAULT_ZONES) == tuple(answers)
    with pytest.raises(HttpsNeeded):
        allowed(parse("http://grackle"), answers, DEFAULT_ZONES)


@pytest.mark.parametrize(
    ("zone", "address"),
    [(Zone.LAN, "10.1.2.3"), (Zone.LOOPBACK, "::1"), (Zone.TAILNET, "100.64.0.1"), (Zone.PUBLIC, "8.8.8.8")],
)
def test_a_zone_is_called_only_where_it_is_switched_on(zone: Zone, address: str) -> None:
    url, answers = parse("https://grackle"), [ip_address(address)]
    assert allowed(url, answers, {zone}) == tuple(answers)
    with pytest.raises(ZoneOff, match=f"add {zone} to"):
        allowed(url, answers, set(Zone) - {zone})


def test_answers_are_called_in_their_order_and_each_once() -> None:
    first, second = ip_address("127.0.0.2"), ip_address("127.0.0.1")
    assert allowed(parse("http://grackle"), [first, second, first], DEFAULT_ZONES) == (first, second)


def test_a_name_without_answers_is_refused() -> None:
    with pytest.raises(NoAddress):
        allowed(parse("http://grackle"), [], DEFAULT_ZONES)


def test_a_url_tells_a_name_from_an_address() -> None:
    assert parse("http://grackle").address is None
    assert parse("http://[::1]:80") == GatewayUrl("http", "::1", 80)
    assert parse("http://[::1]").address == IPv6Address("::1")
