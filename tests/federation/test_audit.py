"""The record of calls: whole, bounded, and honest about having been changed."""

from __future__ import annotations

import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import apsw
import pytest

from crow_plugins.federation import audit
from crow_plugins.federation.audit import Audit, AuditUnavailable, Verified

DAY = 86_400
CALL: dict[str, Any] = {
    "direction": "inbound",
    "peer": "a",
    "tool": "crow_search",
    "arguments": {"query": "a secret question"},
    "decision": "allowed",
    "status": "ok",
    "milliseconds": 3.7,
}


class Clock:
    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def record(tmp_path: Path, clock: Clock) -> Iterator[Audit]:
    opened = Audit(tmp_path / "audit.db", now=clock)
    yield opened
    opened.close()


def tampered(record: Audit, sql: str) -> None:
    """Change the file as somebody could who knows SQLite."""
    record.flush()
    db = apsw.Connection(str(record.path))
    db.execute("DROP TRIGGER calls_stay; DROP TRIGGER calls_go_in_order;" + sql)
    db.close()


def test_a_row_tells_what_was_decided_and_nothing_of_the_contents(record: Audit, clock: Clock) -> None:
    record.record(**CALL)
    assert record.flush()
    (row,) = record.rows()
    assert (row.direction, row.peer, row.tool, row.decision, row.status) == (
        *("inbound", "a", "crow_search", "allowed", "ok"),
    )
    assert (row.time, row.milliseconds) == (int(clock.now * 1000), 3)
    assert (len(row.arguments_hash), row.arguments_bytes) == (64, len('{"query":"a secret question"}'))
    assert b"secret" not in b"".join(path.read_bytes() for path in record.path.parent.iterdir())


def test_equal_arguments_have_one_digest_however_they_are_ordered(record: Audit) -> None:
    for arguments in ({"a": 1, "b": [1.5]}, {"b": [1.5], "a": 1}, {"a": 2}, None, {"a": object()}):
        record.record(**{**CALL, "arguments": arguments})
    record.flush()
    hashes = [row.arguments_hash for row in reversed(record.rows())]
    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes[3] == ""


def test_recording_never_waits_for_the_file(record: Audit) -> None:
    record.record(**CALL)
    record.flush()
    other = apsw.Connection(str(record.path))
    other.execute("BEGIN IMMEDIATE")
    began = time.perf_counter()
    for _ in range(100):
        record.record(**CALL)
    assert time.perf_counter() - began < 1
    other.execute("ROLLBACK")
    other.close()
    record.flush()
    assert len(record.rows(limit=1000)) == 101


def test_many_threads_and_two_processes_worth_of_writers_make_one_chain(record: Audit) -> None:
    second = Audit(record.path)

    def write(which: Audit) -> None:
        for _ in range(200):
            which.record(**CALL)

    threads = [threading.Thread(target=write, args=(which,)) for which in (record, second) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record.flush()
    second.close()
    found = record.verify()
    assert (found.rows, found.pruned, found.whole) == (1600, 0, True)


HOLDER = """
import sys, apsw
db = apsw.Connection(sys.argv[1])
db.execute("CREATE TABLE other (id); BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
db.execute("COMMIT")
"""
RECORDER = f"""
import sys
from pathlib import Path
from crow_plugins.federation.audit import Audit
for path in sys.stdin:
    record = Audit(Path(path.strip()))
    record.record(**{CALL})
    record.close()
    print("recorded", flush=True)
"""


def process(code: str, *arguments: str) -> Popen[str]:
    return Popen([sys.executable, "-c", code, *arguments], stdin=PIPE, stdout=PIPE, text=True)


def said(child: Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{line}\n")
    child.stdin.flush()


def heard(child: Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_a_new_file_that_another_process_writes_to_is_waited_for(record: Audit) -> None:
    with process(HOLDER, str(record.path)) as holder:
        assert heard(holder) == "held"
        record.record(**CALL)  # SQLite fails at once where somebody writes and the file is to become a WAL one
        assert not record.flush(0.2)
        holder.communicate()
    assert record.flush()
    assert record.verify() == Verified(1, 0, None)


def test_two_processes_that_make_the_file_in_one_moment_lose_nothing(tmp_path: Path) -> None:
    with process(RECORDER) as one, process(RECORDER) as other:
        for number in range(5):
            path = tmp_path / f"{number}.db"
            for child in (one, other):
                said(child, str(path))
            assert [heard(child) for child in (one, other)] == ["recorded"] * 2
            assert Audit(path).verify() == Verified(2, 0, None)
        for child in (one, other):
            child.communicate()


@pytest.mark.parametrize(
    ("sql", "broken_at"),
    [
        ("UPDATE calls SET status = 'ok' WHERE seq = 2", 2),
        ("UPDATE calls SET peer = 'b' WHERE seq = 5", 5),
        ("DELETE FROM calls WHERE seq = 3", 3),
        ("DELETE FROM calls WHERE seq = 1", 1),
        ("UPDATE calls SET hash = zeroblob(32) WHERE seq = 4", 4),
        ("DELETE FROM calls WHERE seq = 3; UPDATE calls SET seq = seq - 1 WHERE seq > 3", 3),
        ("INSERT INTO calls SELECT 6, time, direction, peer, tool, arguments_hash, arguments_bytes, decision,"
         " status, milliseconds, hash FROM calls WHERE seq = 5", 6),
        ("INSERT INTO anchor VALUES (1, 1, zeroblob(32)); DELETE FROM calls WHERE seq = 1", 2),
    ],
)  # fmt: skip
def test_what_was_changed_taken_out_or_put_in_shows(record: Audit, sql: str, broken_at: int) -> None:
    for number in range(5):
        record.record(**{**CALL, "status": f"code_{number}"})
    record.flush()
    assert record.verify().whole
    tampered(record, sql)
    assert record.verify().broken_at == broken_at


@pytest.mark.parametrize("sql", ["UPDATE calls SET status = 'ok'", "DELETE FROM calls"])
def test_rows_are_neither_changed_nor_deleted_by_mistake(record: Audit, sql: str) -> None:
    record.record(**CALL)
    record.flush()
    db = apsw.Connection(str(record.path))
    with pytest.raises(apsw.ConstraintError):
        db.execute(sql)
    db.close()


def test_rows_past_their_time_go_and_the_rest_is_still_a_chain(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "audit.db"
    for days in (0, 50, 100):
        clock.now += days * DAY
        record = Audit(path, now=clock)  # a new process prunes with its first rows
        for _ in range(10):
            record.record(**CALL)
        record.close()
    found = record.verify()
    assert (found.rows, found.pruned, found.whole) == (10, 20, True)
    tampered(record, "UPDATE anchor SET hash = zeroblob(32)")
    assert record.verify().broken_at == 21
    record.close()


def test_the_file_stays_within_its_bound(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PRUNE_EVERY_ROWS", 200)
    record = Audit(tmp_path / "audit.db", now=clock, bytes_max=200_000)
    for _ in range(20):
        for _ in range(200):
            record.record(**CALL)
        record.flush()
    found = record.verify()
    record.close()
    assert found.whole
    assert found.pruned > 0
    assert found.rows + found.pruned == 4000
    assert record.path.stat().st_size < 400_000


def test_names_of_other_machines_are_one_short_printable_line(record: Audit) -> None:
    record.record(**{**CALL, "tool": "x\n\x1b[31m" + "y" * 1000})
    record.flush()
    (row,) = record.rows()
    assert row.tool.isprintable()
    assert len(row.tool) == audit.TEXT_MAX


def test_without_calls_there_is_no_file(record: Audit) -> None:
    assert record.flush()
    assert record.rows() == []
    assert record.verify().whole
    assert not record.path.exists()


def test_the_file_is_its_owners_alone(record: Audit) -> None:
    record.record(**CALL)
    record.flush()
    assert stat.S_IMODE(record.path.stat().st_mode) == 0o600


def test_recording_goes_on_after_a_close(record: Audit) -> None:
    record.record(**CALL)
    record.close()
    record.record(**CALL)
    record.flush()
    assert record.verify().rows == 2


def test_a_file_that_is_none_is_a_sentence(record: Audit) -> None:
    record.path.write_bytes(b"no database at all" * 100)
    with pytest.raises(AuditUnavailable, match="cannot be used"):
        record.rows()
    record.record(**CALL)  # is lost and logged; the call goes on
    assert record.flush()
