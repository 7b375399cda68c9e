"""Private files are whole or absent, readable by their owner alone, and anything else is refused in a sentence."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from crow_plugins import files
from crow_plugins.files import (
    FileExists,
    FileFault,
    FileMissing,
    FileTooLarge,
    ForeignOwner,
    NotPlain,
    NotPrivate,
    check_private_folder,
    create_private,
    locked_folder,
    make_private_folder,
    read_plain,
    read_private,
    set_aside,
    write_private,
)

SOMEBODY = 12345
CRASHED = 9
CRASHING = """
import os, sys
from pathlib import Path
from crow_plugins import files

def crash(*_):
    os._exit(9)

setattr(os, sys.argv[1], crash)
getattr(files, sys.argv[2])(Path(sys.argv[3]), b"new")
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def foreign_file(tmp_path: Path) -> Path:
    """A file of somebody else: one that is given away, or where that is not possible one of the system's."""
    if os.geteuid() != 0:
        return Path("/etc/passwd")
    path = tmp_path / "foreign"
    write_private(path, b"theirs")
    os.chown(path, SOMEBODY, -1)
    return path


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


# ---- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_private, create_private])
def test_what_is_written_is_read_back_and_only_its_owner_may(write: object, tmp_path: Path, no_umask: None) -> None:
    assert callable(write)
    write(tmp_path / "file", b"\x00secret\n")
    assert read_private(tmp_path / "file") == b"\x00secret\n"
    assert mode(tmp_path / "file") == 0o600


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o377, 0o777])
def test_the_umask_neither_widens_nor_narrows_it(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_private(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert mode(tmp_path / "file") == 0o600


def test_writing_again_replaces_a_wider_file_by_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o666)
    write_private(path, b"new")
    assert (read_private(path), mode(path)) == (b"new", 0o600)


def test_who_reads_the_old_file_keeps_reading_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"old")
    with path.open("rb") as reader:
        write_private(path, b"new")
        assert reader.read() == b"old"


def test_nothing_is_left_beside_what_was_written(tmp_path: Path) -> None:
    write_private(tmp_path / "a", b"1")
    write_private(tmp_path / "a", b"2")
    create_private(tmp_path / "b", b"3")
    with pytest.raises(FileExists):
        create_private(tmp_path / "b", b"4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_link_in_the_way_is_replaced_and_what_it_leads_to_is_left(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "file"
    write_private(target, b"kept")
    path.symlink_to(target)
    write_private(path, b"new")
    assert (read_private(target), read_private(path)) == (b"kept", b"new")


@pytest.mark.parametrize("write", [write_private, create_private])
def test_where_nothing_can_be_written_a_sentence_says_why(write: object, tmp_path: Path) -> None:
    assert callable(write)
    with pytest.raises(FileFault, match=r"cannot use .*no such file or directory; put that right"):
        write(tmp_path / "missing" / "file", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileFault, match="not a directory"):
        write(tmp_path / "file" / "file", b"x")


def test_a_folder_in_the_way_is_left_and_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileFault):
        write_private(tmp_path / "folder", b"x")
    with pytest.raises(FileExists):
        create_private(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# ---- creating -------------------------------------------------------------------------------------


def test_creating_never_overwrites(tmp_path: Path) -> None:
    create_private(tmp_path / "file", b"first")
    with pytest.raises(FileExists, match="not overwritten"):
        create_private(tmp_path / "file", b"second")
    assert read_private(tmp_path / "file") == b"first"


def test_creating_does_not_follow_a_link_even_one_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExists):
        create_private(tmp_path / "file", b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_of_many_who_create_at_once_exactly_one_wins(tmp_path: Path) -> None:
    runners, rounds = 8, 25
    barrier = Barrier(runners)

    def create(path: Path, number: int) -> int | None:
        barrier.wait()
        try:
            create_private(path, str(number).encode())
        except FileExists:
            return None
        return number

    with ThreadPoolExecutor(runners) as pool:
        for turn in range(rounds):
            path = tmp_path / f"file{turn}"
            winners = [each for each in pool.map(create, [path] * runners, range(runners)) if each is not None]
            assert [str(winner).encode() for winner in winners] == [read_private(path)]
    assert len(list(tmp_path.iterdir())) == rounds


def test_of_many_who_write_at_once_one_is_there_whole(tmp_path: Path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_private, [tmp_path / "file"] * 8, contents))
    assert read_private(tmp_path / "file") in contents
    assert len(list(tmp_path.iterdir())) == 1


# ---- crashes --------------------------------------------------------------------------------------


def crash(at: str, function: str, path: Path) -> None:
    """Run `function` in a process that dies without a word when it comes to `os.at`."""
    done = subprocess.run([sys.executable, "-c", CRASHING, at, function, str(path)], capture_output=True, timeout=60)
    assert done.returncode == CRASHED, done.stderr


@pytest.mark.parametrize("at", ["fchmod", "fsync", "replace"])
def test_a_crash_before_the_name_is_given_leaves_the_old_file(at: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"old")
    crash(at, "write_private", path)
    assert read_private(path) == b"old"
    write_private(path, b"newer")
    assert read_private(path) == b"newer"


@pytest.mark.parametrize("at", ["fsync", "link"])
def test_a_crash_before_a_file_is_created_leaves_its_name_free(at: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    crash(at, "create_private", path)
    assert not path.exists()
    create_private(path, b"newer")
    assert read_private(path) == b"newer"


def test_a_crash_after_a_file_is_created_leaves_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    crash("unlink", "create_private", path)
    assert read_private(path) == b"new"


def test_what_a_crash_leaves_behind_is_private_too(tmp_path: Path, no_umask: None) -> None:
    crash("replace", "write_private", tmp_path / "file")
    (left,) = tmp_path.iterdir()
    assert mode(left) == 0o600


# ---- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wider", [0o601, 0o602, 0o604, 0o610, 0o620, 0o640, 0o644, 0o660, 0o666, 0o777, 0o4604])
def test_a_file_that_others_can_use_is_refused_with_the_chmod_to_run(wider: int, tmp_path: Path) -> None:
    path = tmp_path / "a file"
    write_private(path, b"x")
    path.chmod(wider)
    with pytest.raises(NotPrivate) as refused:
        read_private(path)
    subprocess.run(str(refused.value).rpartition(": ")[2], shell=True, check=True)
    assert read_private(path) == b"x"


@pytest.mark.parametrize("narrow", [0o600, 0o400, 0o700])
def test_a_file_of_the_owner_alone_is_read(narrow: int, tmp_path: Path) -> None:
    write_private(tmp_path / "file", b"x")
    (tmp_path / "file").chmod(narrow)
    assert read_private(tmp_path / "file") == b"x"


def test_a_file_of_somebody_else_is_refused(foreign_file: Path) -> None:
    with pytest.raises(ForeignOwner, match=f"chown {os.geteuid()} {foreign_file}"):
        read_private(foreign_file)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write_private(tmp_path / "file", b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for read in (read_private, read_plain):
        with pytest.raises(NotPlain, match="links are not followed"):
            read(tmp_path / "link")


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/zero")):
        with pytest.raises(NotPlain):
            read_private(path)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(NotPlain):
            read_private(tmp_path / "socket")


def test_a_file_that_is_not_there_is_missed(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="check the path"):
        read_private(tmp_path / "file")


def test_a_path_that_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileFault, match="too long"):
        read_private(tmp_path / ("x" * 300))


def test_the_size_of_what_is_read_is_bounded_exactly(tmp_path: Path) -> None:
    write_private(tmp_path / "file", bytes(100))
    assert len(read_private(tmp_path / "file", 100)) == 100
    with pytest.raises(FileTooLarge, match="more than 99 bytes"):
        read_private(tmp_path / "file", 99)


def test_plain_reading_does_not_ask_whose_it_is(foreign_file: Path) -> None:
    assert read_plain(foreign_file)


# ---- folders --------------------------------------------------------------------------------------


def test_a_folder_is_made_for_its_owner_alone_with_its_parents(tmp_path: Path, no_umask: None) -> None:
    make_private_folder(tmp_path / "a" / "b" / "c")
    assert mode(tmp_path / "a" / "b" / "c") == 0o700


def test_making_a_folder_again_changes_nothing(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "home")
    write_private(tmp_path / "home" / "file", b"x")
    make_private_folder(tmp_path / "home")
    assert read_private(tmp_path / "home" / "file") == b"x"


@pytest.mark.parametrize("wider", [0o701, 0o710, 0o750, 0o755, 0o777, 0o1777])
def test_a_folder_that_others_can_enter_is_refused_with_the_chmod_to_run(wider: int, tmp_path: Path) -> None:
    folder = tmp_path / "my home"
    folder.mkdir()
    folder.chmod(wider)
    for refuse in (check_private_folder, make_private_folder):
        with pytest.raises(NotPrivate) as refused:
            refuse(folder)
        assert mode(folder) == wider
    subprocess.run(str(refused.value).rpartition(": ")[2], shell=True, check=True)
    check_private_folder(folder)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    if os.geteuid() == 0:
        make_private_folder(folder)
        os.chown(folder, SOMEBODY, -1)
    else:
        folder = Path("/")
    with pytest.raises(ForeignOwner, match="chown"):
        check_private_folder(folder)


def test_a_link_or_a_file_is_no_folder(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "home")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    write_private(tmp_path / "file", b"")
    for name in ("link", "dangling", "file"):
        for refuse in (check_private_folder, make_private_folder):
            with pytest.raises(NotPlain, match="plain folder"):
                refuse(tmp_path / name)


def test_where_no_folder_is_none_is_refused(tmp_path: Path) -> None:
    check_private_folder(tmp_path / "not yet")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    write_private(tmp_path / "file", b"")
    with pytest.raises(FileFault):
        make_private_folder(tmp_path / "file" / "folder")
    with pytest.raises(FileFault):
        check_private_folder(tmp_path / "file" / "folder")


def test_a_folder_that_holds_something_is_set_aside_with_all_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert set_aside(folder) is None
    make_private_folder(folder)
    assert set_aside(folder) is None
    write_private(folder / "file", b"x")
    aside = set_aside(folder)
    assert aside is not None
    assert read_private(aside / "file") == b"x"
    assert not folder.exists()


def test_one_at_a_time_is_in_a_locked_folder(tmp_path: Path) -> None:
    inside, most = 0, 0

    def enter(_: int) -> None:
        nonlocal inside, most
        with locked_folder(tmp_path):
            inside += 1
            most = max(most, inside)
            write_private(tmp_path / "file", b"x")
            inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(40)))
    assert most == 1


def test_a_folder_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(FileFault), locked_folder(tmp_path / "missing"):
        pass


def test_every_refusal_has_a_code_of_its_own() -> None:
    refusals = files.FileError.__subclasses__()
    assert len({refusal.code for refusal in refusals} | {files.FileError.code}) == len(refusals) + 1 == 9
