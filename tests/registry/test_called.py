"""What anybody may send to a gateway's `/.well-known/crow`, and how little comes of it unless they are of the chain."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from crow_hooks import Credentials
from crow_plugins.host import Host
from crow_plugins.identity import challenge
from crow_plugins.identity.challenge import Exchange, Hello
from crow_plugins.keyring import Keyring
from tests.gateway_process import Gateway, crow, running_gateway
from tests.registry.joining_world import rows
from tests.registry.world import CHAIN, OTHER_CHAIN, PATH, PROOF_PATH, House, Machine, chain_home

URL = "http://127.0.0.1:4100"
REVOKED = Machine("lost")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = chain_home(tmp_path_factory.mktemp("called"), "grackle", settings='gateway_url = "https://crow.example"')
    with Host(home) as host:
        House(host).registry.learn(Credentials((REVOKED.signed,), (REVOKED.revoked(),)))
    return home


@pytest.fixture(scope="module")
def gateway(home: Path) -> Iterator[Gateway]:
    with running_gateway(home) as gateway:
        yield gateway


@pytest.fixture
def web(gateway: Gateway) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway.base_url, timeout=20) as client:
        yield client


def opened(web: httpx2.Client, caller: Machine) -> Exchange:
    sent = Hello(caller.id, secrets.token_bytes(32))
    answer = web.post(PATH, content=challenge.hello(sent.instance_id, sent.challenge))
    assert answer.status_code == 200
    return challenge.verify_answer(answer.content, sent, CHAIN.public_key, int(time.time()))


def proof(exchange: Exchange, caller: Machine, gateway_url: str | None = URL) -> bytes:
    to, ephemeral = exchange.callee.instance_key, secrets.token_bytes(32)
    key = caller.device.instance
    return challenge.prove(exchange, "caller", caller.signed, key, to, gateway_url=gateway_url, ephemeral=ephemeral)


def names(home: Path) -> dict[str, dict[str, Any]]:
    """The rows of the registry by name, read beside the gateway."""
    columns = "name", "id", "gateway_url", "status"
    found = [
        dict(zip(columns, row, strict=True)) for row in rows(home, f"SELECT {', '.join(columns)} FROM crow_instances")
    ]
    return {str(each["name"]): each for each in found}


def test_a_machine_of_the_chain_is_registered_where_it_says_it_is(web: httpx2.Client, home: Path) -> None:
    swan = Machine("swan")
    exchange = opened(web, swan)
    answer = web.post(PROOF_PATH, content=proof(exchange, swan))
    key, now = swan.device.instance, int(time.time())
    proved = challenge.verify_proof(answer.content, exchange, "callee", key, CHAIN.public_key, now)
    assert proved.certificate.name == "grackle"
    known = names(home)["swan"]
    assert (known["id"], known["gateway_url"], known["status"]) == (swan.id, URL, "online")


@pytest.mark.parametrize(
    "headers", [{"Host": "crow.example"}, {"X-Forwarded-For": "203.0.113.5"}, {"Forwarded": "for=203.0.113.5"}]
)
def test_a_loopback_address_from_behind_a_proxy_is_of_another_machine(
    web: httpx2.Client, home: Path, headers: dict[str, str]
) -> None:
    name = f"far {len(names(home))}"
    machine = Machine(name)
    exchange = opened(web, machine)
    assert web.post(PROOF_PATH, content=proof(exchange, machine), headers=headers).status_code == 200
    assert names(home)[name]["gateway_url"] is None


@pytest.mark.parametrize("said", [None, "http://user@host", "file:///etc/passwd", "http://0x7f.1"])
def test_an_address_that_is_none_is_left_out(web: httpx2.Client, home: Path, said: str | None) -> None:
    name = f"odd {len(names(home))}"
    machine = Machine(name)
    answer = web.post(PROOF_PATH, content=proof(opened(web, machine), machine, said))
    assert answer.status_code in (200, 403)
    assert names(home).get(name, {}).get("gateway_url") is None


def test_one_whose_name_is_taken_gets_a_number(web: httpx2.Client, home: Path) -> None:
    machine = Machine("grackle")
    assert web.post(PROOF_PATH, content=proof(opened(web, machine), machine)).status_code == 200
    assert names(home)["grackle (2)"]["id"] == machine.id


@pytest.mark.parametrize(
    ("caller", "code"),
    [
        (Machine("thief", chain=OTHER_CHAIN), "certificate_foreign"),
        (Machine("old").with_certificate(not_before=1, expires=2), "certificate_expired"),
        (REVOKED, "instance_revoked"),
    ],
    ids=["foreign", "expired", "revoked"],
)
def test_who_is_not_of_the_chain_is_refused_and_shown_nothing(
    web: httpx2.Client, home: Path, caller: Machine, code: str
) -> None:
    before = names(home)
    answer = web.post(PROOF_PATH, content=proof(opened(web, caller), caller))
    assert (answer.status_code, answer.json()) == (403, {"v": 1, "refused": code})
    assert names(home) == before


def test_a_proof_is_good_once(web: httpx2.Client) -> None:
    swan = Machine("goose")
    sent = proof(opened(web, swan), swan)
    assert web.post(PROOF_PATH, content=sent).status_code == 200
    again = web.post(PROOF_PATH, content=sent)
    assert (again.status_code, again.json()["refused"]) == (403, "challenge_unknown")


def test_a_proof_belongs_to_its_exchange(web: httpx2.Client) -> None:
    swan = Machine("duck")
    sent = proof(opened(web, swan), swan)
    other = opened(web, swan)
    fields = {**json.loads(sent), "echo": other.challenge.hex()}
    moved = json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()
    assert web.post(PROOF_PATH, content=moved).json()["refused"] == "probe_forged"


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        (PATH, b"", 400),
        (PATH, b"{}", 400),
        (PATH, b"\xff\xfe", 400),
        (PATH, b"x" * 10_000, 413),
        (PROOF_PATH, b"{}", 403),
        (PROOF_PATH, b"x" * 100_000, 413),
    ],
)
def test_what_is_no_message_is_refused_by_a_code(web: httpx2.Client, path: str, sent: bytes, status: int) -> None:
    answer = web.post(path, content=sent)
    assert answer.status_code == status
    assert set(answer.json()) == {"v", "refused"}


def test_our_own_id_is_nobody_elses(web: httpx2.Client, home: Path) -> None:
    own = Keyring.public(home).instance_id
    answer = web.post(PATH, content=challenge.hello(own, secrets.token_bytes(32)))
    assert (answer.status_code, answer.json()["refused"]) == (400, "probe_of_itself")


def test_there_is_nothing_to_get(web: httpx2.Client) -> None:
    assert web.get(PATH).status_code == web.get(PROOF_PATH).status_code == 405


def test_the_gateway_answers_to_the_name_of_its_address_and_to_no_other(web: httpx2.Client) -> None:
    assert web.get("/health", headers={"Host": "crow.example"}).status_code == 200
    assert web.get("/health", headers={"Host": "evil.example"}).status_code == 421


def test_one_that_asks_without_end_is_turned_away(web: httpx2.Client) -> None:
    sent = challenge.hello(Machine("eager").id, secrets.token_bytes(32))
    statuses = {web.post(PATH, content=sent).status_code for _ in range(600)}
    assert 429 in statuses


def test_where_it_is_switched_off_nobody_is_registered_in_turn(tmp_path: Path) -> None:
    home = chain_home(tmp_path, "rook", settings="register_back = false")
    swan = Machine("swan")
    with running_gateway(home) as gateway, httpx2.Client(base_url=gateway.base_url, timeout=20) as web:
        assert web.post(PROOF_PATH, content=proof(opened(web, swan), swan)).status_code == 200
    assert names(home) == {}


def test_an_address_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    home = chain_home(tmp_path, "rook", settings='gateway_url = "crow.example"')
    done = crow(home, "status")
    assert "setting gateway_url" in done.stdout + done.stderr
