"""Private files on disk: what is written here only its owner can read, and it is there whole or not at all.

A file is made under another name, synced, and only then given its own, so no reader and no crash ever sees half
of it. A file or folder that somebody else could read, or that somebody else made, is refused rather than mended:
what was readable may have been read. Nothing here knows what is in the files.

    FileError
    ├── FileFault         the system refused: no space, no right, not there to write to
    ├── FileMissing       nothing there
    ├── FileExists        something there already, and it is not to be lost
    ├── FileTooLarge      longer than such a file can be
    ├── NotText           bytes that are no text in UTF-8
    ├── NotPlain          a symbolic link, a pipe, a device, a file for a folder or the other way round
    ├── ForeignOwner      belongs to another user
    └── NotPrivate        others can read it, or write it
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from crow_hooks import CrowError

FILE_MODE = 0o600
FOLDER_MODE = 0o700
OTHERS = 0o077  # any right of group or world
SIZE_MAX = 1 << 20  # no private file of ours comes near it

Stamp = tuple[int, int, int]


class FileError(CrowError):
    """A private file or folder is not as it should be."""

    code = "file_error"


class FileFault(FileError):
    """The system refused to read or write."""

    code = "file_fault"

    def __init__(self, path: Path, error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        super().__init__(f"cannot use {path}: {reason}; put that right, then try again")


class FileMissing(FileError):
    """There is no such file."""

    code = "file_missing"

    def __init__(self, path: Path) -> None:
        super().__init__(f"there is no file {path}; check the path")


class FileExists(FileError):
    """A file that must not be overwritten is there already."""

    code = "file_exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists already and is not overwritten; choose another path, or move it away first")


class FileTooLarge(FileError):
    """A file is longer than such a file can be."""

    code = "file_too_large"

    def __init__(self, path: Path, size_max: int) -> None:
        super().__init__(f"{path} has more than {size_max} bytes, so it is not what it should be; check the path")


class NotText(FileError):
    """The file holds something else than text."""

    code = "not_text"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not text in UTF-8; check the path")


class NotPlain(FileError):
    """A path leads to something else than a plain file or folder."""

    code = "not_plain"

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(f"{path} is not a plain {kind}; links are not followed, so give the path of the {kind} itself")


class ForeignOwner(FileError):
    """A file or folder belongs to another user."""

    code = "foreign_owner"

    def __init__(self, path: Path, owner: int) -> None:
        quoted = shlex.quote(str(path))
        super().__init__(
            f"{path} belongs to user {owner}, not to user {os.geteuid()} who runs this; run it as user {owner}, "
            f"or make it yours: chown {os.geteuid()} {quoted}"
        )


class NotPrivate(FileError):
    """Others than the owner have rights on a file or folder."""

    code = "not_private"

    def __init__(self, path: Path, mode: int, wanted: int) -> None:
        quoted = shlex.quote(str(path))
        super().__init__(f"others can use {path} (mode {mode:04o}); make it private: chmod {wanted:o} {quoted}")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, over whatever had the name; whole on disk when this returns.

    Raises `FileFault`; what was there before is then still there.
    """
    with _faults_of(path):
        _place(path, content, os.replace)


def write_private_with_inode(path: Path, content: Callable[[int], bytes]) -> None:
    """The same, for a file that says which inode it is: a copy of it then tells that it is one. Raises `FileFault`."""
    with _faults_of(path):
        _place(path, content, os.replace)


def overwrite_private(path: Path, content: bytes) -> None:
    """Write over the beginning of a private file, or make one, and leave to the system when it goes to the disk.

    For what outlives this process and need not outlive a power cut. Raises `NotPlain`, `ForeignOwner`, `NotPrivate`
    or `FileFault`.
    """
    with _opened(path, os.O_WRONLY | os.O_CREAT) as descriptor, _faults_of(path):
        _check_private(path, os.fstat(descriptor), FILE_MODE)
        os.pwrite(descriptor, content, 0)


def create_private(path: Path, content: bytes) -> None:
    """As `write_private`, for a name that is free; of several at once one wins. Raises `FileExists`, `FileFault`."""
    with _faults_of(path):
        try:
            _place(path, content, os.link)  # unlike a rename it fails where the name is taken
        except FileExistsError:
            raise FileExists(path) from None


def read_private(path: Path, size_max: int = SIZE_MAX) -> bytes:
    """Read a file that only its owner can read.

    Raises `FileMissing`, `NotPlain`, `ForeignOwner`, `NotPrivate`, `FileTooLarge` or `FileFault`.
    """
    with _opened(path) as descriptor:
        _check_private(path, os.fstat(descriptor), FILE_MODE)
        return _read(path, descriptor, size_max)


def private_text(path: Path, size_max: int = SIZE_MAX) -> str:
    """The same as text, such as a passphrase. Raises `NotText` too."""
    try:
        return read_private(path, size_max).decode()
    except UnicodeDecodeError:
        raise NotText(path) from None  # not from it: it quotes what may be a secret


def read_plain(path: Path, size_max: int = SIZE_MAX) -> bytes:
    """Read a file whoever owns it: for what the system guards in its own way. Raises as `read_private`."""
    with _opened(path) as descriptor:
        return _read(path, descriptor, size_max)


def make_private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter, and its parents; one that is there must be such a folder.

    Raises `NotPlain`, `ForeignOwner`, `NotPrivate` or `FileFault`.
    """
    with _faults_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=FOLDER_MODE)
            _sync_folder(path.parent)
    check_private_folder(path)


def check_private_folder(path: Path) -> None:
    """Refuse a folder that others can enter; where nothing is, nothing is refused. Raises as `make_private_folder`."""
    with _faults_of(path):
        try:
            status = path.lstat()
        except FileNotFoundError:
            return
    if not stat.S_ISDIR(status.st_mode):
        raise NotPlain(path, "folder")
    _check_private(path, status, FOLDER_MODE)


def set_aside(path: Path) -> Path | None:
    """Give a folder that holds anything another name beside its own; returns that. Raises as `make_private_folder`."""
    check_private_folder(path)
    with _faults_of(path):
        if not path.exists() or not any(path.iterdir()):
            return None
        return path.rename(path.with_name(f"{path.name}.set-aside-{secrets.token_hex(4)}"))


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Be the only one in this block among all processes; the kernel lets go however the process ends."""
    with _faults_of(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with _faults_of(path):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def stamp(path: Path) -> Stamp | None:
    """Another one once a file was replaced or written; None where there is none, or nobody lets us look."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileFault(path, error) from error


def _place(path: Path, content: bytes | Callable[[int], bytes], give_name: Callable[[Path, Path], None]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        _write_new(temporary, content)
        give_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _write_new(path: Path, content: bytes | Callable[[int], bytes]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, FILE_MODE), "wb") as file:
        os.fchmod(file.fileno(), FILE_MODE)  # whatever the umask took away
        file.write(content if isinstance(content, bytes) else content(os.fstat(file.fileno()).st_ino))
        file.flush()
        _sync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: plain fsync leaves the bytes in the drive's cache
    if full is not None:
        fcntl.fcntl(descriptor, full)
    else:
        os.fsync(descriptor)


@contextmanager
def _opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A descriptor of a plain file; a pipe is opened without waiting for its writer, and then refused."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, FILE_MODE)
    except FileNotFoundError:
        raise FileMissing(path) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise NotPlain(path, "file") from error
        raise FileFault(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotPlain(path, "file")
        yield descriptor
    finally:
        os.close(descriptor)


def _check_private(path: Path, status: os.stat_result, wanted: int) -> None:
    if status.st_uid != os.geteuid():
        raise ForeignOwner(path, status.st_uid)
    mode = stat.S_IMODE(status.st_mode)
    if mode & OTHERS:
        raise NotPrivate(path, mode, wanted)


def _read(path: Path, descriptor: int, size_max: int) -> bytes:
    with _faults_of(path), os.fdopen(descriptor, "rb", closefd=False) as file:
        content = file.read(size_max + 1)
    if len(content) > size_max:
        raise FileTooLarge(path, size_max)
    return content
