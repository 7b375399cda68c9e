"""The parts of the door alone: used tokens, buckets, messages, and who is being served."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from crow_plugins import callers
from crow_plugins.callers import Caller, Serving, WriteRefused
from crow_plugins.federation.errors import InboundError, InsufficientScope, NotExposed, TooManyCalls
from crow_plugins.federation.exposure import Exposed, Word
from crow_plugins.federation.inbound import _may_write
from crow_plugins.federation.limits import Buckets
from crow_plugins.federation.message import BadMessage, read_message
from crow_plugins.federation.replay import FORGET_AFTER_SECONDS, FORGET_EVERY, Uses, UsesUnavailable
from crow_plugins.host import Host
from crow_plugins.token import LEEWAY_SECONDS, Claims, TokenReplayed

NOW = 1_790_000_000


@pytest.fixture
def uses(tmp_path: Path) -> Iterator[Uses]:
    opened = Uses(tmp_path / "replay.db")
    yield opened
    opened.close()


@pytest.mark.anyio
async def test_the_second_use_is_refused_in_every_process_and_after_a_close(uses: Uses, tmp_path: Path) -> None:
    other = Uses(tmp_path / "replay.db")
    for first, jti in ((uses, b"a" * 16), (other, b"b" * 16), (uses, b"c" * 16)):  # the last two with both files open
        await first.use(jti, NOW + 60, NOW)
        for each in (uses, other):
            with pytest.raises(TokenReplayed):
                await each.use(jti, NOW + 60, NOW)
    other.close()
    with pytest.raises(TokenReplayed):
        await other.use(b"a" * 16, NOW + 60, NOW)
    other.close()


@pytest.mark.anyio
async def test_a_use_waits_for_another_process_that_writes_and_the_event_loop_does_not(
    uses: Uses, tmp_path: Path
) -> None:
    await uses.use(b"a" * 16, NOW + 60, NOW)
    other = apsw.Connection(str(tmp_path / "replay.db"))
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO uses (jti, forgotten_at) VALUES (?, ?)", (b"b" * 16, NOW))
    waiting = [asyncio.create_task(uses.use(jti, NOW + 60, NOW)) for jti in (b"b" * 16, b"c" * 16)]
    for _ in range(1_000):
        await asyncio.sleep(0)  # the loop turns while they wait
    assert not any(task.done() for task in waiting)
    other.execute("COMMIT")
    used = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in used] == [TokenReplayed, type(None)]
    other.close()


def test_a_use_is_not_synced_and_the_log_not_copied_in_the_middle_of_a_call(uses: Uses) -> None:
    asyncio.run(uses.use(b"a" * 16, NOW + 60, NOW))
    assert uses._db is not None
    assert [uses._db.pragma(name) for name in ("journal_mode", "synchronous", "wal_autocheckpoint")] == ["wal", 1, 0]


def test_of_many_threads_with_one_token_one_passes(uses: Uses, tmp_path: Path) -> None:
    other, passed = Uses(tmp_path / "replay.db"), []

    def use(which: Uses) -> None:
        try:
            asyncio.run(which.use(b"b" * 16, NOW + 60, NOW))
        except TokenReplayed:
            return
        passed.append(which)

    threads = [threading.Thread(target=use, args=(which,)) for which in (uses, other) * 16]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 1
    other.close()


@pytest.mark.anyio
async def test_uses_are_forgotten_only_when_no_clock_could_take_the_token_any_more(uses: Uses, tmp_path: Path) -> None:
    await uses.use(b"c" * 16, NOW, NOW)
    end = NOW + LEEWAY_SECONDS + FORGET_AFTER_SECONDS
    for now, kept in ((end, True), (end + 1, False)):
        for number in range(FORGET_EVERY):
            await uses.use(number.to_bytes(8, "big") + now.to_bytes(8, "big"), now, now)
        db = apsw.Connection(str(tmp_path / "replay.db"))
        assert bool(list(db.execute("SELECT 1 FROM uses WHERE jti = ?", (b"c" * 16,)))) == kept
        db.close()


@pytest.mark.anyio
async def test_a_file_that_cannot_be_used_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "replay.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UsesUnavailable, match="check its permissions"):
        await Uses(tmp_path / "replay.db").use(b"a" * 16, NOW, NOW)


def test_a_bucket_empties_and_fills_by_the_minute() -> None:
    buckets = Buckets(60)
    for _ in range(60):
        buckets.take("a", NOW)
    with pytest.raises(TooManyCalls) as caught:
        buckets.take("a", NOW)
    assert caught.value.seconds == 1
    buckets.take("b", NOW)
    buckets.take("a", NOW + 1)
    with pytest.raises(TooManyCalls):
        buckets.take("a", NOW + 1)
    with pytest.raises(TooManyCalls):
        buckets.take("a", NOW - 100)  # a clock that is set back fills nothing
    for _ in range(60):
        buckets.take("a", NOW + 1000)
    with pytest.raises(TooManyCalls):
        buckets.take("a", NOW + 1000)


def test_a_message_is_read_once_and_in_one_way() -> None:
    message = read_message(b'{"method": "tools/call", "params": {"name": "t", "arguments": {"x": 1.5}}}')
    assert (message.method, message.tool, message.arguments) == ("tools/call", "t", {"x": 1.5})
    assert read_message(b'{"method": "tools/call", "params": {"name": "t"}}').arguments == {}
    assert read_message(b'{"method": "ping"}').subject == "ping"


@pytest.mark.parametrize(
    "body",
    [
        b'{"method": "tools/call"}',
        b'{"method": "tools/call", "params": []}',
        b'{"method": "tools/call", "params": {"name": 1}}',
        b'{"method": "tools/call", "params": {"name": "t", "arguments": []}}',
        b'{"method": 1}',
        b'{"method": "ping", "method": "ping"}',
        b'{"method": "ping", "params": {"a": {"b": 1, "b": 1}}}',
        b'{"method": "ping", "x": Infinity}',
        b'{"method": "ping"} {"method": "ping"}',
    ],
)
def test_what_is_not_one_message_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        read_message(body)


def test_a_call_that_reads_cannot_open_the_write_door_nor_can_what_it_starts(host: Host) -> None:
    async def started() -> None:
        with callers.serving("a", may_write=False):
            assert callers.served() == Serving("a", may_write=False)
            await asyncio.to_thread(write)

    def write() -> None:
        with host.transaction():
            pass

    with pytest.raises(WriteRefused, match="--writes"):
        asyncio.run(started())
    with callers.serving("a", may_write=True):
        write()
    assert callers.served() is None
    write()


def test_only_what_was_introduced_is_a_caller() -> None:
    scope: dict[str, object] = {callers.SCOPE_KEY: {"instance_id": "a"}}
    assert callers.caller_in(scope) is None
    caller = Caller("t", "a", ("read",), NOW)
    callers.introduce(scope, caller)
    assert callers.caller_in(scope) is caller


def words(*said: tuple[str, bool, bool]) -> Exposed:
    """What a person said of tools: a name, whether it is allowed, and whether to write."""
    return Exposed(
        "a", frozenset({"set"}), {("a", tool): Word("a", tool, allowed, writes, NOW) for tool, allowed, writes in said}
    )


@pytest.mark.parametrize(
    ("exposed", "tool", "reads", "scope", "outcome"),
    [
        (words(), "set", True, "read", False),
        (words(("said", True, False)), "said", True, "read", False),
        (words(("said", True, True)), "said", False, "write", True),
        (words(), "other", True, "read", NotExposed),
        (words(("set", False, False)), "set", True, "read", NotExposed),
        (words(), "set", False, "write", NotExposed),
        (words(("said", True, False)), "said", False, "write", NotExposed),
        (words(("gone", True, True)), "gone", None, "write", NotExposed),
        (words(), "set", True, "write", InsufficientScope),
        (words(("said", True, True)), "said", False, "read", InsufficientScope),
    ],
)
def test_a_call_may_do_what_is_exposed_and_what_its_token_is_for(
    exposed: Exposed, tool: str, reads: bool | None, scope: str, outcome: bool | type[InboundError]
) -> None:
    claims = Claims("b", "a", NOW, NOW + 60, b"j" * 16, "POST", b"h" * 32, frozenset({scope}))
    if isinstance(outcome, bool):
        assert _may_write(exposed, claims, tool, reads) is outcome
    else:
        with pytest.raises(outcome):
            _may_write(exposed, claims, tool, reads)
