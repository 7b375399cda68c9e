"""`crow doctor`: every fault is named with what to do about it, and hides none of the others."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from crow_hooks import Finding
from crow_plugins import causality, doctor
from crow_plugins.config import Home
from crow_plugins.doctor import CHECKS, HUNG, Line, Premises, examine
from crow_plugins.files import make_private_folder
from crow_plugins.gateway import only_gateway
from crow_plugins.host import Host
from crow_plugins.identity import certificate
from crow_plugins.keyring import Keyring
from crow_plugins.memories.memories import Memories
from crow_plugins.store import Machine
from tests.gateway_process import crow, running_gateway

NOW = int(time.time())


def typed(home: Path, **environment: str) -> dict[str, Finding]:
    """What the command says, by label; its exit code says the same."""
    result = crow(home, "doctor", "--json", **environment)
    told = json.loads(result.stdout)
    assert "Traceback" not in result.stderr
    assert result.returncode == (0 if told["ok"] else 1)
    lines = [
        Line(check["owner"], check["check"], Finding(check["ok"], check["message"], check["remedy"]))
        for check in told["checks"]
    ]
    assert told["ok"] == all(line.finding.ok for line in lines)
    return labelled(lines)


def look(home: Path) -> dict[str, Finding]:
    """The same, without a process for it."""
    return labelled(examine(premises(home)))


def labelled(lines: Iterable[Line]) -> dict[str, Finding]:
    found = {line.label: line.finding for line in lines}
    assert all(finding.ok or finding.remedy for finding in found.values()), found
    return found


def wrong(found: dict[str, Finding]) -> set[str]:
    """The checks that found a fault of their own."""
    return {name for name, each in found.items() if not each.ok and not each.message.startswith("not looked at")}


def premises(home: Path, **changed: object) -> Premises:
    return replace(Premises(Home(home), None, NOW), **changed)  # type: ignore[arg-type]  # as the tests name them


def found_by(name: str, home: Path, **changed: object) -> Finding:
    return CHECKS[name](premises(home, **changed))


@pytest.fixture
def kept(home: Path) -> Path:
    """A home with a memory in it."""
    remember(home, "the boiler was serviced")
    return home


def remember(home: Path, content: str) -> None:
    with Host(home) as host:
        Memories(host.hook.handle("memories")).store({"content": content})


def sql(home: Path, statement: str) -> None:
    with closing(apsw.Connection(str(home / "crow.db"))) as connection:
        connection.execute(statement)


def plugin(home: Path, body: str, *, then: str = "") -> dict[str, str]:
    """Write a plugin `odd` and put it into the manifest; returns the environment in which it is found."""
    (home.parent / "odd_plugin.py").write_text(body)
    (home / "plugin_manifest.toml").write_text(f'[[plugin]]\nname = "odd"\nmodule = "odd_plugin"\n{then}')
    return {"PYTHONPATH": str(home.parent)}


CHECK = """\
from crow_hooks import Check, Finding, hookimpl

@hookimpl
def register_checks(crow):
    return {checks}

def fails():
    raise RuntimeError("two\\nlines")

def late():
    raise TimeoutError("no answer")
"""


def test_a_sound_home_is_well_and_everything_was_looked_at(kept: Path) -> None:
    found = typed(kept)
    assert wrong(found) == set()
    assert set(found) >= {*CHECKS, "plugins", "memories index", "replicator applying"}
    operating = (Path(__file__).parents[1] / "docs/operating.md").read_text()
    assert [name for name in found if f"`{name}`" not in operating] == []
    result = crow(kept, "doctor")
    assert (result.returncode, result.stderr) == (0, "")
    *lines, empty, verdict = result.stdout.splitlines()
    assert (len(lines), empty) == (len(found), "")
    assert verdict.startswith(f"All is well: {len(found)} checks")
    assert "\nok     sqlite" in result.stdout


def test_keys_without_a_passphrase_are_a_note_and_no_fault(kept: Path) -> None:
    assert "\nnote   passphrase " in crow(kept, "doctor").stdout
    finding = look(kept)["passphrase"]
    assert finding.ok
    assert "--passphrase-file" in finding.remedy


def test_keys_under_a_passphrase_are_looked_at_without_it(tmp_path: Path) -> None:
    home, secret = tmp_path / "home", tmp_path / "secret"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    assert crow(home, "init", "--passphrase-file", str(secret)).returncode == 0
    found = typed(home)
    assert wrong(found) == set()
    assert found["passphrase"] == Finding(True, "the keys are under a passphrase")


def test_faults_end_with_1_and_one_sentence(kept: Path) -> None:
    (kept / "keys" / "device.json").chmod(0o640)
    result = crow(kept, "doctor")
    assert result.returncode == 1
    assert result.stderr.startswith("crow: 1 of 18 checks is wrong; ")
    assert result.stderr.count("\n") == 1
    sentence = f"others can use {kept}/keys/device.json (mode 0640); make it private: chmod 600 "
    assert f"wrong  keys {sentence}".split() == shown(result.stdout, "wrong  keys ")[: 2 + len(sentence.split())]


def shown(text: str, beginning: str) -> list[str]:
    """The words of the line that begins so."""
    return next(line.split() for line in text.splitlines() if line.startswith(beginning))


def test_nothing_at_all_is_told_of_and_nothing_is_made(tmp_path: Path) -> None:
    found = typed(tmp_path / "nothing")
    assert wrong(found) == {"home", "identity", "database"}
    assert "crow init" in found["home"].remedy
    assert not (tmp_path / "nothing").exists()


def test_a_home_that_others_can_enter(kept: Path) -> None:
    kept.chmod(0o755)
    found = look(kept)
    assert wrong(found) == {"home"}
    assert found["home"].remedy == f"make it private: chmod 700 {kept}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_deep_in_the_home(kept: Path) -> None:
    make_private_folder(kept / "logs")
    (kept / "logs" / "gateway.log").touch()
    os.chown(kept / "logs" / "gateway.log", 4711, -1)
    found = look(kept)
    assert wrong(found) == {"files"}
    assert "belongs to user 4711" in found["files"].message
    assert "chown" in found["files"].remedy


def test_an_identity_that_is_damaged_hides_nothing_else(kept: Path) -> None:
    (kept / "identity.json").write_text("{")
    found = typed(kept)
    assert wrong(found) == {"identity"}
    assert "restore identity.json and keys" in found["identity"].remedy
    assert found["integrity"].ok
    assert found["plugins"].message == "not looked at, since identity fails"


def test_a_key_that_is_missing_makes_the_identity_incomplete(kept: Path) -> None:
    (kept / "keys" / "device.json").unlink()
    assert wrong(look(kept)) == {"identity"}


def test_keys_of_another_machine_do_not_fit(kept: Path, make_home: Callable[[str], Path]) -> None:
    (make_home("swan") / "keys" / "device.json").replace(kept / "keys" / "device.json")
    assert "another device secret" in look(kept)["identity"].message


def test_a_seed_of_another_chain_does_not_fit(kept: Path, make_home: Callable[[str], Path]) -> None:
    (make_home("swan") / "keys" / "seed.json").replace(kept / "keys" / "seed.json")
    assert "another chain" in look(kept)["identity"].message


def test_a_certificate_is_valid_at_its_time_only(tmp_path: Path, home: Path) -> None:
    seed = Keyring.load(home)
    facts = certificate.read(seed.identity.certificate, bytes.fromhex(seed.identity.chain))
    secret = bytes.fromhex(json.loads((home / "keys" / "device.json").read_bytes())["secret"])
    signed = certificate.issue(replace(facts, expires=NOW + 40 * 86_400), seed.chain_key())
    Keyring.adopt(tmp_path / "swan", secret, signed, facts.chain, NOW)
    at = [found_by("certificate", tmp_path / "swan", now=NOW + days * 86_400) for days in (0, 20)]
    assert [(each.message, bool(each.remedy)) for each in at] == [
        ("valid for 40 days more", False),
        ("valid for 20 days more", True),
    ]
    late = list(examine(premises(tmp_path / "swan", now=NOW + 41 * 86_400)))[4].finding
    assert (late.ok, late.remedy) == (False, "certify the machine again")
    early = list(examine(premises(tmp_path / "swan", now=NOW - 10 * 86_400)))[4].finding
    assert (early.ok, early.remedy) == (False, "set the clocks right")


def test_a_database_that_is_gone_is_not_made_anew(kept: Path) -> None:
    (kept / "crow.db").unlink()
    found = look(kept)
    assert wrong(found) == {"database"}
    assert "put a copy back" in found["database"].remedy
    assert not (kept / "crow.db").exists()


def test_a_database_that_is_none(kept: Path) -> None:
    (kept / "crow.db").write_bytes(b"nonsense" * 200)
    found = typed(kept)
    assert "file is not a database" in found["database"].message
    assert found["manifest"].ok
    assert not found["plugins"].ok


def test_a_page_that_was_overwritten(kept: Path) -> None:
    with closing(apsw.Connection(str(kept / "crow.db"))) as connection:
        query = "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'memories'"
        page, size = (int(str(each)) for each in connection.execute(query).fetchall()[0])
    with (kept / "crow.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    found = look(kept)
    assert wrong(found) == {"integrity", "memories index"}
    assert found["database"].ok
    assert "copy the whole home aside" in found["integrity"].remedy


def test_a_database_of_a_newer_release(kept: Path) -> None:
    sql(kept, "INSERT INTO migrations VALUES ('store', 99, 0)")
    found = look(kept)
    assert wrong(found) == {"schema"}
    assert "upgrade" in found["schema"].remedy
    assert found["plugins"].message == "not looked at, since schema fails"


def test_a_plugin_of_a_newer_release(kept: Path) -> None:
    sql(kept, "INSERT INTO migrations VALUES ('memories', 99, 0)")
    found = look(kept)
    assert wrong(found) == {"plugins"}
    assert "memories has tables unknown here" in found["plugins"].message


def test_a_schema_that_is_behind_is_no_fault(home: Path) -> None:
    sql(home, "CREATE TABLE migrations (owner, version, applied_at)")
    assert found_by("schema", home).message == ", the rest comes with the next command"
    sql(home, "DROP TABLE migrations")
    assert "no tables yet" in found_by("schema", home).message


def test_an_index_that_has_other_words_than_the_table_is_built_anew_as_told(kept: Path) -> None:
    sql(kept, "DROP TRIGGER memories_reindexed")
    sql(kept, "UPDATE memories SET content = 'the roof was mended'")
    found = look(kept)
    assert wrong(found) == {"memories index"}
    command = shlex.split(found["memories index"].remedy.removeprefix("build it anew: "))
    subprocess.run(command, check=True, timeout=60)
    assert wrong(look(kept)) == set()
    assert "roof" in crow(kept, "search", "roof").stdout


def test_an_index_that_lacks_a_row(kept: Path) -> None:
    sql(kept, "DROP TRIGGER memories_indexed")
    remember(kept, "unseen")
    assert look(kept)["memories index"].message == "1 of 2 memories are in the full-text index"


def test_a_plugin_that_is_off_is_not_asked(kept: Path) -> None:
    assert crow(kept, "plugins", "disable", "memories").returncode == 0
    found = look(kept)
    assert "memories index" not in found
    assert "memories" not in found["plugins"].message


def test_a_clock_before_this_release_is_wrong(home: Path) -> None:
    assert found_by("clock", home).ok
    finding = found_by("clock", home, now=causality.BUILD_TIME - 1)
    assert (finding.ok, finding.remedy) == (False, "set it, or let it be set by NTP")


def test_logical_time_that_no_day_allows(kept: Path) -> None:
    sql(kept, f"UPDATE clock SET lamport = {causality.lamport_limit(NOW + 10 * 86_400)}")
    found = look(kept)
    assert wrong(found) == {"lamport"}
    assert "set the clock of this machine" in found["lamport"].remedy


def test_logical_time_behind_a_row_is_mended_as_told(kept: Path) -> None:
    remember(kept, "another")
    sql(kept, "UPDATE clock SET lamport = 1")
    found = look(kept)
    assert wrong(found) == {"lamport"}
    subprocess.run(shlex.split(found["lamport"].remedy.removeprefix("run: ")), check=True, timeout=60)
    assert look(kept)["lamport"] == Finding(True, "logical time is 2")


@pytest.mark.parametrize(
    ("boot", "step", "words"),
    [("", 0.0, "of this boot"), ("another", 0.0, "started anew"), ("", 11.0, "clock was set")],
)
def test_the_epoch_says_whether_the_next_write_draws_another(kept: Path, boot: str, step: float, words: str) -> None:
    with closing(apsw.Connection(str(kept / "crow.db"))) as connection:
        stored = connection.execute("SELECT boot_id, clock_offset FROM clock").fetchall()[0]
    machine = Machine(boot or str(stored[0]), float(str(stored[1])) + step)
    finding = found_by("epoch", kept, machine=lambda: machine)
    assert finding.ok
    assert words in finding.message


def test_a_machine_that_tells_no_boots_apart_is_a_note(kept: Path) -> None:
    assert found_by("epoch", kept, machine=lambda: Machine("unknown", 0.0)).remedy


def test_a_log_that_nobody_copies_back(kept: Path) -> None:
    with (kept / "crow.db-wal").open("wb") as file:
        file.truncate(doctor.WAL_BYTES_MAX + 1)
    finding = found_by("wal", kept)
    assert (finding.ok, finding.message) == (False, "256 MiB wait to be copied into the database")


def test_little_room_on_the_disk_is_a_fault_and_less_than_a_copy_takes_a_note() -> None:
    rooms = [doctor._disk_finding(free, kept=1 << 31) for free in (1 << 32, 1 << 30, 1 << 20)]
    assert [(each.ok, bool(each.remedy)) for each in rooms] == [(True, False), (True, True), (False, True)]


@pytest.mark.parametrize(("version", "ok"), [("3.51.2", False), ("3.9.99", False), ("3.51.3", True), ("4.0.0", True)])
def test_an_old_sqlite_is_refused(version: str, ok: bool) -> None:
    assert doctor._sqlite_finding(version).ok == ok


def test_a_manifest_that_does_not_load(kept: Path) -> None:
    (kept / "plugin_manifest.toml").write_text('[[plugin]]\nname = "memorys"\n')
    found = typed(kept)
    assert wrong(found) == {"manifest"}
    assert "plugin_manifest.toml:2: there is no plugin memorys" in found["manifest"].message
    assert found["manifest"].remedy == "did you mean memories?"


def test_a_gateway_that_runs_and_answers(kept: Path) -> None:
    assert look(kept)["gateway"].message == "not running"
    with running_gateway(kept) as gateway:
        found = typed(kept)
        assert wrong(found) == set()
        assert found["gateway"].message == f"answers at {gateway.mcp} (process {gateway.process.pid})"


@pytest.mark.parametrize("version", ["0.0.1", None])
def test_a_gateway_that_says_something_else(home: Path, version: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    health = {"status": "ok", "version": version} if version else None
    with socket.create_server(("127.0.0.1", 0)) as listener, only_gateway(Home(home)):
        told = {"pid": 4711, "host": "127.0.0.1", "port": listener.getsockname()[1], "plugins": []}
        (home / "gateway.json").write_text(json.dumps(told))
        monkeypatch.setattr(doctor, "HEALTH_SECONDS_MAX", 0.01)
        if health is not None:
            monkeypatch.setattr(doctor, "health_of", lambda running: health)
        finding = found_by("gateway", home)
    assert finding.ok == bool(version)
    assert ("restart it" if version else "end process 4711") in finding.remedy


@pytest.mark.parametrize(
    ("checks", "label", "words"),
    [
        ('[Check("teeth", fails)]', "odd teeth", "the check raised RuntimeError: two lines"),
        ('[Check("teeth", late)]', "odd teeth", "the check raised TimeoutError: no answer"),
        ('[Check("teeth", lambda: True)]', "odd teeth", "a check returned a bool, not a Finding"),
        ('Check("teeth", lambda: Finding(False, "a tooth is out", "see a dentist"))', "odd teeth", "a tooth is out"),
        ('["teeth"]', "odd checks", "register_checks returned a str, not a Check"),
        ("fails()", "odd checks", "the check raised RuntimeError: two lines"),
    ],
)
def test_a_plugin_whose_check_fails_is_named_and_keeps_nobody(kept: Path, checks: str, label: str, words: str) -> None:
    found = typed(kept, **plugin(kept, CHECK.format(checks=checks)))
    assert wrong(found) == {label}
    assert words in found[label].message
    assert found["memories index"].ok


def test_the_traceback_of_a_check_is_there_for_its_author(kept: Path) -> None:
    environment = plugin(kept, CHECK.format(checks='[Check("teeth", fails)]'))
    assert "Traceback" not in crow(kept, "doctor", **environment).stderr
    assert "Traceback" in crow(kept, "doctor", CROW_LOG_LEVEL="debug", **environment).stderr


@pytest.mark.parametrize("body", ["import nowhere_at_all", "1 / 0"])
def test_a_plugin_that_cannot_be_imported_is_one_line(kept: Path, body: str) -> None:
    assert wrong(typed(kept, **plugin(kept, body))) == {"plugins"}


def test_a_check_that_hangs_is_left_behind(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "import threading\nend = threading.Event()\n" + CHECK.format(checks='[Check("teeth", end.wait)]')
    monkeypatch.syspath_prepend(plugin(kept, body)["PYTHONPATH"])
    monkeypatch.delitem(sys.modules, "odd_plugin", raising=False)
    try:
        found = {line.label: line.finding for line in examine(premises(kept), seconds_max=0.05)}
    finally:
        importlib.import_module("odd_plugin").end.set()
        del sys.modules["odd_plugin"]
    assert found["odd teeth"] is HUNG
