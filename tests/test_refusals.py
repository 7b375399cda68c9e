"""What a person gets wrong at a command is told in one sentence that says what to do, and changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crow_plugins.cli.app import run

KEY = "ab" * 32


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with files that are not what they should be."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in {"bytes": b"\xbd\xff\x00", "empty": b"", "cut.toml": b"plugin = ["}.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return folder


WRONG = {
    "restore {files}/absent": "there is no such file; nothing was changed",
    "restore {files}": "it cannot be opened; nothing was changed",
    "export {files}/empty": "exists already and is not overwritten; choose another path",
    "export {files}/absent/x": "No such file or directory; check the name",
    "import {files} --format bibtex": "Is a directory; check the name",
    "import {files}/absent --format vcard": "No such file or directory; check the name",
    "identity export {files}/me --passphrase-file {files}/bytes": "is not text in UTF-8; check the path",
    "identity export {files}/me --passphrase-file {files}/empty": "is empty, which protects nothing; give a passphrase",
    "init --words-file {files}/bytes": "is not text in UTF-8; check the path",
    "init --name=": "a name has 1 to 64 characters",
    "nest password --file {files}/bytes": "is not text in UTF-8; check the path",
    "feed mirror 127.0.0.1:9 {key} --out {files}/absent/x": "no such file or directory; put that right",
    "feed mirror 127.0.0.1:9 {key} --out {files}": "is a directory; put that right",
    "sync now --wait=-1": "--wait is how many seconds to wait; give 0 or more",
    "sync now --wait nan": "--wait is how many seconds to wait; give 0 or more",
    "sync conflicts --limit=-5": "--limit is how many conflicts to show; give 1 or more",
    "status --manifest {files}/absent": "there is no file {files}/absent; check the path",
    "status --manifest {files}": "cannot be read: Is a directory; check its name",
    "status --manifest {files}/bytes": "is not text in UTF-8; check its name",
    "service install --dry-run --port 70000": "there is no port 70000; give one from 1 to 65535",
    "config cursor --token x": "give --http too",
    "serve --host nowhere.invalid --port 0": "give an address of this machine",
    "serve --port 70000": "there is no such port; choose another with --port",
}


@pytest.mark.parametrize(("words", "said"), WRONG.items(), ids=list(WRONG))
def test_a_refusal_is_one_sentence_with_what_to_do(
    home: Path, files: Path, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(each.name for each in files.iterdir())
    arguments = words.format(files=files, key=KEY).split(" ")
    home = home.with_name("new") if arguments[0] == "init" else home
    assert run([*arguments, "--home", str(home)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("crow: ")
    assert "unexpected" not in last
    assert said.format(files=files) in last
    assert sorted(each.name for each in files.iterdir()) == before


@pytest.mark.parametrize("words", ["restore x", "plugins enable blog", "plugins disable blog", "status", "backup x"])
def test_of_a_home_that_is_not_there_a_command_says_how_to_make_it(
    tmp_path: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words.split(), "--home", str(tmp_path / "absent")]) == 1
    assert "make one with: crow init" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_variable_is_one_that_is_not_set(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CROW_HOME", "")
    monkeypatch.setenv("HOME", str(home.parent))
    shutil.move(home, home.parent / ".crow")
    assert run(["identity", "show"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("statsu", "there is no command crow statsu; did you mean status?; see: crow --help"),
        ("sync conflict", "there is no command crow sync conflict; did you mean conflicts?; see: crow sync --help"),
        ("token create", 'Command "token create" parameter LABEL requires an argument; see: crow token create --help'),
    ],
)
def test_wrong_usage_names_the_nearest_command_and_the_help_of_it(
    home: Path, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words.split(), "--home", str(home)]) == 2
    assert capsys.readouterr().err == f"crow: {said}\n"


def test_the_help_says_what_every_command_and_group_is_for_and_what_is_special_first(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--help", "--home", str(home)]) == 0
    shown = capsys.readouterr().out
    for group in ("federation", "feed", "instances", "nest", "sync"):
        assert any(line.split()[1:2] == [group] and len(line.split()) > 4 for line in shown.splitlines()), group
    assert run(["remember", "--help", "--home", str(home)]) == 0
    shown = capsys.readouterr().out
    assert shown.index("--category") < shown.index("Options of every command") < shown.index("--home")
    assert "False" not in shown
    assert "--empty" not in shown
