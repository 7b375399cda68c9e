"""The `crow` command as a person types it: answers, JSON, exit codes, one sentence for every refusal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.host import Host
from tests.gateway_process import crow

MEMORY = {"kind": "memory", "content": "the boiler was serviced", "category": "house", "tags": ["boiler"]}


def refused(home: Path, *arguments: str, code: int = 1, **environment: str) -> str:
    """The one sentence that a command ends with."""
    result = crow(home, *arguments, **environment)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("crow: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def answer(home: Path, *arguments: str, stdin: str | None = None) -> dict[str, Any]:
    result = crow(home, *arguments, "--json", stdin=stdin)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_init_prints_24_words_once_and_they_are_the_ones_kept(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = crow(home, "init", "--name", "grackle", "--role", "satellite")
    assert made.returncode == 0, made.stderr
    words = str(answer(home, "identity", "words")["words"]).split()
    assert len(words) == 24
    assert all(word in made.stdout for word in words)
    shown = answer(home, "identity", "show")
    assert (shown["name"], shown["role"]) == ("grackle", "satellite")
    assert "without a passphrase" in made.stderr


def test_init_refuses_a_home_that_has_an_identity_and_leaves_it(home: Path) -> None:
    before = (home / "identity.json").read_bytes()
    assert "already" in refused(home, "init")
    assert (home / "identity.json").read_bytes() == before


def test_keys_under_a_passphrase_need_it(tmp_path: Path) -> None:
    home, secret = tmp_path / "home", tmp_path / "secret"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    made = crow(home, "init", "--passphrase-file", str(secret))
    assert made.returncode == 0
    assert "passphrase" in refused(home, "identity", "words")
    opened = crow(home, "identity", "words", CROW_PASSPHRASE_FILE=str(secret))
    assert opened.returncode == 0, opened.stderr
    secret.write_text("wrong horse\n")
    wrong = crow(home, "identity", "words", "--debug", CROW_PASSPHRASE_FILE=str(secret))
    assert wrong.returncode == 1
    assert "the passphrase does not open" in wrong.stderr
    for said in (made, opened, wrong):
        assert "horse" not in said.stdout + said.stderr


def passphrase_file(tmp_path: Path, line: str = "carry me") -> Path:
    file = tmp_path / f"passphrase {line}"
    file.write_text(line + "\n")
    file.chmod(0o600)
    return file


def test_an_identity_is_carried_to_another_machine_and_only_the_seed_travels(home: Path, tmp_path: Path) -> None:
    file, secret, other = tmp_path / "me.json", passphrase_file(tmp_path), tmp_path / "other"
    exported = answer(home, "identity", "export", str(file), "--passphrase-file", str(secret))
    imported = answer(other, "identity", "import", str(file), "--passphrase-file", str(secret), "--name", "swan")
    mine, theirs = answer(home, "identity", "show"), answer(other, "identity", "show")
    assert file.stat().st_mode & 0o777 == 0o600
    assert exported["fingerprint"] == imported["fingerprint"] == mine["fingerprint"]
    assert (theirs["chain"], theirs["name"], theirs["role"]) == (mine["chain"], "swan", "satellite")
    for key in ("instance_id", "instance_key", "noise_key", "feed_key"):
        assert mine[key] != theirs[key]
        assert str(mine[key]) not in file.read_text()


def test_an_import_refuses_a_wrong_passphrase_another_file_and_a_home_that_has_an_identity(
    home: Path, tmp_path: Path
) -> None:
    file, secret, other = tmp_path / "me.json", passphrase_file(tmp_path), tmp_path / "other"
    answer(home, "identity", "export", str(file), "--passphrase-file", str(secret))
    wrong = passphrase_file(tmp_path, "wrong")
    assert "passphrase" in refused(other, "identity", "import", str(file), "--passphrase-file", str(wrong))
    assert refused(other, "identity", "import", str(secret), "--passphrase-file", str(secret))
    assert not (other / "identity.json").exists()
    before = (home / "identity.json").read_bytes()
    assert "already" in refused(home, "identity", "import", str(file), "--passphrase-file", str(secret))
    assert (home / "identity.json").read_bytes() == before
    assert "exists already" in refused(home, "identity", "export", str(file), "--passphrase-file", str(secret))


def test_the_24_words_bring_an_identity_back(home: Path, tmp_path: Path) -> None:
    words = str(answer(home, "identity", "words")["words"])
    other = tmp_path / "after the fire"
    answer(other, "init", "--words-file", "-", stdin=words.upper().replace(" ", "  ") + "\n")
    assert answer(other, "identity", "show")["chain"] == answer(home, "identity", "show")["chain"]
    mistyped = crow(tmp_path / "typo", "init", "--words-file", "-", stdin=words.replace(words.split()[3], "crwo"))
    assert (mistyped.returncode, mistyped.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "typo" / "identity.json").exists()


def test_remember_search_and_status(home: Path) -> None:
    remembered = answer(home, "remember", "The spare key is under the blue pot", "--tag", "key", "--importance", "9")
    found = crow(home, "search", "spare", "keys")
    assert "The spare key is under the blue pot" in found.stdout
    assert str(remembered["id"]) in found.stdout
    status = answer(home, "status")
    assert (status["name"], status["gateway"], status["rows"]["memories"]) == ("grackle", None, 1)
    assert status["summary"]["memory_categories"] == {"general": 1}
    assert re.search(r"^keeps +.*\bmemories: 1", crow(home, "status").stdout, re.MULTILINE)
    again = crow(home, "remember", "And the blue pot is by the door")
    assert re.fullmatch(r"Remembered as [-0-9a-f]{36}\.\n", again.stdout)


def test_search_finding_nothing_says_so(home: Path) -> None:
    result = crow(home, "search", "nothing")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "Nothing found.\n")


@pytest.mark.parametrize(("second", "day"), [(2**53 - 1, "9999-12-31"), (-(2**53), "0001-01-01")])
def test_a_time_of_another_machine_that_no_calendar_has_hides_nothing(home: Path, second: int, day: str) -> None:
    answer(home, "remember", "the roost")
    with Host(home) as host, host.transaction() as transaction:
        transaction.db.execute_sql("UPDATE memories SET updated_at = ?", (second,))
    assert crow(home, "search", "roost").stdout.rstrip().endswith(day)


def test_text_is_printed_as_it_is_and_never_as_markup(home: Path) -> None:
    answer(home, "remember", "[bold red]not[/bold red] markup [/]")
    assert "[bold red]not[/bold red] markup [/]" in crow(home, "search", "markup").stdout


def test_a_token_that_would_outlive_the_calendar_is_refused_and_the_list_stands(home: Path) -> None:
    refused = crow(home, "token", "create", "patient", "--expires", "99999y")
    assert (refused.returncode, "is longer than 100 years" in refused.stderr) == (1, True)
    assert crow(home, "token", "create", "patient", "--expires", "100y").returncode == 0
    assert "patient" in crow(home, "token", "list").stdout


def test_tokens_are_made_listed_and_revoked(home: Path) -> None:
    made = answer(home, "token", "create", "claude", "--expires", "30d")
    assert str(made["token"]).startswith("crow_")
    assert "claude" in crow(home, "token", "list").stdout
    assert str(made["token"]) not in crow(home, "token", "list", "--json").stdout
    assert "already" in refused(home, "token", "create", "claude")
    assert crow(home, "token", "revoke", "claude").returncode == 0
    assert "no token is called nobody" in refused(home, "token", "revoke", "nobody")
    assert "length of time" in refused(home, "token", "create", "x", "--expires", "soon")


@pytest.mark.parametrize("client", ["claude-desktop", "claude-code", "cursor", "vscode"])
@pytest.mark.parametrize("http", [(), ("--http", "--token", "crow_secret")])
def test_config_prints_what_to_paste(home: Path, client: str, http: tuple[str, ...]) -> None:
    printed = crow(home, "config", client, *http)
    assert printed.returncode == 0, printed.stderr
    assert ("crow_secret" if http else str(home)) in printed.stdout
    assert ("http://127.0.0.1:3001/mcp" if http else "--stdio") in printed.stdout
    if client != "claude-code":
        json.loads(printed.stdout)


def write_lines(file: Path, *lines: object) -> Path:
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return file


def test_what_is_exported_and_imported_elsewhere_is_the_same(home: Path, make_home: Callable[[str], Path]) -> None:
    for text in ("first\nwith lines", "zweite Ünïcode 🦆", "third"):
        answer(home, "remember", text, "--tag", "t")
    exported = home.parent / "memories.jsonl"
    assert answer(home, "export", str(exported))["exported"] == 3
    swan = make_home("swan")
    assert answer(swan, "import", str(exported))["imported"] == 3
    assert crow(swan, "export", "-").stdout == exported.read_text()
    assert answer(swan, "import", str(exported)) == {
        "imported": 0,
        "already_here": 3,
        "skipped": [],
        "dry_run": False,
    }


def test_a_dry_run_checks_everything_and_changes_nothing(home: Path, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "in.jsonl", MEMORY, {**MEMORY, "importance": 11})
    result = crow(home, "import", str(file), "--dry-run", "--json")
    told = json.loads(result.stdout)
    assert (told["imported"], [each["line"] for each in told["skipped"]]) == (1, [2])
    assert answer(home, "status")["rows"]["memories"] == 0


def test_lines_that_cannot_be_taken_are_named_and_the_others_are_in(home: Path, tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "in.jsonl",
        MEMORY,
        "not json",
        "[1]",
        {"kind": "memori", "content": "x"},
        {**MEMORY, "id": "no-uuid"},
        "",
        {"kind": "memory"},
        {**MEMORY, "content": "x" * (1 << 20)},
        {**MEMORY, "content": "nul \0 inside"},
        {**MEMORY, "tags": ["half \ud800 a character"]},
        {**MEMORY, "created_at": 1_795_000_000_000},
        {**MEMORY, "content": "the last one"},
    )
    result = crow(home, "import", str(file), "--json")
    told = json.loads(result.stdout)
    assert told["imported"] == 2
    assert {each["line"]: each["reason"].split()[0] for each in told["skipped"]} == {
        2: "is",
        3: "is",
        4: "has",
        5: "id",
        7: "a",
        8: "is",
        9: "content",
        10: "tags",
        11: "created_at",
    }
    assert "did you mean memory?" in result.stdout
    assert result.returncode == 1
    assert "9 lines were left out and 2 taken" in result.stderr


def test_an_import_never_overwrites(home: Path, tmp_path: Path) -> None:
    stored = answer(home, "remember", "original")
    file = write_lines(tmp_path / "in.jsonl", {**MEMORY, "id": stored["id"], "content": "forged"})
    assert "here with other content" in crow(home, "import", str(file)).stderr
    assert "original" in crow(home, "search", "original").stdout


def test_import_reads_standard_input(home: Path) -> None:
    assert answer(home, "import", "-", stdin=json.dumps(MEMORY) + "\n")["imported"] == 1


def test_export_leaves_a_file_that_exists_alone(home: Path, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "out.jsonl", "precious")
    assert "exists" in refused(home, "export", str(file))
    assert file.read_text() == "precious\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status",), "crow init"),
        (("search", "x"), "crow init"),
        (("token", "list"), "crow init"),
        (("identity", "show"), "crow init"),
        (("import", "-"), "crow init"),
        (("remember", "x"), "crow init"),
    ],
)
def test_without_an_identity_every_command_says_how_to_make_one(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(tmp_path / "nothing", *arguments)
    assert not (tmp_path / "nothing").exists()


def test_a_home_that_others_can_read_is_refused_with_the_chmod(home: Path) -> None:
    home.chmod(0o755)
    assert "chmod 700" in refused(home, "status")


def test_a_key_that_others_can_read_is_refused_with_the_chmod(home: Path) -> None:
    for key in (home / "keys").iterdir():
        key.chmod(0o644)
    assert "chmod 600" in refused(home, "status")


def test_a_database_that_is_none_is_one_sentence(home: Path) -> None:
    (home / "crow.db").write_bytes(b"nonsense" * 200)
    assert "cannot be used" in refused(home, "status")


def test_an_unknown_plugin_in_the_manifest_is_one_sentence(home: Path) -> None:
    (home / "plugin_manifest.toml").write_text('[[plugin]]\nname = "memorys"\nenabled = false\n')
    assert "plugin_manifest.toml:2: there is no plugin memorys; did you mean memories?" in refused(home, "status")


def test_a_plugin_that_is_off_is_gone_with_its_commands(home: Path) -> None:
    (home / "plugin_manifest.toml").write_text('[[plugin]]\nname = "memories"\nenabled = false\n')
    assert "memories" not in answer(home, "status")["plugins"]
    assert "crow plugins enable memories" in refused(home, "remember", "x")
    assert "off" in crow(home, "plugins", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("statsu",), "statsu"),
        (("status", "--colour"), "--colour"),
        (("token", "create"), "label"),
        (("status", "--home"), "--home"),
        (("config", "emacs"), "emacs"),
        (("search", "x", "--limit", "many"), "limit"),
        (("remember", "x", "--importance", "high"), "importance"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(home: Path, arguments: tuple[str, ...], word: str) -> None:
    assert word in refused(home, *arguments, code=2).lower()


def test_a_wrong_environment_is_one_sentence(home: Path) -> None:
    assert "CROW_LOG" in refused(home, "status", CROW_LOG="yaml")


def test_debug_shows_the_traceback(home: Path) -> None:
    assert "Traceback" in crow(home, "init", "--debug").stderr


def test_the_shell_can_complete_the_command(home: Path, tmp_path: Path) -> None:
    done = crow(home, "--install-completion", HOME=str(tmp_path), SHELL="/bin/bash")
    assert done.returncode == 0, done.stderr
    (script,) = tmp_path.rglob("completions/crow")
    assert "serve" in script.read_text()


def test_version_and_help(home: Path) -> None:
    from crow_plugins import __version__

    assert crow(home, "--version").stdout.strip() == __version__
    shown = crow(home, "--help").stdout
    for command in ("init", "serve", "status", "search", "remember", "import", "export", "token", "config", "identity"):
        assert command in shown


def test_ctrl_c_ends_a_command_quietly_while_it_is_still_being_imported(home: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "crow_plugins", "status", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "cyclopts" in line)  # of the first modules of some hundreds
        process.send_signal(signal.SIGINT)
        said, rest = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert [line for line in rest.splitlines() if not line.startswith("import time:")] == []
