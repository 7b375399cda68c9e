"""What instances tell one another of the chain: what is signed by it is kept, once, and the rest is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from crow_hooks import Credentials, NotFound
from crow_plugins.host import Host
from crow_plugins.identity.revocation import STATEMENTS_PER_INSTANCE_MAX
from crow_plugins.registry.naming import Ambiguous, NameTaken
from tests.registry.world import OTHER_CHAIN, House, Machine, chain_home


@pytest.fixture
def grackle(tmp_path: Path) -> Iterator[House]:
    with Host(chain_home(tmp_path, "grackle")) as host:
        yield House(host)


def told(*machines: Machine) -> Credentials:
    return Credentials(tuple(machine.signed for machine in machines), ())


def revoking(*statements: bytes) -> Credentials:
    return Credentials((), statements)


def test_an_instance_that_was_told_of_has_a_row_without_an_address(grackle: House) -> None:
    swan = Machine("swan")
    assert grackle.registry.learn(told(swan)) == {swan.id}
    known = grackle.known("swan")
    assert (known.instance, known.gateway_url, known.status, known.last_seen) == (swan.instance, None, "unknown", None)
    assert (known.instance_key, known.feed_key) == (swan.certificate.instance_key, swan.certificate.feed_key)


def test_being_told_again_is_no_news(grackle: House) -> None:
    swan = Machine("swan")
    grackle.registry.learn(told(swan))
    before = grackle.everything()
    assert grackle.registry.learn(told(swan)) == frozenset()
    assert grackle.everything() == before


def test_our_own_certificate_makes_no_row(grackle: House) -> None:
    assert grackle.registry.learn(grackle.registry.credentials()) == frozenset()
    assert grackle.registry.others() == ()


def test_what_is_not_signed_by_our_chain_is_passed_over_and_the_rest_kept(grackle: House) -> None:
    swan, stranger = Machine("swan"), Machine("thief", chain=OTHER_CHAIN)
    forged = swan.signed.replace(b"swan", b"swam")
    heard = Credentials((stranger.signed, forged, b"junk", b"", swan.signed), (b"junk", swan.revoked(OTHER_CHAIN)))
    assert grackle.registry.learn(heard) == {swan.id}
    assert not grackle.known("swan").revoked


def test_a_newer_certificate_replaces_the_older_and_not_the_other_way_round(grackle: House) -> None:
    swan = Machine("swan")
    older = swan.signed
    newer = swan.with_certificate(serial=2, role="home").signed
    grackle.registry.learn(Credentials((older,), ()))
    assert grackle.registry.learn(Credentials((newer,), ())) == {swan.id}
    assert grackle.registry.learn(Credentials((older,), ())) == frozenset()
    assert grackle.known("swan").instance.role == "home"
    assert grackle.registry.credentials().certificates[1:] == (newer,)


def test_of_two_machines_with_one_name_the_second_gets_a_number(grackle: House) -> None:
    grackle.registry.learn(told(Machine("swan"), Machine("swan"), Machine("grackle")))
    names = [other.instance.name for other in grackle.registry.others()]
    assert names == ["grackle (2)", "swan", "swan (2)"]


def test_a_long_name_with_a_number_is_not_longer_than_a_name_may_be(grackle: House) -> None:
    name = "x" * 64
    grackle.registry.learn(told(Machine(name), Machine(name)))
    assert sorted(len(other.instance.name) for other in grackle.registry.others()) == [64, 64]


def test_a_revocation_ends_trust_and_is_told_on(grackle: House) -> None:
    swan = Machine("swan")
    grackle.registry.learn(told(swan))
    assert grackle.registry.learn(revoking(swan.revoked())) == {swan.id}
    assert grackle.known("swan").revoked
    assert grackle.registry.credentials().revocations == (swan.revoked(),)
    assert grackle.registry.learn(revoking(swan.revoked())) == frozenset()


def test_a_revocation_may_come_before_the_certificate(grackle: House) -> None:
    swan = Machine("swan")
    grackle.registry.learn(revoking(swan.revoked()))
    assert grackle.registry.is_revoked(swan.id)
    grackle.registry.learn(told(swan))
    assert grackle.known("swan").revoked


def test_a_new_certificate_does_not_bring_trust_back(grackle: House) -> None:
    swan = Machine("swan")
    grackle.registry.learn(Credentials((swan.signed,), (swan.revoked(),)))
    grackle.registry.learn(told(swan.with_certificate(serial=2)))
    assert grackle.known("swan").revoked


def test_machines_that_heard_the_same_in_another_order_hold_the_same(tmp_path: Path) -> None:
    swan = Machine("swan")
    statements = [swan.revoked(serial=serial) for serial in range(1, STATEMENTS_PER_INSTANCE_MAX + 4)]
    held = []
    for name, order in (("grackle", statements), ("rook", statements[::-1])):
        with Host(chain_home(tmp_path, name)) as host:
            for statement in order:
                House(host).registry.learn(revoking(statement))
            held.append(House(host).registry.credentials().revocations)
    assert held[0] == held[1]
    assert len(held[0]) == STATEMENTS_PER_INSTANCE_MAX


def test_contact_shows_and_is_not_written_every_second(grackle: House) -> None:
    swan = Machine("swan")
    grackle.registry.learn(told(swan))
    grackle.registry.seen(swan.id, "online")
    before = grackle.everything()
    grackle.registry.seen(swan.id, "online")
    assert grackle.everything() == before
    assert grackle.known("swan").status == "online"
    grackle.registry.seen("nobody", "online")


@pytest.mark.anyio
async def test_while_it_serves_contact_with_all_is_written_as_soon_as_one_has_waited_a_minute(tmp_path: Path) -> None:
    now = [1_000_000]
    with await asyncio.to_thread(lambda: Host(chain_home(tmp_path, "grackle"), now=lambda: now[0])) as host:
        house, swan, rook = House(host), Machine("swan"), Machine("rook")
        await asyncio.to_thread(house.registry.learn, told(swan, rook))
        await house.registry.start()
        try:
            for machine in (swan, rook):
                await asyncio.to_thread(house.registry.seen, machine.id, "online")
            now[0] += 30
            await asyncio.to_thread(house.registry.seen, swan.id, "online")
            await asyncio.to_thread(house.registry._look_once)
            assert house.known("swan").last_seen == 1_000_000
            now[0] += 30
            await asyncio.to_thread(house.registry.seen, rook.id, "online")
            await asyncio.to_thread(house.registry._look_once)
            assert [house.known(name).last_seen for name in ("swan", "rook")] == [1_000_030, 1_000_060]
        finally:
            await house.registry.stop()


def test_a_probe_does_not_end_syncing(grackle: House) -> None:
    swan = Machine("swan")
    grackle.registry.learn(told(swan))
    grackle.registry.seen(swan.id, "syncing")
    grackle.registry.answered(swan.id)
    assert grackle.known("swan").status == "syncing"


# ---- names --------------------------------------------------------------------------------------


def test_an_instance_is_found_by_id_name_and_beginnings_of_either(grackle: House) -> None:
    swan = Machine("black-swan")
    grackle.registry.learn(told(swan, Machine("rook")))
    for named in (swan.id, "black-swan", "bl", swan.id[:13]):
        assert grackle.registry.find(named).instance.id == swan.id


def test_a_whole_name_goes_before_the_beginning_of_another(grackle: House) -> None:
    grackle.registry.learn(told(Machine("swan"), Machine("swansong")))
    assert grackle.registry.find("swan").instance.name == "swan"
    with pytest.raises(Ambiguous, match="swan, swansong"):
        grackle.registry.find("swa")


@pytest.mark.parametrize(
    ("named", "said"), [("swam", "did you mean swan"), ("zzzz", "known are rook, swan"), ("", "known are rook, swan")]
)
def test_an_unknown_name_is_answered_with_the_nearest(grackle: House, named: str, said: str) -> None:
    grackle.registry.learn(told(Machine("swan"), Machine("rook")))
    with pytest.raises(NotFound, match=said):
        grackle.registry.find(named)


def test_where_nobody_is_known_that_is_said(grackle: House) -> None:
    with pytest.raises(NotFound, match="no other instance is known here yet"):
        grackle.registry.find("swan")
    with pytest.raises(NotFound, match="this instance itself"):
        grackle.registry.find("grackle")


def test_a_label_is_this_machines_own_and_nobody_elses(grackle: House) -> None:
    swan, rook = Machine("swan"), Machine("rook")
    grackle.registry.learn(told(swan, rook))
    assert grackle.registry.update(swan.id, name="the white one", gateway_url=None).instance.name == "the white one"
    for taken in ("rook", "grackle"):
        with pytest.raises(NameTaken):
            grackle.registry.update(swan.id, name=taken, gateway_url=None)
    assert grackle.known("the white one").instance.id == swan.id


def test_a_name_that_was_taken_meanwhile_is_refused_with_the_row(grackle: House) -> None:
    swan, rook = Machine("swan"), Machine("rook")
    grackle.registry.learn(told(rook))
    before = grackle.everything()
    for taken in ("rook", "grackle"):
        with pytest.raises(NameTaken):
            grackle.registry.keep(swan.certificate, swan.signed, "http://127.0.0.1:9", taken)
    assert grackle.everything() == before


def test_a_removed_instance_is_hidden_and_stays_trusted(grackle: House) -> None:
    swan = Machine("swan")
    grackle.registry.learn(told(swan))
    grackle.registry.hide(swan.id)
    with pytest.raises(NotFound):
        grackle.registry.find("swan")
    assert [entry["name"] for entry in grackle.mirror()] == ["grackle"]
    assert grackle.registry.credentials().certificates[1:] == (swan.signed,)
    assert not grackle.known("swan").revoked


def test_one_that_was_removed_does_not_come_back_by_announcing_itself(grackle: House) -> None:
    swan = Machine("swan")
    grackle.registry.learn(told(swan))
    grackle.registry.hide(swan.id)
    grackle.registry.announced(swan.certificate, swan.signed, "http://127.0.0.1:9")
    assert grackle.known("swan").hidden
    assert not grackle.registry.keep(swan.certificate, swan.signed, "http://127.0.0.1:9").hidden


# ---- the mirror ---------------------------------------------------------------------------------


def test_the_mirror_says_what_the_registry_says(grackle: House) -> None:
    swan = Machine("swan")
    grackle.registry.learn(told(swan))
    grackle.registry.update(swan.id, name="white", gateway_url="http://127.0.0.1:3009")
    own, other = grackle.mirror()
    assert own["self"]
    assert own["id"] == grackle.host.instance.id
    chain = grackle.registry.chain.hex()
    assert other == {
        "id": swan.id,
        "name": "white",
        "role": "satellite",
        "gateway_url": "http://127.0.0.1:3009",
        "public_key": chain,
        "status": "unknown",
        "last_seen": None,
        "revoked": False,
    }


def test_a_mirror_that_cannot_be_written_stops_nothing(grackle: House, tmp_path: Path) -> None:
    (grackle.host.home.folder / "instances.json").mkdir()
    grackle.registry.learn(told(Machine("swan")))
    assert grackle.known("swan")


def test_a_second_process_sees_what_the_first_wrote(grackle: House) -> None:
    with Host(grackle.host.home.folder) as beside:
        grackle.registry.learn(told(Machine("swan")))
        assert House(beside).known("swan")
