"""Revoking: what the statement names, who may make it, and what a revoked machine can do no more."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import peewee
import pytest

from crow_hooks import REGISTRY, Credentials
from crow_plugins.feed import Feed, Head
from crow_plugins.feed.hashing import EMPTY_TREE_HASH
from crow_plugins.host import Host
from crow_plugins.identity import revocation
from crow_plugins.identity.revocation import Revocation
from crow_plugins.keyring import Keyring
from crow_plugins.registry.revoking import NOTHING, foresee, revocation_jobs
from crow_plugins.replicator.feed_storage import DatabaseStorage, find_feed
from tests.gateway_process import crow, running_gateway
from tests.registry.joining_world import open_invitation, registry_handle, rows
from tests.replicator.chain import ROW, Machine, carry, chain, exchange
from tests.replicator.test_healing import ROWS

# ---- what is held here ----------------------------------------------------------------------------------------------


def head_of(holder: Machine, of: Machine) -> tuple[int, int, bytes]:
    with holder.store.read() as db:
        number = find_feed(db, of.own.key)
        assert number is not None
        return _facts(DatabaseStorage(db, number).head())


def _facts(head: Head) -> tuple[int, int, bytes]:
    return head.fork, head.length, head.tree_hash


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 13])
def test_the_branch_that_counts_is_what_is_held_here(tmp_path: Path, count: int) -> None:
    with chain(tmp_path, "home", "thief") as [home, thief]:
        for number in range(count):
            thief.write(f"{number}", ROW)
        carry(thief, home)
        thief.write("not here yet", ROWS[0])
        with home.store.read() as db:
            foreseen = foresee(db, thief.id)
        branch = foreseen.branch
        assert (branch.fork, branch.length, branch.tree_hash) == head_of(home, thief)
        assert branch.length == count
        assert foreseen.elsewhere == 0


def test_blocks_that_are_signed_and_not_held_are_counted_and_left_out(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief") as [home, thief]:
        for number in range(5):
            thief.write(f"{number}", ROW)
        carry(thief, home)
        with home.store.transaction() as transaction:
            transaction.db.execute_sql("UPDATE feeds SET contiguous = 3 WHERE instance_id = ?", (thief.id,))
        with home.store.read() as db:
            foreseen = foresee(db, thief.id)
            feed = find_feed(db, thief.own.key)
            assert feed is not None
            expected = Feed(thief.own.key, DatabaseStorage(db, feed)).tree_hash(3)
        assert (foreseen.branch.length, foreseen.elsewhere) == (3, 2)
        assert foreseen.branch.tree_hash == expected != head_of(home, thief)[2]


def test_every_epoch_is_named_with_its_last_lamport(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief") as [home, thief]:
        home.write("mine", ROW)
        exchange([home, thief])
        thief.write("one", ROW)
        thief.write("two", ROWS[0])
        carry(thief, home)
        with home.store.read() as db:
            upto = foresee(db, thief.id).upto
            named = db.execute_sql(
                "SELECT name, lamport FROM writer_reach WHERE name LIKE ?", (f"{thief.id}%",)
            ).fetchall()
        assert {f"{thief.id}.{epoch}": lamport for epoch, lamport in upto.items()} == dict(named)
        assert upto


def test_with_a_time_the_branch_ends_before_the_first_entry_of_then(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief") as [home, thief]:
        thief.write("before", ROW)
        thief.write("before", ROWS[0])
        carry(thief, home)
        first = [json.loads(block) for block in home.blocks(thief)]
        thief.write("after", ROWS[0])
        thief.write("after", ROWS[1])
        carry(thief, home)
        later = first[-1]["timestamp"] + 1
        with home.store.transaction() as transaction:
            put_off(transaction.db, thief, 2, later)
        with home.store.read() as db:
            foreseen, all_of_it = foresee(db, thief.id, later), foresee(db, thief.id, later + 1)
            feed = find_feed(db, thief.own.key)
            assert feed is not None
            expected = Feed(thief.own.key, DatabaseStorage(db, feed)).tree_hash(2)
        assert (foreseen.branch.length, foreseen.branch.tree_hash) == (2, expected)
        assert foreseen.rows == (("things", 2),)
        assert list(foreseen.upto.values()) == [first[-1]["lamport"]]
        assert (all_of_it.branch.length, all_of_it.rows) == (4, ())


def put_off(db: peewee.Database, of: Machine, seq: int, timestamp: int) -> None:
    """Let a block and those after it say that they were written later."""
    feed = find_feed(db, of.own.key)
    assert feed is not None
    db.execute_sql(
        "UPDATE feed_blocks SET value = CAST(json_set(value, '$.timestamp', ?) AS BLOB) WHERE id >= ? AND id < ?",
        (timestamp, (feed << 40) + seq, (feed + 1) << 40),
    )


def test_of_an_instance_of_which_nothing_is_held_nothing_counts(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief") as [home, thief], home.store.read() as db:
        foreseen = foresee(db, thief.id)
    assert (foreseen.branch.length, foreseen.branch.tree_hash, foreseen.upto) == (0, EMPTY_TREE_HASH, {})


def test_where_there_was_never_a_replicator_nothing_counts() -> None:
    db = peewee.SqliteDatabase(":memory:")
    with db.connection_context():
        assert foresee(db, "7d444840-9dc0-41d1-b245-5ffdce74fad2").branch.length == 0


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A desktop with the seed and a laptop that joined it, neither serving."""
    folder = tmp_path_factory.mktemp("two")
    desktop, laptop = folder / "desktop", folder / "laptop"
    assert crow(desktop, "init", "--name", "desktop").returncode == 0
    with running_gateway(desktop) as gateway, open_invitation(desktop) as opened:
        joined = crow(laptop, "join", gateway.base_url, opened.code, "--name", "laptop")
        assert joined.returncode == 0, joined.stderr
    return desktop, laptop


def test_without_a_yes_nothing_is_revoked_and_what_would_be_is_shown(two: tuple[Path, Path]) -> None:
    desktop, _ = two
    done = crow(desktop, "instances", "revoke", "laptop")
    assert done.returncode == 1
    assert "vanishes" in done.stderr
    assert "confirm it with --yes" in done.stderr
    assert rows(desktop, "SELECT count(*) FROM revocations") == [(0,)]


def test_a_machine_without_the_seed_says_where_to_go(two: tuple[Path, Path]) -> None:
    _, laptop = two
    done = crow(laptop, "instances", "revoke", "desktop", "--yes")
    assert done.returncode == 1
    assert "do this where the seed is" in done.stderr
    assert rows(laptop, "SELECT count(*) FROM revocations") == [(0,)]


@pytest.mark.parametrize("own", ["name", "id"])
def test_an_instance_cannot_revoke_itself(two: tuple[Path, Path], own: str) -> None:
    desktop, _ = two
    named = "desktop" if own == "name" else Keyring.public(desktop).instance_id
    done = crow(desktop, "instances", "revoke", named, "--yes")
    assert done.returncode == 1
    assert "cannot revoke itself" in done.stderr


def test_an_unknown_name_is_told_with_the_nearest(two: tuple[Path, Path]) -> None:
    done = crow(two[0], "instances", "revoke", "laptpo", "--yes")
    assert done.returncode == 1
    assert "laptop" in done.stderr


def test_a_revoked_machine_is_trusted_no_more_and_cannot_come_back_with_its_keys(tmp_path: Path) -> None:
    desktop, laptop = tmp_path / "desktop", tmp_path / "laptop"
    assert crow(desktop, "init", "--name", "desktop").returncode == 0
    with running_gateway(desktop) as gateway:
        with open_invitation(desktop) as opened:
            assert crow(laptop, "join", gateway.base_url, opened.code, "--name", "laptop").returncode == 0
        done = crow(desktop, "instances", "revoke", "laptop", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["name"] == "laptop"
        assert rows(desktop, "SELECT trust FROM crow_instances WHERE name = 'laptop'") == [("revoked",)]
        mirrored = json.loads((desktop / "instances.json").read_text())
        assert [each.get("revoked") for each in mirrored if each["name"] == "laptop"] == [True]
        signed = statements(desktop)
        assert [each.instance_id for each in signed] == [Keyring.public(laptop).instance_id]
        alone = as_a_machine_that_was_used_alone(laptop)
        with open_invitation(desktop) as again:
            back = crow(alone, "join", gateway.base_url, again.code, "--keep-data", "--name", "innocent")
        assert back.returncode == 1
        assert "has this machine's keys" in back.stderr
        assert rows(desktop, "SELECT count(*) FROM crow_instances WHERE name = 'innocent'") == [(0,)]


def statements(home: Path) -> list[revocation.Revocation]:
    chain_key = bytes.fromhex(Keyring.public(home).chain)
    found = rows(home, "SELECT statement FROM revocations")
    return [revocation.read(bytes(signed), chain_key).revocation for (signed,) in found]  # type: ignore[call-overload]


def as_a_machine_that_was_used_alone(home: Path) -> Path:
    """What somebody with the machine in hand can do: forget whom it knew."""
    with sqlite3.connect(home / "crow.db") as db:
        db.execute("DELETE FROM crow_instances WHERE name = 'desktop'")
    db.close()
    return home


def test_a_revoked_machine_shows_it_plainly(tmp_path: Path) -> None:
    """Whoever tells it: here the statement is carried by hand."""
    desktop, laptop = tmp_path / "desktop", tmp_path / "laptop"
    assert crow(desktop, "init", "--name", "desktop").returncode == 0
    with running_gateway(desktop) as gateway, open_invitation(desktop) as opened:
        assert crow(laptop, "join", gateway.base_url, opened.code, "--name", "laptop").returncode == 0
    assert "was revoked" not in crow(laptop, "doctor").stdout
    assert crow(desktop, "instances", "revoke", "laptop", "--yes").returncode == 0
    carry_revocations(desktop, laptop)
    assert "this machine was revoked on" in crow(laptop, "doctor").stdout
    assert "revoked" in crow(laptop, "doctor", "--json").stdout
    for command in (["status"], ["sync", "status"]):
        assert "Nothing can be taken in: this machine was revoked; save what" in crow(laptop, *command).stdout


@pytest.mark.anyio
async def test_a_revoked_machine_says_it_once_in_its_log(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    keyring, crow_handle = host.keyring, registry_handle(host)
    registry = host.services.find("tests", REGISTRY)
    chain_key = keyring.chain_key()
    [job] = revocation_jobs(crow_handle, registry, chain_key.public_key)
    await job.run()
    assert "revoked" not in caplog.text
    signed = revocation.issue(
        Revocation(chain_key.public_key, host.instance.id, 1, NOTHING, {}, issued_at=1_700_000_000), chain_key
    ).signed
    await asyncio.to_thread(registry.learn, Credentials((), (signed,)))
    async with host.serving():
        await job.run()
        await job.run()
    assert caplog.text.count("this machine was revoked on 2023-11-14") == 1


def carry_revocations(source: Path, target: Path) -> None:
    with Host(source) as told, Host(target) as hears:
        heard = told.services.find("tests", REGISTRY).credentials()
        hears.services.find("tests", REGISTRY).learn(heard)
