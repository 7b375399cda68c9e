"""The examination of one installation: the host's own checks, then those of its plugins.

Each check looks at one thing by itself and answers with a `Finding`, so what is broken hides nothing else: the host's
own need no open installation. A finding that is ok and has a remedy is advice. Nothing is mended here, and nothing
changed but what opening an installation changes: a schema that is behind is brought up to date.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread

import apsw

from crow_hooks import Check, CrowError, Finding, NotFound
from crow_plugins import __version__, bearer, causality, manifest
from crow_plugins.config import Home
from crow_plugins.dispatch import BadPlugin
from crow_plugins.files import ForeignOwner, check_private_folder, read_private
from crow_plugins.host import Host
from crow_plugins.identity import certificate
from crow_plugins.keyring import Identity, Keyring
from crow_plugins.running import Running, running_gateway
from crow_plugins.store import DatabaseNewer, Machine, schema, this_machine
from crow_plugins.store.clock import CLOCK_STEP_SECONDS_MAX
from crow_plugins.wording import size

log = logging.getLogger(__name__)

HOST = "host"  # whose the checks of this file are
SECONDS_MAX = 300.0  # what a plugin's check may take: one over a million rows is done by then
HEALTH_SECONDS_MAX = 2.0
SQLITE_MIN = (3, 51, 3)  # older ones can lose writes when a log is reset while another process reads it
FREE_BYTES_MIN = 256 << 20  # room for the log of a large import
WAL_BYTES_MAX = 256 << 20  # four times what it is copied back at
EXPIRY_NEAR_SECONDS = 30 * 86_400

RESTORE = "stop what uses it, copy the whole home aside, then put a copy from before back, or export what can be read"

AGAIN = "put that right, then run crow doctor again"


class DatabaseDamaged(CrowError):
    """The database file does not hold what was written."""

    code = "database_damaged"

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"the database {path} cannot be read: {reason}; {RESTORE}")


@dataclass(frozen=True, slots=True)
class Premises:
    """What is examined: a home with the manifest over its own, at `now` (unix seconds) on `machine`."""

    home: Home
    manifest_file: Path | None
    now: int
    machine: Callable[[], Machine] = this_machine

    @property
    def folder(self) -> Path:
        return self.home.folder

    @property
    def identity(self) -> Identity:
        return Keyring.public(self.folder)


@dataclass(frozen=True, slots=True)
class Line:
    """What one check found; `owner` is the plugin it belongs to, or the host.

    `fails_with` is the label of the check that told of the same fault before.
    """

    owner: str
    check: str
    finding: Finding
    fails_with: str = ""

    @property
    def label(self) -> str:
        named = self.owner == HOST or self.check.startswith(self.owner)
        return self.check if named else f"{self.owner} {self.check}"


def examine(premises: Premises, *, seconds_max: float = SECONDS_MAX) -> Iterator[Line]:
    """Every check in turn; a fault that the host has told of already is not told again. Raises nothing."""
    told: dict[str, str] = {}
    for line in _lines(premises, seconds_max):
        first = told.setdefault(line.finding.message, line.label) if line.owner == HOST else line.label
        if line.finding.ok or first == line.label:
            yield line
        else:
            finding = Finding(False, f"not looked at, since {first} fails", f"mend {first} first")
            yield replace(line, finding=finding, fails_with=first)


def _lines(premises: Premises, seconds_max: float) -> Iterator[Line]:
    for name, check in CHECKS.items():
        yield _line(HOST, name, partial(check, premises))
    try:
        if not premises.home.database.exists():  # opening would put an empty one in the place of what is missing
            raise _no_database(premises)
        host = Host(premises.folder, manifest_file=premises.manifest_file)
    except Exception as error:  # a module that cannot be imported raises what it likes
        yield Line(HOST, "plugins", _failed(HOST, "plugins", error))
        return
    hung = False
    try:
        yield _line(HOST, "plugins", partial(_plugins, host))
        for line in _plugins_lines(host, seconds_max):
            hung = hung or line.finding is HUNG
            yield line
    finally:
        if not hung:  # a connection in use elsewhere cannot be closed; the end of the process does
            host.close()


HUNG = Finding(False, "the check did not come to an end", "tell its author; crow plugins disable goes on without it")


def _plugins_lines(host: Host, seconds_max: float) -> Iterator[Line]:
    for plugin in host.hook.plugins("register_checks"):
        try:
            checks = list(_checks(host, plugin))
        except Exception as error:  # other people's code
            yield Line(plugin, "checks", _failed(plugin, "checks", error))
            continue
        for check in checks:
            yield _line(plugin, check.name, partial(_bounded, check.run, seconds_max))


def _checks(host: Host, plugin: str) -> Iterator[Check]:
    answer = host.hook.ask(plugin, "register_checks")
    for item in answer if isinstance(answer, list | tuple) else [answer] if answer is not None else []:
        if not isinstance(item, Check):
            raise BadPlugin(plugin, f"register_checks returned a {type(item).__name__}, not a Check")
        yield item


def _line(owner: str, name: str, run: Callable[[], Finding]) -> Line:
    try:
        finding = run()
    except Exception as error:  # other people's code, and a broken machine; both are what is looked for
        return Line(owner, name, _failed(owner, name, error))
    if not isinstance(finding, Finding):
        return Line(owner, name, _told(BadPlugin(owner, f"a check returned a {type(finding).__name__}, not a Finding")))
    return Line(owner, name, finding)


def _failed(owner: str, name: str, error: Exception) -> Finding:
    if isinstance(error, CrowError):
        return _told(error)
    log.debug("check raised owner=%s check=%s", owner, name, exc_info=error)
    reason = " ".join(str(error).split())
    if owner == HOST:
        return Finding(False, f"could not be looked at: {reason}", AGAIN)
    remedy = "tell its author what CROW_LOG_LEVEL=debug crow doctor shows"
    return Finding(False, f"the check raised {type(error).__name__}: {reason}", remedy)


def _told(error: CrowError) -> Finding:
    """A sentence of ours, parted where it begins to say what to do."""
    fault, _, remedy = str(error).partition("; ")
    return Finding(False, fault, remedy or AGAIN)


def _bounded(run: Callable[[], Finding], seconds: float) -> Finding:
    """Run it on a thread of its own, which keeps nobody when it hangs. Raises what it raises."""
    future: Future[Finding] = Future()

    def work() -> None:
        try:
            future.set_result(run())
        except Exception as error:  # other people's code; handed on
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    wait({future}, seconds)
    return future.result() if future.done() else HUNG


# ---- the home and who it belongs to -------------------------------------------------------------


def _home(premises: Premises) -> Finding:
    if not premises.folder.exists():
        return Finding(False, f"there is no folder {premises.folder}", "make an installation with: crow init")
    premises.home.check()
    return Finding(True, f"{premises.folder} is open to nobody else")


def _files(premises: Premises) -> Finding:
    """A command that once ran as another user leaves files that we can no longer write."""
    files = sorted(premises.folder.rglob("*"))
    for path in files:
        owner = path.lstat().st_uid
        if owner != os.geteuid():
            raise ForeignOwner(path, owner)
    return Finding(True, f"{len(files)} files and folders, all yours")


def _keys(premises: Premises) -> Finding:
    keys = premises.folder / "keys"
    check_private_folder(keys)
    files = [premises.folder / "identity.json", *sorted(keys.glob("*.json"))]
    for path in files:
        if path.exists() or path.is_symlink():
            read_private(path)
    return Finding(True, "the identity and its keys can be read by nobody else")


def _identity(premises: Premises) -> Finding:
    keyring = Keyring.load(premises.folder)
    identity = keyring.identity
    if identity.has_seed and not identity.encrypted:
        keyring.seed()
    return Finding(True, f"{identity.name} ({identity.role}), instance {identity.instance_id}")


def _certificate(premises: Premises) -> Finding:
    identity = premises.identity
    valid = certificate.verify(identity.certificate, bytes.fromhex(identity.chain), premises.now)
    if valid.expires is None:
        return Finding(True, "valid, without an end")
    left = valid.expires - premises.now
    remedy = "certify this machine again where the seed is" if left < EXPIRY_NEAR_SECONDS else ""
    return Finding(True, f"valid for {left // 86_400} days more", remedy)


def _passphrase(premises: Premises) -> Finding:
    if premises.identity.encrypted:
        return Finding(True, "the keys are under a passphrase")
    remedy = "encrypt the disk, or make an identity with a passphrase: crow init --passphrase-file FILE"
    return Finding(True, "the keys have no passphrase: whoever can read this folder can be you", remedy)


# ---- the database -------------------------------------------------------------------------------


def _sqlite(premises: Premises) -> Finding:
    return _sqlite_finding(apsw.sqlite_lib_version())


def _sqlite_finding(version: str) -> Finding:
    if tuple(map(int, version.split("."))) >= SQLITE_MIN:
        return Finding(True, f"SQLite {version}")
    wanted = ".".join(map(str, SQLITE_MIN))
    return Finding(
        False, f"SQLite {version} is older than {wanted} and can lose writes", "run: pip install --upgrade apsw"
    )


def _database(premises: Premises) -> Finding:
    with _reading(premises):
        return Finding(True, f"{premises.home.database.name} opens, {size(premises.home.database.stat().st_size)}")


def _integrity(premises: Premises) -> Finding:
    with _reading(premises) as connection:
        found = [str(text) for (text,) in connection.execute("PRAGMA quick_check(10)")]
    if found == ["ok"]:
        return Finding(True, "every page is as it was written")
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return Finding(False, f"the database is damaged: {' '.join(found[0].split())}{more}", RESTORE)


def _schema(premises: Premises) -> Finding:
    """Of our own tables; those of plugins are compared when the plugins are loaded."""
    known = {schema.OWNER: len(schema.MIGRATIONS), bearer.OWNER: len(bearer.MIGRATIONS)}
    with _reading(premises) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").fetchone():
            return Finding(True, "no tables yet; the next command makes them")
        rows = connection.execute("SELECT owner, max(version) FROM migrations GROUP BY owner").fetchall()
    applied: dict[str, int] = {str(owner): int(str(version)) for owner, version in rows}
    for owner, count in known.items():
        if applied.get(owner, 0) > count:
            raise DatabaseNewer(premises.home.database, owner)
    behind = any(applied.get(owner, 0) < count for owner, count in known.items())
    listed = ", ".join(f"{owner} {version}" for owner, version in sorted(applied.items()))
    return Finding(True, f"{listed}{', the rest comes with the next command' if behind else ''}")


def _wal(premises: Premises) -> Finding:
    log_file = premises.home.database.with_name(f"{premises.home.database.name}-wal")
    waiting = log_file.stat().st_size if log_file.exists() else 0
    message = f"{size(waiting)} wait to be copied into the database"
    if waiting <= WAL_BYTES_MAX:
        return Finding(True, message)
    remedy = "some process reads without end: stop every process of this home, then run crow status"
    return Finding(False, message, remedy)


def _disk(premises: Premises) -> Finding:
    database = premises.home.database
    kept = database.stat().st_size if database.exists() else 0
    folder = next(folder for folder in (premises.folder, *premises.folder.parents) if folder.exists())
    return _disk_finding(shutil.disk_usage(folder).free, kept)


def _disk_finding(free: int, kept: int) -> Finding:
    message = f"{size(free)} free"
    if free < FREE_BYTES_MIN:
        return Finding(False, message, f"make room: writes fail when it is full, and {size(FREE_BYTES_MIN)} is little")
    if free < kept:
        return Finding(True, message, "make room before an upgrade: it copies the database when tables change")
    return Finding(True, message)


# ---- time ---------------------------------------------------------------------------------------


def _clock(premises: Premises) -> Finding:
    if premises.now < causality.BUILD_TIME:
        return Finding(
            False, "the clock of this machine stands before this release was made", "set it, or let it be set by NTP"
        )
    return Finding(True, "the clock of this machine can be right")


def _lamport(premises: Premises) -> Finding:
    with _reading(premises) as connection:
        row = connection.execute("SELECT lamport FROM clock WHERE id = 1").fetchone()
        seen = connection.execute("SELECT max(value) FROM row_versions, json_each(vv)").fetchone()
    if row is None:
        return Finding(True, "nothing was written yet")
    lamport, highest = int(str(row[0])), int(str((seen and seen[0]) or 0))
    limit = causality.lamport_limit(premises.now)
    if lamport > limit:
        remedy = f"set the clock of this machine; if it is right, {RESTORE}"
        return Finding(False, f"logical time is {lamport}, beyond what this day allows ({limit})", remedy)
    if lamport < highest:
        remedy = f"run: {_sql(premises, f'UPDATE clock SET lamport = {highest}')}"
        return Finding(False, f"logical time is {lamport} and a row has seen {highest}", remedy)
    return Finding(True, f"logical time is {lamport}")


def _epoch(premises: Premises) -> Finding:
    """A new epoch is drawn by the write that finds another boot or a clock that was set: both are well."""
    machine = premises.machine()
    with _reading(premises) as connection:
        row = connection.execute("SELECT epoch, boot_id, clock_offset FROM clock WHERE id = 1").fetchone()
    if machine.boot_id == "unknown":
        return Finding(
            True, "this machine does not tell one boot from another", "put no copy of a database in its place"
        )
    if row is None:
        return Finding(True, "nothing was written yet")
    epoch, boot, offset = str(row[0]), row[1], float(str(row[2]))
    if boot != machine.boot_id:
        return Finding(True, "the machine started anew; the next write draws a new epoch")
    if abs(machine.clock_offset - offset) > CLOCK_STEP_SECONDS_MAX:
        return Finding(True, "the clock was set; the next write draws a new epoch")
    return Finding(True, f"{epoch}, of this boot")


# ---- plugins and the gateway --------------------------------------------------------------------


def _manifest(premises: Premises) -> Finding:
    over = [premises.home.manifest, *([premises.manifest_file] if premises.manifest_file else [])]
    found = manifest.load(over)
    return Finding(True, f"{len(found.enabled())} plugins on, {len(found.plugins) - len(found.enabled())} off")


def _plugins(host: Host) -> Finding:
    _ = host.server
    names = [plugin.name for plugin in host.manifest.plugins if host.is_enabled(plugin.name)]
    return Finding(True, f"{', '.join(names) or 'none'} as at a start")


def _gateway(premises: Premises) -> Finding:
    running = running_gateway(premises.home)
    if running is None:
        return Finding(True, "not running", "start it with: crow serve, or crow service install")
    health = health_of(running)
    if health is None:
        remedy = f"look at crow logs, then end process {running.pid} and start it again"
        return Finding(False, f"process {running.pid} does not answer at {running.base_url}", remedy)
    message = f"answers at {running.mcp} (process {running.pid})"
    if health.get("version") != __version__:
        return Finding(True, f"{message}, as release {health.get('version')}", f"restart it to run {__version__}")
    return Finding(True, message)


def health_of(running: Running) -> Mapping[str, object] | None:
    """What the gateway's own /health says, or None when it does not say ok in time."""
    connection = http.client.HTTPConnection(running.reachable_host, running.port, timeout=HEALTH_SECONDS_MAX)
    try:
        connection.request("GET", "/health")
        answer = json.loads(connection.getresponse().read(4096))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) and answer.get("status") == "ok" else None


CHECKS: Mapping[str, Callable[[Premises], Finding]] = {
    "home": _home,
    "files": _files,
    "keys": _keys,
    "identity": _identity,
    "certificate": _certificate,
    "passphrase": _passphrase,
    "sqlite": _sqlite,
    "database": _database,
    "integrity": _integrity,
    "schema": _schema,
    "wal": _wal,
    "disk": _disk,
    "clock": _clock,
    "lamport": _lamport,
    "epoch": _epoch,
    "gateway": _gateway,
    "manifest": _manifest,
}


@contextmanager
def _reading(premises: Premises) -> Iterator[apsw.Connection]:
    """The database without its host. Raises `NotFound`, and `DatabaseDamaged` for whatever cannot be read in it."""
    path = premises.home.database
    if not path.exists():
        raise _no_database(premises)
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            connection.set_busy_timeout(5000)
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
            yield connection
    except apsw.Error as error:
        raise DatabaseDamaged(path, error) from error


def _no_database(premises: Premises) -> NotFound:
    return NotFound(
        f"there is no database {premises.home.database}; put a copy back if there was one, else run: crow status"
    )


def _sql(premises: Premises, statement: str) -> str:
    """A command line that runs it: apsw brings a shell for its own SQLite."""
    return shlex.join([sys.executable, "-m", "apsw", str(premises.home.database), statement])
