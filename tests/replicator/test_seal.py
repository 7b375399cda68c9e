"""The seal tells a database that went back from one that went on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crow_plugins.feed import Head
from crow_plugins.replicator.seal import NAME, Seal, SealFile, doubt

STORE, BOOT = "5707e", "boot"
HASH, OTHER_HASH = b"\x01" * 32, b"\x02" * 32


def head(length: int = 10, fork: int = 0) -> Head:
    return Head(fork, length, 10 * length, HASH, b"")


def sealed(folder: Path, length: int = 10, fork: int = 0) -> tuple[SealFile, Seal]:
    file = SealFile(folder)
    file.write(STORE, head(length, fork), BOOT)
    seal = file.read()
    assert seal is not None
    return file, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


def test_a_seal_is_read_as_it_was_written_and_is_its_own_inode(folder: Path) -> None:
    file, seal = sealed(folder)
    assert (seal.store_id, seal.fork, seal.length, seal.tree_hash, seal.boot_id) == (STORE, 0, 10, HASH.hex(), BOOT)
    assert not file.is_a_copy(seal)
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_a_database_that_went_on_is_not_doubted(folder: Path) -> None:
    _, seal = sealed(folder)
    assert doubt(seal, False, STORE, head(10), HASH) is None
    assert doubt(seal, False, STORE, head(25), HASH) is None
    assert doubt(seal, False, STORE, head(25, fork=3), OTHER_HASH) is None  # it was healed since


@pytest.mark.parametrize(
    ("store", "here", "tree", "reason"),
    [
        ("another", head(10), HASH, "another one than was sealed"),
        (STORE, head(9), None, "older than what was announced"),
        (STORE, head(12), OTHER_HASH, "another one than was announced"),
    ],
)
def test_a_database_that_went_back_or_aside_is_doubted(
    folder: Path, store: str, here: Head, tree: bytes | None, reason: str
) -> None:
    _, seal = sealed(folder)
    assert reason in (doubt(seal, False, store, here, tree) or "")


def test_a_lower_fork_than_was_announced_is_doubted(folder: Path) -> None:
    _, seal = sealed(folder, fork=2)
    assert "older" in (doubt(seal, False, STORE, head(10, fork=1), HASH) or "")


def test_a_copy_of_the_folder_is_seen_for_what_it_is(folder: Path, tmp_path: Path) -> None:
    sealed(folder)
    shutil.copytree(folder, tmp_path / "copy")
    copied = SealFile(tmp_path / "copy")
    seal = copied.read()
    assert seal is not None
    assert copied.is_a_copy(seal)
    assert "copied or restored" in (doubt(seal, True, STORE, head(10), HASH) or "")


def test_without_a_seal_only_an_empty_feed_is_believed(folder: Path) -> None:
    assert SealFile(folder).read() is None
    assert doubt(None, False, STORE, head(0), HASH) is None
    assert "no seal" in (doubt(None, False, STORE, head(1), HASH) or "")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"store_id": "x"}', b"null", b"\xff"])
def test_a_seal_that_cannot_be_read_is_none(folder: Path, content: bytes) -> None:
    path = folder / NAME
    path.write_bytes(content)
    path.chmod(0o600)
    assert SealFile(folder).read() is None


def test_what_was_told_since_outlives_the_process(folder: Path) -> None:
    file, _ = sealed(folder, length=10)
    file.write_for_now(STORE, head(12), BOOT)
    seal = SealFile(folder).read()
    assert seal is not None
    assert (seal.length, file.is_a_copy(seal)) == (12, False)
    assert "older" in (doubt(seal, False, STORE, head(11), None) or "")
    assert file.now_path.stat().st_mode & 0o777 == 0o600


def test_a_shorter_record_over_a_longer_one_leaves_nothing_of_it(folder: Path) -> None:
    file, _ = sealed(folder, length=1)
    file.write_for_now(STORE, head(10**15), BOOT)
    file.write_for_now(STORE, head(12), BOOT)
    seal = file.read()
    assert seal is not None
    assert seal.length == 12


@pytest.mark.parametrize("left", [None, b"", b"\0" * 512, b'{"store_id": "5707'])
def test_a_power_cut_leaves_the_seal_that_is_on_the_disk(folder: Path, left: bytes | None) -> None:
    file, _ = sealed(folder, length=10)
    file.write_for_now(STORE, head(12), BOOT)
    if left is None:
        file.now_path.unlink()
    else:
        file.now_path.write_bytes(left)
    seal = file.read()
    assert seal is not None
    assert seal.length == 10


def test_what_was_told_of_another_store_or_of_less_says_nothing(folder: Path) -> None:
    file, _ = sealed(folder, length=10)
    for store, length in (("another", 12), (STORE, 9)):
        file.write_for_now(store, head(length), BOOT)
        seal = file.read()
        assert seal is not None
        assert (seal.store_id, seal.length) == (STORE, 10)


def test_without_the_seal_itself_what_was_told_since_is_not_enough(folder: Path) -> None:
    file, _ = sealed(folder)
    file.write_for_now(STORE, head(12), BOOT)
    file.path.unlink()
    assert file.read() is None
