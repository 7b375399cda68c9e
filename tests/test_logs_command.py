"""The gateway's log file, and `crow logs`, which reads it across renamings."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crow_plugins import logs
from crow_plugins.cli.logs import Log, NoLog
from crow_plugins.files import FileFault
from tests.gateway_process import CROW, crow, running_gateway
from tests.test_cli import refused


@pytest.fixture
def log_file(home: Path) -> Path:
    (home / "logs").mkdir(mode=0o700)
    return home / "logs" / "gateway.log"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are full after a few lines."""
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 400)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("crow_plugins.gateway")
    before, logger.level = logger.level, logging.INFO
    yield logger
    logger.level = before


def rename(file: Path) -> None:
    """As the gateway does when a file is full."""
    for number in range(logs.FILES_KEPT - 2, 0, -1):
        older = file.with_name(f"{file.name}.{number}")
        if older.exists():
            older.replace(file.with_name(f"{file.name}.{number + 1}"))
    file.replace(file.with_name(f"{file.name}.1"))


def test_a_gateway_writes_its_log_for_its_owner_alone(home: Path) -> None:
    with running_gateway(home) as gateway:
        shown = crow(home, "logs").stdout
        assert f"INFO gateway: gateway ready address={gateway.mcp}" in shown
        assert gateway.stop() == 0
    assert "gateway stopped" in crow(home, "logs", "--lines", "1").stdout
    assert (home / "logs").stat().st_mode & 0o777 == 0o700
    assert (home / "logs" / "gateway.log").stat().st_mode & 0o777 == 0o600


def test_the_log_is_as_the_environment_wants_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROW_LOG", "json")
    with running_gateway(home):
        lines = crow(home, "logs").stdout.splitlines()
    assert json.loads(lines[0])["level"] == "info"


@pytest.mark.usefixtures("small")
def test_files_are_renamed_when_full_and_the_oldest_dropped(log_file: Path, logger: logging.Logger) -> None:
    umask = os.umask(0)
    try:
        with logs.kept(log_file):
            for number in range(100):
                logger.info("event number=%d", number)
    finally:
        os.umask(umask)
    files = sorted(log_file.parent.iterdir())
    assert [file.name for file in files] == ["gateway.log", *(f"gateway.log.{number}" for number in (1, 2, 3, 4))]
    assert all(file.stat().st_size <= 400 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    with closing(Log(log_file)) as log:
        assert log.last(1)[0].endswith("number=99")


def test_after_the_gateway_nothing_more_is_written(log_file: Path, logger: logging.Logger) -> None:
    with logs.kept(log_file):
        logger.info("inside")
    logger.info("outside")
    assert "outside" not in log_file.read_text()


def test_a_log_that_is_a_link_is_not_written_through(log_file: Path) -> None:
    log_file.symlink_to("/dev/null")
    with pytest.raises(FileFault, match="symbolic link"), logs.kept(log_file):
        pass


def test_the_last_lines_come_from_older_files_too(home: Path, log_file: Path) -> None:
    for name, numbers in {".2": "12", ".1": "34", "": "56"}.items():
        log_file.with_name(log_file.name + name).write_text("".join(f"line {number}\n" for number in numbers))
    for wanted in (0, 1, 3, 6, 9):
        shown = crow(home, "logs", "--lines", str(wanted)).stdout.splitlines()
        assert shown == [f"line {number}" for number in range(1, 7)][6 - min(wanted, 6) :]


def test_json_gives_each_line_as_a_json_text(home: Path, log_file: Path) -> None:
    log_file.write_text('say "hello"\n')
    assert crow(home, "logs", "--json").stdout == '"say \\"hello\\""\n'


def test_what_was_logged_does_not_command_the_terminal(home: Path, log_file: Path) -> None:
    log_file.write_bytes(b"\x1b[2Jgone \xff [bold]bold[/bold]\n")
    assert crow(home, "logs").stdout == "\ufffd[2Jgone \ufffd [bold]bold[/bold]\n"


def test_without_a_log_it_says_how_to_get_one(home: Path) -> None:
    assert "crow serve" in refused(home, "logs")
    assert "crow serve" in refused(home, "logs", "--follow")


def test_wrong_usage_is_one_sentence(home: Path) -> None:
    assert "lines" in refused(home, "logs", "--lines", "many", code=2)


def test_following_goes_on_after_what_was_shown(log_file: Path) -> None:
    log_file.write_text("one\ntw")
    log = Log(log_file)
    assert log.last(9) == ["one"]
    assert log.fresh() == []
    with log_file.open("a") as file:
        file.write("o\nthree\n")
    assert log.fresh() == ["two", "three"]
    log.close()


@pytest.mark.parametrize("renamings", [1, 2, 3])
def test_following_goes_across_renamings(log_file: Path, renamings: int) -> None:
    log_file.write_text("0\n")
    log = Log(log_file)
    assert log.last(9) == ["0"]
    for number in range(1, renamings + 1):
        with log_file.open("a") as file:
            file.write(f"late {number}\n")
        rename(log_file)
        log_file.write_text(f"{number}\n")
    expected = [line for number in range(1, renamings + 1) for line in (f"late {number}", str(number))]
    assert log.fresh() == expected
    assert log.fresh() == []
    log.close()


def test_a_renaming_under_way_is_waited_for(log_file: Path) -> None:
    log_file.write_text("1\n")
    log = Log(log_file)
    rename(log_file)
    assert log.last(9) == ["1"]
    assert log.fresh() == []
    log_file.write_text("2\n")
    assert log.fresh() == ["2"]
    log.close()


@pytest.mark.usefixtures("small")
def test_nothing_is_lost_or_told_twice_however_it_is_read(log_file: Path, logger: logging.Logger) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    with logs.kept(log_file):
        logger.info("0")
        log, seen, written = Log(log_file), list[str](), 1
        seen += log.last(1)
        for _ in range(100):
            for _ in range(chance.randrange(12)):
                logger.info("%d", written)
                written += 1
            seen += log.fresh()
        log.close()
    assert [int(line.split()[-1]) for line in seen] == list(range(written)), f"seed={seed}"


def test_follow_shows_what_is_logged_from_now_on(home: Path, log_file: Path) -> None:
    log_file.write_text("one\n")
    command = [*CROW, "logs", "--follow", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one\n"
        rename(log_file)
        log_file.write_text("two\n")
        assert process.stdout.readline() == "two\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(20) == 130
        finally:
            process.kill()
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_log_that_cannot_be_opened_is_one_sentence(home: Path, tmp_path: Path) -> None:
    (home / "logs").mkdir(mode=0o700)
    (home / "logs" / "gateway.log").mkdir()
    assert "is a directory" in refused(home, "logs")
    with pytest.raises(NoLog):
        Log(tmp_path / "none")
