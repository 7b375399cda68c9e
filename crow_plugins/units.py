"""Services as text: a systemd user unit, a launchd agent. Nothing is written or run here.

Each begins with a mark that names the home it serves, by which a file of ours is known from anybody else's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from crow_hooks import Invalid
from crow_plugins.keyring import CREDENTIAL

UNIT = "crow.service"
LABEL = "crow.gateway"

SYSTEMD = """\
# {mark}
# Installing again overwrites this file. To change it and keep the change: systemctl --user edit crow
[Unit]
Description=Crow gateway
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=exec
ExecStart={command}
Restart=on-failure
RestartSec=5
# Wrong usage does not get better by trying again.
RestartPreventExitStatus=2
TimeoutStopSec=20
# Keys under a passphrase: its file, readable by you alone.
{credential}
UMask=0077
# What holds for a user's service on every kernel: namespaces (ProtectHome= and the like) often do not.
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""

MARK = re.compile(r"Written by crow service install for (.+?)(?: -->)?$", re.MULTILINE)


def systemd_unit(command: Sequence[str], home: Path, passphrase_file: Path | None = None) -> str:
    """The unit that runs `command` (its program by full path). Raises `Invalid` for what a unit cannot say."""
    program, *arguments = [_printable(word) for word in command]
    if passphrase_file is None:
        credential = f"#LoadCredential={CREDENTIAL}:%h/.config/crow/passphrase"
    else:
        credential = f"LoadCredential={CREDENTIAL}:{_specified(_printable(str(passphrase_file)))}"
    words = [_quoted(_specified(program)), *(_quoted(_specified(word).replace("$", "$$")) for word in arguments)]
    return SYSTEMD.format(mark=_mark(home), command=" ".join(words), credential=credential)


def launchd_agent(command: Sequence[str], home: Path, passphrase_file: Path | None = None) -> str:
    """The property list that runs `command`. Raises `Invalid` for what it cannot say."""
    import plistlib  # which reads XML, too

    facts: dict[str, object] = {
        "Label": LABEL,
        "ProgramArguments": [_printable(word) for word in command],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "ProcessType": "Background",
        "Umask": 0o077,
    }
    if passphrase_file is not None:
        facts["EnvironmentVariables"] = {"CROW_PASSPHRASE_FILE": _printable(str(passphrase_file))}
    text = plistlib.dumps(facts, sort_keys=False).decode()
    mark = _mark(home)
    if "--" in mark:  # which ends a comment
        raise Invalid(f"an agent cannot name the folder {home}; choose one without two hyphens in a row")
    return text.replace("<plist ", f"<!-- {mark} -->\n<plist ", 1)


def home_of(text: str) -> Path | None:
    """The home that a unit or agent of ours serves; None for one that is not ours."""
    found = MARK.search(text)
    return Path(found[1]) if found else None


def _mark(home: Path) -> str:
    return f"Written by crow service install for {_printable(str(home))}"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise Invalid("a service cannot name what holds a control character; choose another name")
    return text


def _specified(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./:@%+=,$-]+", word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
