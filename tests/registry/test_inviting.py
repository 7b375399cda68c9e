"""The inviting side: what is queued, what is let in, and what every refusal leaves as it was."""

from __future__ import annotations

import json
import secrets
import sqlite3
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from crow_hooks import CrowError, Transaction
from crow_plugins.host import Host
from crow_plugins.identity import invitation
from crow_plugins.identity.errors import (
    InvitationExpired,
    InvitationUsed,
    JoinMalformed,
    JoinRefused,
    TriesUsedUp,
    WrongCode,
)
from crow_plugins.identity.invitation import LIFETIME_SECONDS, TRIES, Certified
from crow_plugins.joining import PATH, POST_SIZE_MAX, InvitationUnknown, InvitationWithdrawn, Keeping, Posted
from crow_plugins.registry.inviting import Inviter
from crow_plugins.registry.joining_routes import Allowance, join_routes
from tests.gateway_process import crow
from tests.registry.joining_world import Inviting, asking, device, forged


@pytest.fixture
def world(host: Host) -> Inviting:
    return Inviting(host)


def offer_of(world: Inviting, inviter: Inviter) -> bytes:
    return world.invitations.offer(invitation.invitation_id(inviter.code))


def test_a_machine_that_knows_the_code_is_let_in_and_both_see_the_same_words(world: Inviting) -> None:
    inviter = world.invite()
    joining, posted = asking(inviter.code, offer_of(world, inviter))
    assert world.invitations.take_in(posted) is None
    outcome = inviter.look()
    assert outcome is not None
    assert outcome.refused is None
    answer = world.invitations.take_in(posted)
    assert answer is not None
    joined = invitation.finish(joining, answer, world.host.now())
    assert joined.certificate.instance_id == outcome.instance.id
    assert joined.inviter.instance_id == world.host.instance.id
    assert outcome.fingerprint == invitation.fingerprint(joining.offer, joining.request)
    assert world.names() == ["swan"]


def test_the_same_request_gets_the_same_answer_however_often_and_late(world: Inviting) -> None:
    inviter = world.invite(now=world.host.now() - LIFETIME_SECONDS + 5)
    _, posted = asking(inviter.code, offer_of(world, inviter))
    world.invitations.take_in(posted)
    inviter.look()
    inviter.withdraw()
    first = world.invitations.take_in(posted)
    assert first is not None
    assert [world.invitations.take_in(posted) for _ in range(3)] == [first] * 3


def test_a_request_that_is_sent_again_while_it_waits_takes_one_place(world: Inviting) -> None:
    inviter = world.invite()
    _, posted = asking(inviter.code, offer_of(world, inviter))
    assert [world.invitations.take_in(posted) for _ in range(TRIES + 3)] == [None] * (TRIES + 3)
    assert len(world.invitations.waiting(invitation.invitation_id(inviter.code))) == 1


def test_a_wrong_code_costs_a_try_and_changes_nothing_else(world: Inviting) -> None:
    inviter = world.invite()
    known = invitation.invitation_id(inviter.code)
    wrong = forged(offer_of(world, inviter), known)
    world.invitations.take_in(wrong)
    assert inviter.look() is None
    assert world.invitations.check(known).tries_left == TRIES - 1
    with pytest.raises(WrongCode):
        world.invitations.take_in(wrong)
    assert world.names() == []
    _, right = asking(inviter.code, offer_of(world, inviter))
    world.invitations.take_in(right)
    assert inviter.look() is not None


def test_the_fifth_wrong_code_ends_the_invitation(world: Inviting) -> None:
    inviter = world.invite()
    offer, known = offer_of(world, inviter), invitation.invitation_id(inviter.code)
    for _ in range(TRIES):
        world.invitations.take_in(forged(offer, known))
    with pytest.raises(TriesUsedUp):
        inviter.look()
    _, late = asking(inviter.code, offer)
    with pytest.raises(TriesUsedUp):
        world.invitations.take_in(late)
    assert world.names() == []


def test_the_queue_is_as_long_as_there_are_tries(world: Inviting) -> None:
    inviter = world.invite()
    offer, known = offer_of(world, inviter), invitation.invitation_id(inviter.code)
    for _ in range(TRIES):
        world.invitations.take_in(forged(offer, known))
    with pytest.raises(TriesUsedUp):
        world.invitations.take_in(forged(offer, known))
    assert len(world.invitations.waiting(known)) == TRIES


class Failing:
    """A registry that breaks in the middle of the transaction."""

    def refusal(self, *_: object) -> None:
        return None

    def let_in(self, transaction: Transaction, certified: Certified, gateway_url: str | None) -> None:
        raise CrowError("the disk is full")


def test_a_crash_while_deciding_gives_no_try_back_and_lets_nobody_half_in(world: Inviting) -> None:
    chain, own = world.host.keyring.chain_key(), world.host.keyring.identity.certificate.encode()
    inviter = Inviter(world.invitations, Failing(), chain, own, now=world.host.now)
    known = invitation.invitation_id(inviter.code)
    _, posted = asking(inviter.code, offer_of(world, inviter))
    world.invitations.take_in(posted)
    with pytest.raises(CrowError, match="disk is full"):
        inviter.look()
    kept = world.invitations.check(known)
    assert (kept.used, kept.tries_left) == (False, TRIES - 1)
    assert world.invitations.take_in(posted) is None
    assert world.names() == []


def test_an_expired_invitation_is_over_for_everybody(world: Inviting) -> None:
    early = world.host.now() - LIFETIME_SECONDS
    inviter = world.invite(now=early)
    known = invitation.invitation_id(inviter.code)
    with pytest.raises(InvitationExpired):
        world.invitations.offer(known)
    with pytest.raises(InvitationExpired):
        inviter.look()


def test_a_request_that_came_in_time_is_not_looked_at_after_it(host: Host) -> None:
    world = Inviting(host)
    start = host.now()
    moments = iter([start, start + LIFETIME_SECONDS])
    chain, own = host.keyring.chain_key(), host.keyring.identity.certificate.encode()
    inviter = Inviter(world.invitations, world.arrivals, chain, own, now=lambda: next(moments))
    world.invitations.take_in(asking(inviter.code, offer_of(world, inviter))[1])
    with pytest.raises(InvitationExpired):
        inviter.look()
    assert world.names() == []


def test_of_two_machines_with_one_code_the_second_is_told_that_it_was_used(world: Inviting) -> None:
    inviter = world.invite()
    offer = offer_of(world, inviter)
    requests = [asking(inviter.code, offer, name)[1] for name in ("swan", "heron")]
    for posted in requests:
        world.invitations.take_in(posted)
    outcome = inviter.look()
    assert outcome is not None
    assert world.names() == [outcome.instance.name]
    answers = 0
    for posted in requests:
        try:
            answers += world.invitations.take_in(posted) is not None
        except InvitationUsed:
            continue
    assert answers == 1
    with pytest.raises(InvitationUsed):
        inviter.look()
    with pytest.raises(InvitationUsed):
        world.invitations.offer(invitation.invitation_id(inviter.code))


def test_a_withdrawn_invitation_says_so(world: Inviting) -> None:
    inviter = world.invite()
    offer = offer_of(world, inviter)
    inviter.withdraw()
    with pytest.raises(InvitationWithdrawn):
        offer_of(world, inviter)
    with pytest.raises(InvitationWithdrawn):
        world.invitations.take_in(asking(inviter.code, offer)[1])


def test_an_invitation_that_is_not_there_is_unknown_and_so_is_a_foreign_request(world: Inviting) -> None:
    inviter = world.invite()
    with pytest.raises(InvitationUnknown):
        world.invitations.offer("00" * 8)
    elsewhere = forged(offer_of(world, inviter), "11" * 8)
    with pytest.raises(InvitationUnknown):
        world.invitations.take_in(elsewhere)


@pytest.mark.parametrize(
    "posted",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keeping":null,"request":{},"v":1}',
        b'{"keeping":null,"request":{"invitation":1},"v":1}',
        b'{"keeping":{},"request":{"invitation":"00"},"v":1}',
        b'{"keeping":null,"more":1,"request":{"invitation":"00"},"v":1}',
        b" " * (POST_SIZE_MAX + 1),
        b"\xff",
    ],
)
def test_what_is_no_request_is_refused_before_the_database_is_asked(world: Inviting, posted: bytes) -> None:
    with pytest.raises(JoinMalformed):
        world.invitations.take_in(posted)


def let_in(world: Inviting, name: str, of: object = None, keep: str | None = None) -> None:
    """Join to the end. Raises what the joiner is told."""
    inviter = world.invite()
    joining, posted = asking(inviter.code, offer_of(world, inviter), name, of=of, keep=keep)  # type: ignore[arg-type]
    world.invitations.take_in(posted)
    inviter.look()
    answer = world.invitations.take_in(posted)
    assert answer is not None
    invitation.finish(joining, answer, world.host.now())


@pytest.mark.parametrize("name", ["swan", "grackle"], ids=["another's", "the inviter's own"])
def test_a_name_that_is_taken_ends_the_invitation_and_registers_nobody(world: Inviting, name: str) -> None:
    let_in(world, "swan")
    with pytest.raises(JoinRefused, match="name"):
        let_in(world, name)
    assert world.names() == ["swan"]


def test_a_machine_that_is_in_the_chain_cannot_come_in_a_second_time(world: Inviting) -> None:
    keys = device()
    let_in(world, "swan", keys)
    with pytest.raises(JoinRefused, match="keys"):
        let_in(world, "heron", keys)
    assert world.names() == ["swan"]


def test_the_inviters_own_keys_cannot_come_in(world: Inviting) -> None:
    with pytest.raises(JoinRefused, match="keys"):
        let_in(world, "heron", world.host.keyring.device)
    assert world.names() == []


def test_a_machine_keeps_its_id_when_nobody_has_it(world: Inviting) -> None:
    wanted = "7d444840-9dc0-41d1-b245-5ffdce74fad2"
    let_in(world, "swan", keep=wanted)
    with world.host.read() as db:
        assert db.execute_sql("SELECT 1 FROM crow_instances WHERE id = ?", (wanted,)).fetchone()
    with pytest.raises(JoinRefused):
        let_in(world, "heron", keep=wanted)
    with pytest.raises(JoinRefused):
        let_in(world, "heron", keep=world.host.instance.id)


def test_a_wish_to_keep_an_id_counts_only_from_the_machine_that_asks(world: Inviting) -> None:
    inviter = world.invite()
    joining, _ = asking(inviter.code, offer_of(world, inviter))
    forged_wish = Keeping.of("7d444840-9dc0-41d1-b245-5ffdce74fad2", joining.request, device())
    posted = Posted(joining.request, forged_wish).encoded()
    world.invitations.take_in(posted)
    assert inviter.look() is None
    with pytest.raises(WrongCode):
        world.invitations.take_in(posted)
    assert world.names() == []


def test_what_ended_long_ago_is_cleared_away(world: Inviting) -> None:
    old = world.invite(now=world.host.now() - 3 * 24 * 3600)
    world.invite()
    with pytest.raises(InvitationUnknown):
        world.invitations.check(invitation.invitation_id(old.code))


def test_the_database_holds_neither_code_nor_seed(world: Inviting, home: Path) -> None:
    inviter = world.invite()
    world.invitations.take_in(asking(inviter.code, offer_of(world, inviter))[1])
    inviter.look()
    content = b"".join(path.read_bytes() for path in home.glob("crow.db*"))
    for secret in (inviter.code, world.host.keyring.seed()):
        assert secret not in content
        assert secret.hex().encode() not in content
    assert inviter.spelled.encode() not in content


def test_calls_are_limited_and_the_limit_recovers() -> None:
    moment = [0.0]
    allowance = Allowance(per_second=2, at_once=3, clock=lambda: moment[0])
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
    moment[0] = 0.5
    assert [allowance.take() for _ in range(2)] == [True, False]
    moment[0] = 100.0
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]


@pytest.mark.anyio
async def test_who_knocks_too_often_is_turned_away_before_the_database_is_asked(world: Inviting) -> None:
    routes = join_routes(world.invitations, Allowance(per_second=0, at_once=1))
    transport = httpx2.ASGITransport(app=Starlette(routes=routes))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        first, second = [await client.get(f"{PATH}/{'00' * 8}") for _ in range(2)]
        third = await client.post(PATH, content=b"{}")
    assert [first.status_code, second.status_code, third.status_code] == [404, 429, 429]
    assert second.json() == {"v": 1, "refused": "too_many_ask"}


def test_a_machine_without_the_seed_says_that_it_cannot_invite(home: Path) -> None:
    (home / "keys" / "seed.json").unlink()
    done = crow(home, "invite")
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds no master seed" in done.stderr


def test_random_bytes_in_place_of_a_request_never_pass(world: Inviting) -> None:
    """Any one byte of a posted request changed: refused at once, or a wrong code when it is opened."""
    inviter = world.invite()
    _, posted = asking(inviter.code, offer_of(world, inviter))
    seed = secrets.randbelow(1 << 30)
    print(f"seed {seed}")
    place = len(posted) // 2 + seed % 100
    changed = posted[:place] + (b"0" if posted[place : place + 1] != b"0" else b"1") + posted[place + 1 :]
    world.invitations.take_in(changed)
    assert inviter.look() is None
    assert world.names() == []


def test_tables_hold_what_the_schema_says(world: Inviting, home: Path) -> None:
    inviter = world.invite()
    world.invitations.take_in(forged(offer_of(world, inviter), invitation.invitation_id(inviter.code)))
    inviter.look()
    with sqlite3.connect(home / "crow.db") as db:
        assert db.execute("SELECT outcome, answer FROM join_requests").fetchall() == [("wrong_code", None)]
        [(state,)] = db.execute("SELECT state FROM invitations").fetchall()
    db.close()
    assert json.loads(state)["tries_left"] == TRIES - 1
