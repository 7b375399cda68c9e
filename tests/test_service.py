"""`crow service` against a service manager that writes down what it is told; nothing of this machine's is touched."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from crow_hooks import Invalid
from crow_plugins import units
from crow_plugins.cli import service
from tests.gateway_process import crow

COMMAND = ["/opt/crow/bin/crow", "serve", "--home", "/home/ada/.crow"]
HOME = Path("/home/ada/.crow")
FAKE = """\
#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
{then}
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="speaks to systemd")


@dataclass
class Person:
    """Somebody's home folder, and the only programs they have."""

    folder: Path
    home: Path

    @property
    def unit(self) -> Path:
        return self.folder / ".config" / "systemd" / "user" / "crow.service"

    @property
    def told(self) -> list[str]:
        """What the service manager was told, oldest first."""
        log = self.folder / "told"
        return log.read_text().splitlines() if log.exists() else []

    def has(self, name: str, then: str = "") -> None:
        """Give them a program that writes down its arguments."""
        file = self.folder / "bin" / name
        file.write_text(FAKE.format(log=self.folder / "told", then=then))
        file.chmod(0o755)

    def service(self, *arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:{self.folder / 'tools'}"
        return crow(home or self.home, "service", *arguments, HOME=str(self.folder), PATH=path)

    def refused(self, *arguments: str, home: Path | None = None) -> str:
        result = self.service(*arguments, home=home)
        assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
        assert result.stderr.startswith("crow: ")
        return result.stderr


@pytest.fixture
def person(tmp_path: Path, home: Path) -> Person:
    folder = tmp_path / "ada"
    for name in ("bin", "tools"):
        (folder / name).mkdir(parents=True)
    for tool in ("sh", "basename"):
        found = shutil.which(tool)
        assert found is not None
        (folder / "tools" / tool).symlink_to(found)
    return Person(folder, home)


START = ["systemctl --user daemon-reload", "systemctl --user enable --now crow.service"]
STOP = ["systemctl --user disable --now crow.service", "systemctl --user daemon-reload"]


def test_install_writes_the_unit_and_starts_it(person: Person) -> None:
    person.has("systemctl")
    result = person.service("install", "--port", "3005", "--allow-host", "grackle.example")
    assert result.returncode == 0, result.stderr
    assert person.told == START
    assert all(f"run {command}" in result.stdout for command in START)
    text = person.unit.read_text()
    assert f"serve --home {person.home} --port 3005 --allow-host grackle.example\n" in text
    assert "\nRestart=on-failure\n" in text
    assert "\n#LoadCredential=crow-passphrase:" in text
    assert person.unit.stat().st_mode & 0o777 == 0o600
    program = text.split("ExecStart=")[1].split()[0]
    assert Path(program).is_absolute()
    assert Path(program).exists()


def test_remove_is_the_opposite_and_harmless_when_nothing_is_there(person: Person) -> None:
    person.has("systemctl")
    nothing = person.service("remove")
    assert (nothing.returncode, nothing.stdout, person.told) == (0, "No service is installed.\n", [])
    person.service("install")
    assert person.service("remove").returncode == 0
    assert person.told == [*START, *STOP]
    assert not person.unit.exists()


def test_installing_again_restarts_only_what_changed(person: Person) -> None:
    person.has("systemctl")
    person.service("install")
    person.service("install")
    assert person.told == START * 2
    person.service("install", "--port", "3005")
    assert person.told == [*START * 3, "systemctl --user restart crow.service"]


def test_a_dry_run_shows_all_and_does_nothing(person: Person) -> None:
    person.has("systemctl")
    shown = person.service("install", "--dry-run").stdout
    assert "ExecStart=" in shown
    assert all(f"run {command}" in shown for command in START)
    assert not person.unit.exists()
    person.service("install")
    shown = person.service("remove", "--dry-run").stdout
    assert all(f"run {command}" in shown for command in STOP)
    assert person.unit.exists()
    assert person.told == START


def test_a_unit_of_somebody_else_is_left_alone(person: Person) -> None:
    person.has("systemctl")
    person.unit.parent.mkdir(parents=True)
    person.unit.write_text("[Service]\nExecStart=/bin/true\n")
    for arguments in (["install"], ["install", "--dry-run"], ["remove"]):
        assert "was not written by crow" in person.refused(*arguments)
    assert person.unit.read_text() == "[Service]\nExecStart=/bin/true\n"
    assert person.told == []


def test_a_unit_that_is_a_link_is_left_alone(person: Person) -> None:
    person.unit.parent.mkdir(parents=True)
    person.unit.symlink_to("/dev/null")  # as `systemctl mask` leaves it
    assert "not a plain file" in person.refused("install")
    assert person.unit.is_symlink()


def test_the_service_of_another_home_is_left_alone(person: Person, make_home: Callable[[str], Path]) -> None:
    person.has("systemctl")
    person.service("install")
    before, swan = person.unit.read_text(), make_home("swan")
    for word in ("install", "remove"):
        assert f"crow service remove --home {person.home}" in person.refused(word, home=swan)
    assert person.unit.read_text() == before


def test_without_systemctl_the_file_stays_with_the_commands_to_run(person: Person) -> None:
    sentence = person.refused("install")
    assert "there is no systemctl here" in sentence
    assert " && ".join(START) in sentence
    assert person.unit.exists()
    assert "is removed" in person.refused("remove")
    assert not person.unit.exists()


def test_what_systemctl_says_is_told_with_what_is_left_to_run(person: Person) -> None:
    person.has("systemctl", then='case "$*" in *enable*) echo "no bus" >&2; exit 1;; esac')
    sentence = person.refused("install")
    assert "failed (no bus)" in sentence
    assert sentence.endswith(f"run: {START[1]}\n")


def test_a_home_without_identity_has_no_service(person: Person, tmp_path: Path) -> None:
    assert "crow init" in person.refused("install", home=tmp_path / "nothing")
    assert not person.unit.exists()


def test_keys_under_a_passphrase_want_its_file(person: Person, tmp_path: Path) -> None:
    person.has("systemctl")
    sealed, secret = tmp_path / "sealed", tmp_path / "secret 100%"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    assert crow(sealed, "init", "--passphrase-file", str(secret)).returncode == 0
    assert "--passphrase-file" in person.service("install", "--dry-run", home=sealed).stderr
    installed = person.service("install", "--passphrase-file", str(secret), home=sealed)
    assert (installed.returncode, installed.stderr) == (0, "")
    assert f"\nLoadCredential=crow-passphrase:{tmp_path}/secret 100%%\n" in person.unit.read_text()


def test_a_passphrase_file_that_others_can_read_is_refused(person: Person, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    secret.chmod(0o644)
    assert "chmod 600" in person.refused("install", "--passphrase-file", str(secret))
    assert "there is no file" in person.refused("install", "--passphrase-file", str(tmp_path / "none"))
    assert not person.unit.exists()


def test_words_are_written_as_systemd_reads_them() -> None:
    text = units.systemd_unit(["/opt/a b/$x/crow", "serve", "--home", '/h "q"\\ $y 5%'], HOME)
    assert '\nExecStart="/opt/a b/$x/crow" serve --home "/h \\"q\\"\\\\ $$y 5%%"\n' in text


@pytest.mark.parametrize("write", [units.systemd_unit, units.launchd_agent])
def test_what_breaks_lines_is_refused(write: Callable[..., str]) -> None:
    with pytest.raises(Invalid, match="control character"):
        write([*COMMAND, "--allow-host", "a\nExecStartPre=/bin/true"], HOME)
    with pytest.raises(Invalid, match="control character"):
        write(COMMAND, Path("/home/ada\n/.crow"))


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not here")
    passphrase = tmp_path / "pass phrase"
    file = tmp_path / "crow.service"
    file.write_text(units.systemd_unit([sys.executable, "serve", "--home", "/h o/5%/$m"], HOME, passphrase))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    found = subprocess.run([verify, "verify", "--user", "--man=no", str(file)], capture_output=True, env=environment)
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


def test_an_agent_says_the_same_to_launchd() -> None:
    text = units.launchd_agent([*COMMAND, "--allow-host", "a&b"], HOME, Path("/home/ada/pass"))
    agent = plistlib.loads(text.encode())
    assert agent["ProgramArguments"] == [*COMMAND, "--allow-host", "a&b"]
    assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert agent["EnvironmentVariables"] == {"CROW_PASSPHRASE_FILE": "/home/ada/pass"}
    assert units.home_of(text) == HOME
    with pytest.raises(Invalid, match="two hyphens"):
        units.launchd_agent(COMMAND, Path("/home/a--b"))


def test_a_unit_says_which_home_it_serves() -> None:
    assert units.home_of(units.systemd_unit(COMMAND, HOME)) == HOME
    assert units.home_of("[Service]\nExecStart=/bin/true\n") is None


def test_launchd_lets_go_of_an_agent_before_it_takes_the_next(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.has("launchctl")
    monkeypatch.setenv("PATH", f"{person.folder / 'bin'}:{person.folder / 'tools'}")
    monkeypatch.setenv("HOME", str(person.folder))
    services = service.services_of("darwin")
    service._install(services, "agent", services.let_go, services.start)
    service._remove(services)
    who = f"gui/{os.getuid()}"
    out = f"launchctl bootout {who}/crow.gateway"
    assert person.told == [out, f"launchctl bootstrap {who} {services.file}", out]
    assert not services.file.exists()


def test_another_platform_is_one_sentence() -> None:
    with pytest.raises(service.NoServices, match="crow serve"):
        service.services_of("win32")
