"""`crow feed` and npm's Hypercore: each gives its feed to the other, whole, live, resumed, and to nobody else."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from crow_plugins.identity.keys import KeyPair
from tests.gateway_process import CROW, crow
from tests.interop.npm import HERE, HERE_TOO, NODE
from tests.interop.test_replication_interop import blocks, hexed, npm

needs_npm = pytest.mark.skipif(not HERE_TOO, reason="npm install has not been run in tests/interop")
SEED = bytes([9]) * 32
SECONDS_MAX = 60


def remember(home: Path, *texts: str) -> None:
    lines = "\n".join(json.dumps({"kind": "memory", "content": text}) for text in texts)
    done = crow(home, "import", "-", stdin=lines)
    assert done.returncode == 0, done.stderr


def info(home: Path) -> dict[str, Any]:
    done = crow(home, "feed", "info", "--json")
    assert done.returncode == 0, done.stderr
    return cast("dict[str, Any]", json.loads(done.stdout))


@contextmanager
def served(home: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    command = [*CROW, "feed", "serve", "--json", "--home", str(home), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
            process.terminate()
            assert process.wait(SECONDS_MAX) == 0
        finally:
            process.kill()


def dialled(port: int, key: str, length: int, seed: bytes | None = None) -> subprocess.Popen[str]:
    asked = {"host": "127.0.0.1", "port": port, "key": key, "length": length, "seed": seed.hex() if seed else None}
    assert NODE is not None
    return subprocess.Popen([NODE, "dial.mjs", json.dumps(asked)], cwd=HERE, stdout=subprocess.PIPE, text=True)


def answers(process: subprocess.Popen[str]) -> list[Any]:
    out, _ = process.communicate(timeout=SECONDS_MAX)
    return [json.loads(line) for line in out.splitlines()]


def mirrored(home: Path, port: int, key: str, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return crow(home, "feed", "mirror", f"127.0.0.1:{port}", key, "--out", str(out), *more)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@needs_npm
def test_npm_takes_the_feed_that_is_served_and_what_is_written_meanwhile(home: Path) -> None:
    remember(home, *(f"note {number}" for number in range(30)))
    told = info(home)
    assert told["length"] == 30
    with served(home) as ready:
        assert (ready["ready"], ready["key"]) == (True, told["key"])
        other = dialled(ready["port"], told["key"], 31)
        remember(home, "written meanwhile")
        entries = [json.loads(bytes.fromhex(block)) for block in answers(other)]
    assert [entry["data"]["content"] for entry in entries] == [*(f"note {n}" for n in range(30)), "written meanwhile"]
    assert {entry["instance_id"] for entry in entries} == {told["instance_id"]}


@needs_npm
def test_only_peers_that_are_named_come(home: Path) -> None:
    remember(home, "for one peer")
    with served(home, "--allow", KeyPair(SEED).public_key.hex()) as ready:
        assert answers(dialled(ready["port"], ready["key"], 1)) == [{"refused": True}]
        [block] = answers(dialled(ready["port"], ready["key"], 1, SEED))
    assert json.loads(bytes.fromhex(block))["data"]["content"] == "for one peer"


@pytest.mark.anyio
@needs_npm
async def test_a_feed_of_npm_is_copied_and_the_copy_gone_on_with(home: Path, tmp_path: Path) -> None:
    import asyncio

    content, out = [*blocks(700), b"\xff\x00", b""], tmp_path / "copy.jsonl"
    async with npm(seed=SEED.hex()) as other:
        opened = await other.do("append", blocks=hexed(content))

        async def copy() -> dict[str, Any]:
            done = await asyncio.to_thread(mirrored, home, other.port, opened["key"], out, "--json")
            assert done.returncode == 0, done.stderr
            return cast("dict[str, Any]", json.loads(done.stdout))

        assert (await copy())["length"] == len(content)
        await other.do("append", blocks=hexed(blocks(30, "later")))
        out.write_text("".join(f"{line}\n" for line in out.read_text().splitlines()[:500]))  # as if it was cut off
        assert (await copy())["length"] == len(content) + 30
        await other.do("truncate", length=100, fork=3)
        await other.do("append", blocks=hexed(blocks(2, "other")))
        assert (await copy())["length"] == 102
    copied = [line["text"].encode() for line in lines(out)]
    assert copied == blocks(700)[:100] + blocks(2, "other")
    assert [line["seq"] for line in lines(out)] == list(range(102))


@pytest.mark.anyio
@needs_npm
async def test_a_copy_of_another_feed_is_not_gone_on_with(home: Path, tmp_path: Path) -> None:
    import asyncio

    out = tmp_path / "copy.jsonl"
    async with npm(seed=SEED.hex()) as other:
        opened = await other.do("append", blocks=hexed(blocks(20)))
        changed = [json.dumps({"seq": seq, "text": f"mine {seq}"}) for seq in range(10)]
        out.write_text("".join(f"{line}\n" for line in changed))
        done = await asyncio.to_thread(mirrored, home, other.port, opened["key"], out)
        assert (done.returncode, "write to another file" in done.stderr) == (1, True), done.stderr
        done = await asyncio.to_thread(mirrored, home, other.port, "ab" * 32, tmp_path / "none.jsonl")
        assert (done.returncode, "does not give a feed with this key" in done.stderr) == (1, True), done.stderr


def test_two_homes_copy_from_each_other_without_npm(home: Path, tmp_path: Path, make_home: Any) -> None:
    remember(home, "one", "two")
    with served(home) as ready:
        done = mirrored(make_home("swan"), ready["port"], ready["key"], tmp_path / "copy.jsonl")
    assert done.returncode == 0, done.stderr
    contents = [json.loads(line["text"])["data"]["content"] for line in lines(tmp_path / "copy.jsonl")]
    assert contents == ["one", "two"]


def test_a_peer_that_goes_ends_a_copy_that_follows_and_the_file_stays_whole(home: Path, tmp_path: Path) -> None:
    remember(home, "one", "two")
    out = tmp_path / "copy.jsonl"
    with served(home) as ready:
        place = f"127.0.0.1:{ready['port']}"
        command = [*CROW, "feed", "mirror", place, ready["key"], "--out", str(out), "--follow", "--home", str(home)]
        following = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not out.exists() or len(lines(out)) < 2:
            assert following.poll() is None
            time.sleep(0.02)
    _, said = following.communicate(timeout=SECONDS_MAX)
    assert (following.returncode, "the connection ended; 2 blocks are in the file" in said) == (1, True)
    whole = out.read_bytes()
    done = mirrored(home, ready["port"], ready["key"], out)
    assert "nobody answers" in done.stderr
    assert out.read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--tcp", "0.0.0.0:0"], "add --allow"),
        (["serve", "--tcp", "here"], "is no address"),
        (["serve", "--allow", "abc"], "64 hexadecimal digits"),
        (["mirror", "127.0.0.1:9", "ab" * 32, "--out", "copy.jsonl"], "nobody answers"),
        (["mirror", "127.0.0.1:9", "ab", "--out", "copy.jsonl"], "64 hexadecimal digits"),
    ],
    ids=["open to all", "no address", "no key", "nobody", "short key"],
)
def test_what_cannot_be_is_one_sentence(
    home: Path, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = crow(home, "feed", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_no_copy_is_left_as_it_is(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("dear all\nthis is no copy\n")
    done = mirrored(home, 9, "ab" * 32, file)
    assert (done.returncode, "line 1" in done.stderr) == (1, True)
    assert file.read_text() == "dear all\nthis is no copy\n"


def test_a_suspect_feed_is_given_to_nobody(home: Path) -> None:
    from crow_plugins.host import Host

    remember(home, "one")
    with Host(home) as host, host.transaction() as transaction:
        transaction.db.execute_sql("UPDATE own_feed SET suspect = 'restored'")
    done = crow(home, "feed", "serve")
    assert (done.returncode, "not given to anybody" in done.stderr) == (1, True)
    assert info(home)["suspect"] == "restored"
