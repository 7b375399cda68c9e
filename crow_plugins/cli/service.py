"""The gateway as a service of the person who is logged in: a systemd user unit, or a launchd agent.

What is run is said, and what is installed is taken away again by `remove` alone. A unit that somebody else wrote, or
that serves another home, is left as it is.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from crow_hooks import CrowError, Invalid
from crow_plugins import units
from crow_plugins.cli.starting import first_line
from crow_plugins.cli.terminal import ATerminal, Terminal
from crow_plugins.config import DEFAULT_HOST, DEFAULT_PORT, PORT_MAX
from crow_plugins.files import FileFault, FileMissing, read_plain, write_private
from crow_plugins.keyring import Keyring

COMMAND_SECONDS_MAX = 60

ADryRun = Annotated[bool, Parameter(help="Show what would be written and run, and do nothing.", negative=())]
Command = Sequence[str]


class NoServices(CrowError):
    """This system has no service manager that we know."""

    code = "no_services"

    def __init__(self, platform: str) -> None:
        super().__init__(f"there are no services on {platform} that crow knows; let its own tools run: crow serve")


class ForeignService(CrowError):
    """Somebody else wrote the file that a service of ours would stand in."""

    code = "foreign_service"

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file} was not written by crow and is left as it is; move it away first")


class ServiceTakenByHome(CrowError):
    """The service runs another home."""

    code = "service_taken_by_home"

    def __init__(self, home: Path) -> None:
        super().__init__(
            f"the service runs {home}, and there is one a person; "
            f"remove it first: crow service remove --home {shlex.quote(str(home))}"
        )


class ServiceCommandFailed(CrowError):
    """The file is in its place, or gone, and the service manager has not followed."""

    code = "service_command_failed"

    def __init__(self, done: str, reason: str, commands: Sequence[Command]) -> None:
        super().__init__(f"{done}, but {reason}; where it works, run: {' && '.join(map(shlex.join, commands))}")


@dataclass(frozen=True, slots=True)
class Services:
    """How one service manager is spoken to: its file, what stands in it, and the commands around it."""

    file: Path
    write: Callable[[Command, Path, Path | None], str]
    let_go: Sequence[Command]  # of what may run already; their failure means that nothing did
    start: Sequence[Command]
    again: Sequence[Command]  # after a change, where starting does not restart
    stop: Sequence[Command]
    forget: Sequence[Command]


def systemd() -> Services:
    manager = ("systemctl", "--user")
    return Services(
        file=Path.home() / ".config" / "systemd" / "user" / units.UNIT,
        write=units.systemd_unit,
        let_go=[],
        start=[(*manager, "daemon-reload"), (*manager, "enable", "--now", units.UNIT)],
        again=[(*manager, "restart", units.UNIT)],
        stop=[(*manager, "disable", "--now", units.UNIT)],
        forget=[(*manager, "daemon-reload")],
    )


def launchd() -> Services:
    file = Path.home() / "Library" / "LaunchAgents" / f"{units.LABEL}.plist"
    domain = f"gui/{os.getuid()}"
    service = f"{domain}/{units.LABEL}"
    return Services(
        file=file,
        write=units.launchd_agent,
        let_go=[("launchctl", "bootout", service)],
        start=[("launchctl", "bootstrap", domain, str(file))],
        again=[],
        stop=[("launchctl", "bootout", service)],
        forget=[],
    )


MANAGERS: dict[str, Callable[[], Services]] = {"linux": systemd, "darwin": launchd}


def add_to(app: App) -> None:
    service = App(name="service", help="The gateway as a service that starts by itself.", help_format="plaintext")
    service.command(install)
    service.command(remove)
    app.command(service)


def install(
    *,
    host: Annotated[str, Parameter(help="The address to listen on.")] = DEFAULT_HOST,
    port: Annotated[int, Parameter(help="The port.")] = DEFAULT_PORT,
    allow_host: Annotated[tuple[str, ...], Parameter(help="Another name this gateway is called by.")] = (),
    passphrase_file: Annotated[Path | None, Parameter(help="Where the passphrase of the keys is.")] = None,
    dry_run: ADryRun = False,
    terminal: ATerminal,
) -> None:
    """Let the gateway start now and with every login."""
    if not 0 < port <= PORT_MAX:
        raise Invalid(f"there is no port {port}; give one from 1 to {PORT_MAX}")
    services = services_of(sys.platform)
    identity = Keyring.public(terminal.home.folder)
    if passphrase_file is not None:
        passphrase_file = passphrase_file.expanduser().absolute()
        first_line(passphrase_file)
    options = [] if host == DEFAULT_HOST else ["--host", host]
    options += [] if port == DEFAULT_PORT else ["--port", str(port)]
    options += [word for name in allow_host for word in ("--allow-host", name)]
    command = [*program(), "serve", "--home", str(terminal.home.folder), *options]
    text = services.write(command, terminal.home.folder, passphrase_file)
    before = installed(services, terminal.home.folder)
    let_go = services.let_go if before is not None else []
    start = [*services.start, *(services.again if before not in (None, text) else [])]
    if not dry_run:
        _install(services, text, let_go, start)
    _tell(terminal, services, text, [*let_go, *start], dry_run)
    if identity.encrypted and passphrase_file is None:
        terminal.say("The keys are under a passphrase, which a service is not asked: give --passphrase-file FILE")


def remove(*, dry_run: ADryRun = False, terminal: ATerminal) -> None:
    """Stop the service and take away what install wrote."""
    services = services_of(sys.platform)
    if installed(services, terminal.home.folder) is None:
        terminal.answer({"file": None, "commands": [], "done": True}, "No service is installed.")
        return
    if not dry_run:
        _remove(services)
    _tell(terminal, services, None, [*services.stop, *services.forget], dry_run)


def services_of(platform: str) -> Services:
    """How to speak to the service manager of a platform. Raises `NoServices`."""
    if platform not in MANAGERS:
        raise NoServices(platform)
    return MANAGERS[platform]()


def program() -> list[str]:
    """How to start this very command without a person's PATH."""
    beside = Path(sys.executable).with_name("crow")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "crow_plugins"]


def installed(services: Services, home: Path) -> str | None:
    """What stands in the file, if it is ours and for this home. Raises `ForeignService`, `ServiceTakenByHome`."""
    try:
        text = read_plain(services.file).decode(errors="replace")
    except FileMissing:
        return None
    served = units.home_of(text)
    if served is None:
        raise ForeignService(services.file)
    if served != home:
        raise ServiceTakenByHome(served)
    return text


def _install(services: Services, text: str, let_go: Sequence[Command], start: Sequence[Command]) -> None:
    try:
        services.file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileFault(services.file.parent, error) from error
    for command in let_go:
        _failure(command)
    write_private(services.file, text.encode())
    for number, command in enumerate(start):
        failure = _failure(command)
        if failure:
            raise ServiceCommandFailed(f"{services.file} is written", failure, start[number:])


def _remove(services: Services) -> None:
    failures = [failure for command in services.stop if (failure := _failure(command))]
    try:
        services.file.unlink(missing_ok=True)
    except OSError as error:
        raise FileFault(services.file, error) from error
    failures += [failure for command in services.forget if (failure := _failure(command))]
    if failures:
        done = f"{services.file} is removed"
        raise ServiceCommandFailed(done, failures[0], [*services.stop, *services.forget])


def _failure(command: Command) -> str | None:
    """Run it; why it failed, or None when it did not."""
    path = shutil.which(command[0])
    if path is None:
        return f"there is no {command[0]} here"
    try:
        ended = subprocess.run(  # noqa: S603  # our own words, and the path of a file that we wrote
            [path, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS_MAX,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{shlex.join(command)} failed ({type(error).__name__})"
    if ended.returncode == 0:
        return None
    said = " ".join(ended.stderr.split()) or f"exit code {ended.returncode}"
    return f"{shlex.join(command)} failed ({said})"


def _tell(terminal: Terminal, services: Services, text: str | None, commands: Sequence[Command], dry_run: bool) -> None:
    answer: dict[str, object] = {"file": str(services.file), "commands": [list(each) for each in commands]}
    if text is not None:
        answer["text"] = text
    lines = [f"{'write' if text is not None else 'remove'} {services.file}"]
    if text is not None and dry_run:
        lines += ["", text]
    lines += [f"run {shlex.join(command)}" for command in commands]
    terminal.answer({**answer, "done": not dry_run}, "\n".join(lines))
