"""Machines join over real gateways; killed wherever it may be, both sides are before it or after it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from crow_plugins.config import Home
from crow_plugins.files import make_private_folder, write_private
from crow_plugins.gateway import only_gateway
from crow_plugins.identity import invitation
from crow_plugins.joining import PATH, POST_SIZE_MAX, HomeInUse, Underway, change_over, check_alone, unfinished
from crow_plugins.keyring import Keyring, NoIdentity
from tests.gateway_process import CROW, Gateway, crow, running_gateway
from tests.registry.joining_world import (
    DEADLINE_SECONDS,
    OpenInvitation,
    asking,
    files_with,
    joiner,
    open_invitation,
    rows,
    seed_of,
)

NAMES = "SELECT name FROM crow_instances ORDER BY name"


@pytest.fixture(scope="module")
def inviting_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain") / "desktop"
    make_private_folder(folder)
    Keyring.create(folder, name="desktop", role="home", now=int(time.time()))
    return folder


@pytest.fixture(scope="module")
def gateway(inviting_home: Path) -> Iterator[Gateway]:
    with running_gateway(inviting_home) as running:
        yield running


@pytest.fixture
def invited(inviting_home: Path, gateway: Gateway) -> Iterator[OpenInvitation]:
    with open_invitation(inviting_home) as opened:
        yield opened


def join(
    home: Path, gateway: Gateway, code: str, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return crow(home, "join", gateway.base_url, code, "--json", *options, **environment)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        os.sched_yield()


def is_registered(home: Path, name: str) -> bool:
    return (name,) in rows(home, NAMES)


# ---- the way as it should be ----------------------------------------------------------------------------------------


def test_a_laptop_joins_and_both_sides_know_each_other(
    inviting_home: Path, gateway: Gateway, invited: OpenInvitation, tmp_path: Path
) -> None:
    laptop = tmp_path / "laptop"
    done = join(laptop, gateway, invited.code, "--name", "laptop")
    assert done.returncode == 0, done.stderr
    said, heard = json.loads(done.stdout), invited.outcome()
    assert invited.url == gateway.base_url
    assert heard == {
        "joined": {"instance_id": said["instance_id"], "name": "laptop", "role": "satellite"},
        "fingerprint": said["fingerprint"],
    }
    assert len(said["fingerprint"].split()) == 8
    assert said["fingerprint"] in done.stderr
    desktop = Keyring.public(inviting_home)
    assert said["inviter"] == {"instance_id": desktop.instance_id, "name": "desktop", "url": gateway.base_url}
    assert Keyring.public(laptop).chain == desktop.chain
    assert rows(laptop, "SELECT id, name, gateway_url FROM crow_instances WHERE name = 'desktop'") == [
        (desktop.instance_id, "desktop", gateway.base_url)
    ]
    assert rows(inviting_home, "SELECT id, gateway_url FROM crow_instances WHERE name = 'laptop'") == [
        (said["instance_id"], None)
    ]


def test_the_code_may_come_by_standard_input_where_nobody_sees_it(
    gateway: Gateway, invited: OpenInvitation, tmp_path: Path
) -> None:
    done = crow(tmp_path / "a", "join", gateway.base_url, "-", "--name", "quiet", stdin=f"{invited.code.lower()}\n")
    assert done.returncode == 0, done.stderr
    assert Keyring.public(tmp_path / "a").name == "quiet"


def test_no_seed_and_no_code_is_left_on_the_laptop(
    inviting_home: Path, gateway: Gateway, invited: OpenInvitation, tmp_path: Path
) -> None:
    laptop = tmp_path / "laptop"
    assert join(laptop, gateway, invited.code, "--name", "seedless").returncode == 0
    assert files_with(laptop, seed_of(inviting_home)) == []
    assert files_with(laptop, invitation.typed(invited.code)) == []
    assert not (laptop / "joining.json").exists()
    assert not Keyring.public(laptop).has_seed
    assert "holds no master seed" in crow(laptop, "invite").stderr


def test_with_a_passphrase_no_secret_lies_open_at_any_step(
    inviting_home: Path, gateway: Gateway, invited: OpenInvitation, tmp_path: Path
) -> None:
    laptop, passphrase = tmp_path / "laptop", tmp_path / "passphrase"
    write_private(passphrase, b"correct horse\n")

    async def begin() -> Underway:
        async with joiner(laptop, gateway.base_url, "correct horse") as side:
            return await side.begin(invitation.typed(invited.code), "sealed")

    underway = asyncio.run(begin())
    assert underway.secret is not None
    assert b"box" in underway.secret
    done = join(laptop, gateway, invited.code, CROW_PASSPHRASE_FILE=str(passphrase))
    assert done.returncode == 0, done.stderr
    assert Keyring.public(laptop).encrypted
    assert not Keyring.load(laptop, "correct horse").locked


def test_a_sealed_seed_is_asked_for_its_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed, passphrase = tmp_path / "sealed", tmp_path / "passphrase"
    write_private(passphrase, b"correct horse\n")
    assert crow(sealed, "init", "--name", "sealed", "--passphrase-file", str(passphrase)).returncode == 0
    for command in (["invite"], ["instances", "revoke", "nobody", "--yes"]):
        assert crow(sealed, *command).returncode == 1
    assert "passphrase" in crow(sealed, "invite").stderr
    monkeypatch.setenv("CROW_PASSPHRASE_FILE", str(passphrase))
    with running_gateway(sealed) as serving, open_invitation(sealed) as opened:
        monkeypatch.delenv("CROW_PASSPHRASE_FILE")
        done = join(tmp_path / "laptop", serving, opened.code, "--name", "laptop")
    assert done.returncode == 0, done.stderr
    assert not Keyring.public(tmp_path / "laptop").encrypted


# ---- refusals: each has its sentence and changes nothing ------------------------------------------------------------


def refused(done: subprocess.CompletedProcess[str], home: Path) -> str:
    assert done.returncode == 1, done.stdout
    assert done.stdout == ""
    assert not (home / "identity.json").exists()
    assert not (home / "joining.json").exists()
    return done.stderr.splitlines()[-1]


def test_a_code_of_no_invitation_is_unknown(gateway: Gateway, tmp_path: Path) -> None:
    code = invitation.spelled(bytes(range(16)))
    assert "knows no invitation of this code" in refused(join(tmp_path / "a", gateway, code), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_slip_of_the_finger_is_told_without_asking_anybody(gateway: Gateway, tmp_path: Path) -> None:
    assert "not an invitation code" in refused(join(tmp_path / "a", gateway, "1234-5678"), tmp_path / "a")


def test_a_used_invitation_says_so(gateway: Gateway, invited: OpenInvitation, tmp_path: Path) -> None:
    assert join(tmp_path / "a", gateway, invited.code, "--name", "first").returncode == 0
    assert "was used already" in refused(join(tmp_path / "b", gateway, invited.code), tmp_path / "b")


def test_a_withdrawn_invitation_says_so(inviting_home: Path, gateway: Gateway, tmp_path: Path) -> None:
    with open_invitation(inviting_home) as opened:
        opened.process.send_signal(signal.SIGINT)
        assert opened.process.wait(DEADLINE_SECONDS) == 130
    assert "was withdrawn" in refused(join(tmp_path / "a", gateway, opened.code), tmp_path / "a")


def test_an_invitation_that_is_withdrawn_while_somebody_waits_ends_the_wait(
    inviting_home: Path, gateway: Gateway, tmp_path: Path
) -> None:
    home = tmp_path / "a"
    with open_invitation(inviting_home) as opened:
        opened.process.send_signal(signal.SIGSTOP)
        command = [*CROW, "join", gateway.base_url, opened.code, "--name", "late", "--home", str(home)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as waiting:
            until((home / "joining.json").exists)
            opened.process.send_signal(signal.SIGTERM)
            opened.process.send_signal(signal.SIGCONT)
            _, said = waiting.communicate(timeout=DEADLINE_SECONDS)
    # Woken and stopped at once, the inviter may have looked once more: then all is done, else nothing.
    assert ("was withdrawn" in said) != is_registered(inviting_home, "late")
    assert (home / "identity.json").exists() == is_registered(inviting_home, "late")


def test_a_name_that_is_taken_is_refused_on_both_sides(
    gateway: Gateway, invited: OpenInvitation, tmp_path: Path
) -> None:
    said = refused(join(tmp_path / "a", gateway, invited.code, "--name", "desktop"), tmp_path / "a")
    assert "another instance has this name" in said
    _, heard = invited.process.communicate(timeout=DEADLINE_SECONDS)
    assert invited.process.returncode == 1
    assert "another instance has this name" in heard


@pytest.mark.parametrize("said", ["y", "n", ""])
def test_the_inviter_may_ask_first_and_only_a_yes_lets_in(
    said: str, inviting_home: Path, gateway: Gateway, tmp_path: Path
) -> None:
    home, name = tmp_path / "asking", f"asking-{said}"
    with open_invitation(inviting_home, "--ask", stdin=f"{said}\n") as opened:
        done = join(home, gateway, opened.code, "--name", name)
        _, shown = opened.process.communicate(timeout=DEADLINE_SECONDS)
    assert f"{name} knows the code. Its eight words: " in shown
    assert is_registered(inviting_home, name) == (said == "y")
    if said == "y":
        assert json.loads(done.stdout)["fingerprint"] in shown
    else:
        assert "its operator said no" in refused(done, home)


def test_a_home_with_an_identity_is_left_alone(gateway: Gateway, invited: OpenInvitation, home: Path) -> None:
    before = (home / "identity.json").read_bytes()
    done = join(home, gateway, invited.code)
    assert done.returncode == 1
    assert "has an identity already" in done.stderr
    assert (home / "identity.json").read_bytes() == before


class OtherServer(BaseHTTPRequestHandler):
    """A server of something else, which knows no such path and says so in JSON."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"error":"no such page"}')

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_a_server_that_is_no_gateway_is_told_from_one_without_an_invitation(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), OtherServer) as server:
        Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = crow(tmp_path / "a", "join", url, invitation.spelled(bytes(range(16))))
    assert "check that the address is of a Crow gateway" in refused(done, tmp_path / "a")


def test_where_nothing_listens_the_sentence_says_so(tmp_path: Path) -> None:
    code = invitation.spelled(bytes(range(16)))
    done = crow(tmp_path / "a", "join", "http://127.0.0.1:9", code)
    assert done.returncode == 1
    assert "nothing answers at that address" in done.stderr


def test_the_local_network_is_called_only_when_that_was_said(tmp_path: Path) -> None:
    code = invitation.spelled(bytes(range(16)))
    done = crow(tmp_path / "a", "join", "http://192.168.255.254:9", code)
    assert done.returncode == 1
    assert "zone lan" in done.stderr


def test_two_machines_race_for_one_code_and_one_comes_in(
    inviting_home: Path, gateway: Gateway, invited: OpenInvitation, tmp_path: Path
) -> None:
    names = ["race-a", "race-b"]
    commands = [
        [*CROW, "join", gateway.base_url, invited.code, "--name", name, "--home", str(tmp_path / name)]
        for name in names
    ]
    running = [subprocess.Popen(each, stderr=subprocess.PIPE, text=True) for each in commands]
    said = [each.communicate(timeout=DEADLINE_SECONDS)[1] for each in running]
    codes = sorted(each.returncode for each in running)
    assert codes == [0, 1]
    assert sum("was used already" in each for each in said) == 1
    assert sum(is_registered(inviting_home, name) for name in names) == 1
    assert sum((tmp_path / name / "identity.json").exists() for name in names) == 1


def test_a_gateway_tells_strangers_little_and_takes_little(gateway: Gateway) -> None:
    assert answer_to(gateway, f"{PATH}/{'00' * 8}") == (404, {"v": 1, "refused": "invitation_unknown"})
    assert answer_to(gateway, f"{PATH}/%27%20OR%201") == (404, {"v": 1, "refused": "invitation_unknown"})
    assert answer_to(gateway, PATH, b"{}") == (400, {"v": 1, "refused": "join_malformed"})
    assert answer_to(gateway, PATH, b" " * (POST_SIZE_MAX + 1)) == (400, {"v": 1, "refused": "join_malformed"})


def answer_to(gateway: Gateway, path: str, body: bytes | None = None) -> tuple[int, object]:
    try:
        with urllib.request.urlopen(gateway.base_url + path, body, timeout=10) as got:
            return got.status, json.loads(got.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_replayed_request_gives_its_maker_nothing_new(
    inviting_home: Path, gateway: Gateway, invited: OpenInvitation
) -> None:
    code = invitation.typed(invited.code)
    _, offer = answer_to(gateway, f"{PATH}/{invitation.invitation_id(code)}")
    canonical = json.dumps(offer, separators=(",", ":"), sort_keys=True).encode()
    _, posted = asking(code, canonical, "replayed")
    assert answer_to(gateway, PATH, posted)[0] == 202
    invited.outcome()
    answers = [answer_to(gateway, PATH, posted) for _ in range(3)]
    assert [status for status, _ in answers] == [200] * 3
    assert answers[0] == answers[1] == answers[2]
    assert rows(inviting_home, "SELECT count(*) FROM crow_instances WHERE name = 'replayed'") == [(1,)]


# ---- killed ---------------------------------------------------------------------------------------------------------


async def until_begun(home: Path, gateway: Gateway, invited: OpenInvitation, name: str) -> None:
    async with joiner(home, gateway.base_url) as side:
        await side.begin(invitation.typed(invited.code), name)


async def until_posted(home: Path, gateway: Gateway, invited: OpenInvitation, name: str) -> None:
    async with joiner(home, gateway.base_url) as side:
        await side.ask(await side.begin(invitation.typed(invited.code), name))
    await asyncio.to_thread(invited.process.wait, DEADLINE_SECONDS)


async def until_answered(home: Path, gateway: Gateway, invited: OpenInvitation, name: str) -> None:
    async with joiner(home, gateway.base_url) as side:
        await side.wait(await side.begin(invitation.typed(invited.code), name))


async def until_adopted(home: Path, gateway: Gateway, invited: OpenInvitation, name: str) -> None:
    async with joiner(home, gateway.base_url) as side:
        side.adopt(await side.wait(await side.begin(invitation.typed(invited.code), name)))


@pytest.mark.parametrize("stop", [until_begun, until_posted, until_answered, until_adopted])
def test_a_join_that_was_cut_off_is_ended_by_the_same_command(
    stop: Callable[..., Coroutine[None, None, None]],
    inviting_home: Path,
    gateway: Gateway,
    invited: OpenInvitation,
    tmp_path: Path,
) -> None:
    home, name = tmp_path / "cut", stop.__name__
    asyncio.run(stop(home, gateway, invited, name))
    assert unfinished(Home(home)) is not None
    done = join(home, gateway, invited.code, "--name", "not-this-one")
    assert done.returncode == 0, done.stderr
    identity = Keyring.public(home)
    assert identity.name == name
    assert rows(inviting_home, f"SELECT id FROM crow_instances WHERE name = '{name}'") == [(identity.instance_id,)]
    assert rows(home, NAMES) == [("desktop",)]
    assert not (home / "joining.json").exists()


def test_a_joiner_killed_while_it_waits_goes_on_where_it_was(
    inviting_home: Path, gateway: Gateway, invited: OpenInvitation, tmp_path: Path
) -> None:
    home = tmp_path / "killed"
    invited.process.send_signal(signal.SIGSTOP)
    command = [*CROW, "join", gateway.base_url, invited.code, "--name", "killed", "--home", str(home)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as waiting:
        until((home / "joining.json").exists)
        waiting.kill()
    with pytest.raises(NoIdentity):
        Keyring.public(home)
    assert not is_registered(inviting_home, "killed")
    invited.process.send_signal(signal.SIGCONT)
    assert join(home, gateway, invited.code).returncode == 0
    assert is_registered(inviting_home, "killed")
    assert Keyring.public(home).name == "killed"


def test_an_inviter_killed_before_it_looked_has_let_nobody_in_and_the_next_one_does(
    inviting_home: Path, gateway: Gateway, tmp_path: Path
) -> None:
    home = tmp_path / "orphaned"
    with open_invitation(inviting_home) as opened:
        opened.process.send_signal(signal.SIGSTOP)

        async def ask() -> None:
            async with joiner(home, gateway.base_url) as side:
                assert await side.ask(await side.begin(invitation.typed(opened.code), "orphaned")) is None

        asyncio.run(ask())
        opened.process.kill()
        opened.process.wait(DEADLINE_SECONDS)
    assert not is_registered(inviting_home, "orphaned")
    with open_invitation(inviting_home) as again:
        done = join(home, gateway, again.code, "--name", "orphaned")
        assert done.returncode == 0, done.stderr
    assert rows(inviting_home, "SELECT count(*) FROM crow_instances WHERE name = 'orphaned'") == [(1,)]


def test_another_code_first_asks_whether_the_earlier_one_was_answered(
    inviting_home: Path, gateway: Gateway, invited: OpenInvitation, tmp_path: Path
) -> None:
    home = tmp_path / "impatient"
    asyncio.run(until_posted(home, gateway, invited, "impatient"))
    with open_invitation(inviting_home) as other:
        assert join(home, gateway, other.code, "--name", "another").returncode == 0
    assert Keyring.public(home).name == "impatient"
    assert not is_registered(inviting_home, "another")


def test_a_gateway_that_starts_finds_an_unfinished_introduction_and_ends_it(
    gateway: Gateway, invited: OpenInvitation, tmp_path: Path
) -> None:
    home = tmp_path / "unintroduced"
    asyncio.run(until_adopted(home, gateway, invited, "unintroduced"))
    with running_gateway(home):
        assert ("desktop",) in rows(home, NAMES)  # it may have heard of the others by now, too
    assert not (home / "joining.json").exists()


def test_an_unfinished_join_that_cannot_be_read_is_told_of(gateway: Gateway, tmp_path: Path) -> None:
    home = tmp_path / "damaged"
    make_private_folder(home)
    write_private(home / "joining.json", b'{"v":1}')
    done = join(home, gateway, invitation.spelled(bytes(range(16))))
    assert done.returncode == 1
    assert "is not what an unfinished join keeps" in done.stderr


# ---- bringing data along --------------------------------------------------------------------------------------------


@pytest.fixture
def alone(home: Path) -> Path:
    """A machine that was used alone: it has a memory, and a chain of its own."""
    assert crow(home, "remember", "the ladder is in the shed").returncode == 0
    return home


def test_a_machine_used_alone_brings_its_id_keys_and_rows_along(
    inviting_home: Path, gateway: Gateway, invited: OpenInvitation, alone: Path
) -> None:
    before, old_seed = Keyring.load(alone), seed_of(alone)
    done = join(alone, gateway, invited.code, "--keep-data", "--name", "shed")
    assert done.returncode == 0, done.stderr
    after = Keyring.load(alone)
    assert after.identity.instance_id == before.identity.instance_id
    assert after.device.feed.public_key == before.device.feed.public_key
    assert after.identity.chain == Keyring.public(inviting_home).chain
    assert not after.identity.has_seed
    archived = alone / "keys" / "seed-before-joining.json"
    assert old_seed.hex().encode() in archived.read_bytes()
    assert archived.stat().st_mode & 0o077 == 0
    assert "ladder" in crow(alone, "search", "ladder").stdout
    assert is_registered(inviting_home, "shed")


def test_what_it_wrote_while_alone_reaches_the_others(tmp_path: Path, alone: Path) -> None:
    desktop = tmp_path / "den"
    assert crow(desktop, "init", "--name", "den").returncode == 0
    with running_gateway(desktop) as serving, open_invitation(desktop) as opened:
        assert join(alone, serving, opened.code, "--keep-data").returncode == 0
        assert opened.process.wait(DEADLINE_SECONDS) == 0
        with running_gateway(alone):
            until(lambda: rows(desktop, "SELECT content FROM memories") == [("the ladder is in the shed",)])


def test_its_change_of_chain_cut_off_in_the_middle_is_ended_by_the_same_command(
    inviting_home: Path, gateway: Gateway, invited: OpenInvitation, alone: Path
) -> None:
    seed = (alone / "keys" / "seed.json").read_bytes()

    async def change() -> None:
        async with joiner(alone, gateway.base_url) as side:
            begun = await side.begin(invitation.typed(invited.code), "half", Keyring.load(alone))
            answered = await side.wait(begun)
            change_over(Home(alone), answered.joined(int(time.time())))

    asyncio.run(change())
    write_private(alone / "keys" / "seed.json", seed)  # as if it had not come to that yet
    done = join(alone, gateway, invited.code, "--keep-data")
    assert done.returncode == 0, done.stderr
    assert not (alone / "keys" / "seed.json").exists()
    assert Keyring.public(alone).chain == Keyring.public(inviting_home).chain
    assert is_registered(inviting_home, "half")


def test_a_running_gateway_keeps_its_identity(gateway: Gateway, invited: OpenInvitation, alone: Path) -> None:
    with running_gateway(alone):
        done = join(alone, gateway, invited.code, "--keep-data")
    assert done.returncode == 1
    assert "is running" in done.stderr
    assert Keyring.public(alone).has_seed


def test_a_machine_that_knows_others_cannot_change_its_chain(
    gateway: Gateway, invited: OpenInvitation, alone: Path, tmp_path: Path
) -> None:
    with running_gateway(alone) as own, open_invitation(alone) as opened:
        assert join(tmp_path / "other", own, opened.code, "--name", "other").returncode == 0
    done = join(alone, gateway, invited.code, "--keep-data")
    assert done.returncode == 1
    assert "chained to other instances" in done.stderr
    assert Keyring.public(alone).has_seed


# ---- the seed's own way ---------------------------------------------------------------------------------------------


def test_a_third_machine_comes_by_the_carried_seed_and_can_invite_itself(
    inviting_home: Path, gateway: Gateway, tmp_path: Path
) -> None:
    third, passphrase, export = tmp_path / "third", tmp_path / "passphrase", tmp_path / "chain.crow"
    write_private(passphrase, b"correct horse\n")
    assert crow(inviting_home, "identity", "export", str(export), "--passphrase-file", str(passphrase)).returncode == 0
    carried = crow(third, "identity", "import", str(export), "--passphrase-file", str(passphrase), "--name", "third")
    assert carried.returncode == 0, carried.stderr
    with running_gateway(third) as own, open_invitation(third) as opened:
        done = join(tmp_path / "fourth", own, opened.code, "--name", "fourth")
        assert done.returncode == 0, done.stderr
    assert Keyring.public(tmp_path / "fourth").chain == Keyring.public(inviting_home).chain


def test_an_invitation_without_a_gateway_says_that_nobody_can_knock(home: Path, tmp_path: Path) -> None:
    with open_invitation(home) as opened:
        assert opened.url is None
        with running_gateway(home) as late:  # the code is good all the same
            assert join(tmp_path / "late", late, opened.code, "--name", "late").returncode == 0
        _, said = opened.process.communicate(timeout=DEADLINE_SECONDS)
    assert "No gateway runs in this home" in said


def test_a_home_is_in_use_as_soon_as_a_gateway_has_it_and_no_longer(home: Path) -> None:
    with only_gateway(Home(home)), pytest.raises(HomeInUse):  # it does not answer yet
        check_alone(Home(home))
    (home / "gateway.json").write_text('{"pid": 1, "host": "127.0.0.1", "port": 3001}')  # of one that was killed
    check_alone(Home(home))
