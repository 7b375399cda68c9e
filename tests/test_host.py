"""The host and its plugins: each hook called when it says, failures named, several hosts in one process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastmcp import Client
from starlette.testclient import TestClient

from crow_hooks import Entry, Version
from crow_plugins import manifest
from crow_plugins.dispatch import BadPlugin
from crow_plugins.gateway import application
from crow_plugins.handle import Handle, NotOffered, ServiceTaken
from crow_plugins.host import Host
from crow_plugins.jobs import Jobs
from crow_plugins.lease import Lease
from crow_plugins.manifest import ManifestError, Place, Plugin
from crow_plugins.premises import PREMISES
from tests.gateway_process import crow
from tests.plugins.probe import CALLS

PROBE = '[[plugin]]\nname = "probe"\nmodule = "tests.plugins.probe"\n'
SWAN = "22222222-2222-4222-8222-222222222222"


def with_probe(home: Path, **settings: str) -> Path:
    lines = [f'{name} = "{value}"\n' for name, value in settings.items()]
    (home / "plugin_manifest.toml").write_text(PROBE + ("[plugin.settings]\n" + "".join(lines) if lines else ""))
    return home


def with_probe_alone(home: Path, **settings: str) -> Path:
    """No plugin of ours on: a bound on what hooks may take is then about the probe."""
    with_probe(home, **settings)
    off = "".join(f'\n[[plugin]]\nname = "{plugin.name}"\nenabled = false\n' for plugin in manifest.load().plugins)
    with (home / "plugin_manifest.toml").open("a") as file:
        file.write(off)
    return home


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A module that this process and those it starts find."""
    (folder / "rival_plugin.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delitem(sys.modules, "rival_plugin", raising=False)


def with_rival(home: Path) -> Path:
    (home / "plugin_manifest.toml").write_text('[[plugin]]\nname = "rival"\nmodule = "rival_plugin"\n')
    return home


def calls(host: Host) -> list[str]:
    return host.hook.handle("probe").service(CALLS)


def remote_bead() -> Entry:
    return Entry(
        type="bead_insert",
        table="beads",
        row_id="bead-1",
        data={"colour": "red"},
        version=Version(f"{SWAN}.000000000000", 7),
        vv={},
        open=(),
        timestamp=1,
        instance_id=SWAN,
    )


@pytest.mark.anyio
async def test_startup_and_shutdown_run_once_around_serving(home: Path, open_host: Callable[..., Host]) -> None:
    host = open_host(with_probe(home))
    async with host.serving(), host.serving():
        assert calls(host).count("startup") == 1
    assert calls(host)[-1] == "shutdown"
    assert calls(host).count("shutdown") == 1


@pytest.mark.anyio
async def test_plugins_end_what_they_began_also_when_the_stop_is_cancelled(
    home: Path, open_host: Callable[..., Host]
) -> None:
    """On a server of somebody's own Ctrl-C first ends the serving, and cancels what still runs."""
    host = open_host(with_probe(home))
    leaving = asyncio.Event()

    async def serve() -> None:
        async with host.serving():
            leaving.set()

    task = asyncio.create_task(serve())
    await leaving.wait()
    assert calls(host)[-1] != "shutdown"
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls(host)[-1] == "shutdown"


@pytest.mark.anyio
async def test_what_was_started_is_stopped_though_it_went_off_at_the_last_moment(
    home: Path, open_host: Callable[..., Host]
) -> None:
    host = open_host(with_probe(home))
    async with host.serving():
        (home / "plugin_manifest.toml").write_text(PROBE + "enabled = false\n")
        await asyncio.to_thread(host.reload_manifest)
    assert (calls(host).count("startup"), calls(host).count("shutdown")) == (1, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["raises", "hangs"])
async def test_a_startup_that_fails_or_hangs_stops_the_start_by_name(
    home: Path, open_host: Callable[..., Host], fault: str
) -> None:
    host = open_host(with_probe_alone(home, **{fault: "startup"}))
    host.hook._seconds = 0.01
    with pytest.raises(BadPlugin, match=r"plugin probe .* startup (raised RuntimeError|took too long)"):
        async with host.serving():
            pass


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["raises", "hangs"])
async def test_a_shutdown_that_fails_or_hangs_is_logged_and_stops_nothing_else(
    home: Path, open_host: Callable[..., Host], caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    host = open_host(with_probe_alone(home, **{fault: "shutdown"}))
    host.hook._seconds = 0.01
    async with host.serving():
        pass
    assert "shutdown failed plugin=probe" in caplog.text


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"raises": "setup"}, r"plugin probe .* setup raised RuntimeError"),
        ({"raises": "register_tables"}, "plugin probe .* register_tables raised RuntimeError"),
    ],
)
def test_a_hook_that_raises_at_start_is_named(home: Path, settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadPlugin, match=sentence):
        Host(with_probe(home, **settings))


def test_a_hook_that_returns_nonsense_is_named(home: Path, open_host: Callable[..., Host]) -> None:
    host = open_host(with_probe(home, nonsense="register_search"))
    refused = crow(home, "search", "red")
    assert refused.returncode == 1
    assert "plugin probe does not fit the contract: register_search returned a str, not a SearchKind" in refused.stderr
    assert host.is_enabled("probe")


def test_on_local_write_that_raises_rolls_the_row_back(home: Path, open_host: Callable[..., Host]) -> None:
    host = open_host(with_probe(home, raises="on_local_write"))
    with pytest.raises(RuntimeError, match="told to fail"), host.transaction() as transaction:
        transaction.db.execute_sql("INSERT INTO beads (id, colour) VALUES ('bead-1', 'red')")
        transaction.record("bead_insert", "beads", "bead-1")
    with host.read() as db:
        assert db.execute_sql("SELECT count(*) FROM beads").fetchone() == (0,)
        assert db.execute_sql("SELECT count(*) FROM row_versions").fetchone() == (0,)


def bead_in_conflict(host: Host, *, lamport: int = 1) -> None:
    """A bead written here, and one of the same id that arrives without either having seen the other."""
    with host.transaction() as transaction:
        transaction.db.execute_sql("INSERT INTO beads (id, colour) VALUES ('bead-1', 'blue')")
        transaction.record("bead_insert", "beads", "bead-1")
        transaction.db.execute_sql("UPDATE beads SET colour = 'navy'")
        transaction.record("bead_update", "beads", "bead-1")
    with host.store.transaction() as transaction:
        transaction.apply(replace(remote_bead(), version=Version(f"{SWAN}.000000000000", lamport)))


def colours_and_conflicts(host: Host) -> tuple[str, list[tuple[object, ...]]]:
    with host.read() as db:
        return (
            db.execute_sql("SELECT colour FROM beads").fetchone()[0],
            list(db.execute_sql("SELECT resolved, resolution, resolved_by FROM sync_conflicts").fetchall()),
        )


@pytest.mark.parametrize(("policy", "colour"), [("local", "navy"), ("remote", "red"), ("merge", "violet")])
def test_a_policy_settles_a_conflict_as_a_local_write(
    home: Path, open_host: Callable[..., Host], policy: str, colour: str
) -> None:
    host = open_host(with_probe(home, policy=policy))
    bead_in_conflict(host)
    assert colours_and_conflicts(host) == (colour, [(1, policy, "policy")])
    assert calls(host).count("on_local_write") == 3


@pytest.mark.parametrize("settings", [{}, {"raises": "on_conflict"}, {"nonsense": "on_conflict"}])
def test_a_policy_that_answers_nothing_raises_or_returns_nonsense_leaves_the_conflict_open(
    home: Path, open_host: Callable[..., Host], caplog: pytest.LogCaptureFixture, settings: dict[str, str]
) -> None:
    host = open_host(with_probe(home, **settings))
    bead_in_conflict(host)
    assert colours_and_conflicts(host) == ("navy", [(0, None, None)])
    assert ("conflict policy failed table=beads row=bead-1" in caplog.text) == bool(settings)


def test_a_policy_is_asked_only_where_the_shown_version_was_written(home: Path, open_host: Callable[..., Host]) -> None:
    host = open_host(with_probe(home, policy="local"))
    bead_in_conflict(host, lamport=9)
    assert colours_and_conflicts(host) == ("red", [(0, None, None)])
    assert "on_conflict" not in calls(host)


@pytest.mark.anyio
async def test_open_conflicts_are_swept_when_the_host_begins_to_serve(
    home: Path, open_host: Callable[..., Host]
) -> None:
    first = open_host(with_probe(home))
    await asyncio.to_thread(bead_in_conflict, first)
    host = open_host(with_probe(home, policy="merge"))
    async with host.serving():
        assert (await asyncio.to_thread(colours_and_conflicts, host))[0] == "violet"


def test_a_plugin_that_raises_is_a_sentence_in_the_terminal_too(home: Path) -> None:
    with_probe(home, raises="on_local_write")
    refused = crow(home, "remember", "nobody will know")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "unexpected RuntimeError: on_local_write was told to fail" in refused.stderr
    assert json.loads(crow(home, "status", "--json").stdout)["rows"]["memories"] == 0


@pytest.mark.anyio
async def test_a_notification_that_hangs_does_not_keep_the_host_from_stopping(
    home: Path, open_host: Callable[..., Host], caplog: pytest.LogCaptureFixture
) -> None:
    host = open_host(with_probe_alone(home, hangs="change_applied"))
    host.hook._seconds = 0.01

    def apply() -> None:
        with host.store.transaction() as transaction:
            transaction.apply(remote_bead())

    async with host.serving():
        await asyncio.to_thread(apply)
    assert "notification failed plugin=probe hook=change_applied" in caplog.text


def test_an_applied_entry_is_shown_by_its_owner_and_told_of_after_the_commit(
    home: Path, open_host: Callable[..., Host]
) -> None:
    host = open_host(with_probe(home))
    with host.store.transaction() as transaction:
        transaction.apply(remote_bead())
        assert "change_applied" not in calls(host)
    assert calls(host)[-2:] == ["on_remote_change", "change_applied"]
    with host.read() as db:
        assert db.execute_sql("SELECT colour, lamport_ts FROM beads").fetchall() == [("red", 7)]


@pytest.mark.anyio
async def test_a_notification_that_fails_is_logged_and_touches_nobody(
    home: Path, open_host: Callable[..., Host], caplog: pytest.LogCaptureFixture
) -> None:
    host = open_host(with_probe(home, raises="change_applied"))

    def apply() -> None:
        with host.store.transaction() as transaction:
            transaction.apply(remote_bead())

    async with host.serving():
        await asyncio.to_thread(apply)
        await host.hook.drain()
    assert "notification failed plugin=probe hook=change_applied" in caplog.text


@pytest.mark.anyio
async def test_everything_a_plugin_contributes_shows_up(home: Path, open_host: Callable[..., Host]) -> None:
    host = open_host(with_probe(home))
    async with Client(host.server) as client:
        assert "thread_bead" in [tool.name for tool in await client.list_tools()]
        await client.call_tool("thread_bead", {"id": "bead-1", "colour": "red"})
        assert calls(host)[-1] == "on_local_write"
        found = await client.call_tool("crow_search", {"query": "red", "kinds": ["bead"]})
        assert found.structured_content is not None
        assert [hit["title"] for hit in found.structured_content["items"]] == ["a red bead"]


def test_commands_formats_and_rows_of_a_plugin_show_up_in_the_terminal(home: Path) -> None:
    with_probe(home)
    assert json.loads(crow(home, "bead", "red", "--json").stdout) == {"colour": "red", "instance": "grackle"}
    assert json.loads(crow(home, "beads", "show", "red", "--json").stdout)["colour"] == "red"
    assert crow(home, "export", "-", "--kind", "bead").stdout == '{"kind": "bead", "colour": "red"}\n'
    assert json.loads(crow(home, "import", "-", "--json", stdin='{"kind": "bead"}\n').stdout)["imported"] == 1
    rows = json.loads(crow(home, "status", "--json").stdout)["rows"]
    assert (rows["beads"], rows["memories"]) == (0, 0)


def test_routes_and_websockets_of_a_plugin_are_there_while_it_is_on(home: Path, open_host: Callable[..., Host]) -> None:
    host = open_host(with_probe(home))
    with TestClient(application(host), base_url="http://127.0.0.1") as web:
        assert web.get("/beads").text == "beads"
        with web.websocket_connect("ws://127.0.0.1/beads/live") as socket:
            assert socket.receive_text() == "beads"
        host.home.manifest.write_text(PROBE + "enabled = false\n")
        host.reload_manifest()
        assert web.get("/beads").status_code == 404


@pytest.mark.anyio
async def test_jobs_run_while_their_plugin_is_on_and_failures_are_logged(
    home: Path, open_host: Callable[..., Host], caplog: pytest.LogCaptureFixture
) -> None:
    host = open_host(with_probe(home, raises="job"))
    jobs = Jobs(host)
    jobs.start()
    [scheduled] = [job for job in jobs._scheduler.get_jobs() if job.id.startswith("probe.")]
    assert scheduled.id == "probe.count"
    await jobs.run(*scheduled.args)
    assert "job failed plugin=probe job=count" in caplog.text
    host.home.manifest.write_text(PROBE + "enabled = false\n")
    await asyncio.to_thread(host.reload_manifest)
    ran = calls(host).count("job")
    await jobs.run(*scheduled.args)
    assert calls(host).count("job") == ran
    await jobs.stop()


@pytest.mark.anyio
async def test_a_job_whose_time_came_while_the_machine_slept_runs_when_it_wakes(
    home: Path, open_host: Callable[..., Host]
) -> None:
    host = open_host(with_probe(home))
    jobs = Jobs(host)
    jobs.start()
    jobs._scheduler.modify_job("probe.count", next_run_time=datetime.now(UTC) - timedelta(hours=9))
    async with asyncio.timeout(10):
        while "job" not in calls(host):  # noqa: ASYNC110  # what the probe was called for is a list and no event
            await asyncio.sleep(0.01)
    await jobs.stop()


def test_one_holder_at_a_time_has_the_lease_of_a_home(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "jobs.lock"), Lease(tmp_path / "jobs.lock")
    assert first.held()
    assert not second.held()
    first.release()
    assert second.held()
    assert not first.held()
    second.release()


@pytest.mark.anyio
async def test_two_hosts_in_one_process_share_nothing(
    make_home: Callable[[str], Path], open_host: Callable[..., Host]
) -> None:
    grackle, swan = open_host(make_home("grackle")), open_host(make_home("swan"))
    async with Client(grackle.server) as one, Client(swan.server) as other:
        await one.call_tool("crow_store_memory", {"content": "only here"})
        assert (await other.call_tool("crow_memory_stats", {})).structured_content["total"] == 0
    assert grackle.instance.id != swan.instance.id


def test_a_synced_table_with_two_owners_is_a_start_error(home: Path) -> None:
    rival = PROBE.replace('"probe"', '"rival"').replace(".probe", ".rival")
    (home / "plugin_manifest.toml").write_text(PROBE + rival)
    with pytest.raises(BadPlugin, match=r"plugin rival .* table beads is registered by probe"):
        Host(home)


@pytest.mark.parametrize(
    ("hook", "item", "sentence"),
    [
        ("search", 'SearchKind("memory", None)', "the kind memory to search is one of memories already"),
        ("summary", 'Summary("projects", None)', "the summary projects is one of projects already"),
        ("formats", 'Format("mine", ("note",), None, None)', "the kind note to export is one of projects already"),
        ("jobs", '*[Job("tidy", None, 60.0)] * 2', "the job tidy of rival is one of rival already"),
        ("nest_pages", 'NestPage("/sync/", "Sync", "sync.html", Path())', "the page /sync/ is one of the Nest already"),
        (
            "nest_pages",
            '*[NestPage(each, "", "", Path()) for each in ("/a", "a/")]',
            "the page /a of the Nest is one of",
        ),
        ("jobs", '"fine"', "register_jobs returned a str, not a Job"),
    ],
)
def test_what_nobody_would_ever_see_is_a_start_error(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_host: Callable[..., Host],
    hook: str,
    item: str,
    sentence: str,
) -> None:
    names = "from pathlib import Path\nfrom crow_hooks import Format, Job, NestPage, SearchKind, Summary, hookimpl\n"
    install(tmp_path, monkeypatch, f"{names}@hookimpl\ndef register_{hook}(crow):\n    return [{item}]\n")
    host = open_host(with_rival(home))
    with pytest.raises(BadPlugin, match=f"plugin rival does not fit the contract: {sentence}"):
        _ = host.server


def test_a_command_that_is_there_already_is_told_of(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        tmp_path,
        monkeypatch,
        "from crow_hooks import Command, hookimpl\n"
        '@hookimpl\ndef register_commands(crow):\n    return [Command("list", print, group="plugins")]\n',
    )
    refused = crow(with_rival(home), "instances", "list")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "plugin rival does not fit the contract: there is a command crow plugins list already" in refused.stderr
    assert crow(home, "plugins", "disable", "rival").returncode == 0
    assert crow(home, "instances", "list").returncode == 0


def test_a_module_that_cannot_be_imported_is_told_of_by_its_plugin(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "import no_such_thing\n")
    with pytest.raises(BadPlugin, match=r"plugin rival .* its import raised ModuleNotFoundError: No module named"):
        Host(with_rival(home))


def test_a_service_has_one_provider_and_one_that_is_off_counts(home: Path) -> None:
    registry = '[[plugin]]\nname = "small"\nmodule = "tests.plugins.small_registry"\nenabled = false\n'
    (home / "plugin_manifest.toml").write_text(registry)
    with pytest.raises(ServiceTaken, match=r"registry and small both provide registry; take small out of the manifest"):
        Host(home)


def test_one_module_under_two_names_is_a_start_error(home: Path) -> None:
    (home / "plugin_manifest.toml").write_text(PROBE + PROBE.replace('"probe"', '"copy"'))
    with pytest.raises(BadPlugin, match=r"plugin copy .* its module is that of another plugin"):
        Host(home)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('requires = ["memorys"]', "plugin probe requires memorys, which is not listed; did you mean memories"),
        ('requires = ["probe"]', "require each other in a circle"),
        ("enabled = 1", "plugin probe: enabled must be true or false"),
        ("[plugin.settings]\nhang = 1", "plugin probe: unknown setting hang; did you mean hangs"),
        ("[plugin.settings]\nhangs = 1", "plugin probe: setting hangs"),
    ],
)
def test_a_fault_in_the_manifest_names_file_line_plugin_and_key(home: Path, line: str, sentence: str) -> None:
    text = "# mine\n" + PROBE + line + "\n"
    (home / "plugin_manifest.toml").write_text(text)
    with pytest.raises(ManifestError, match=sentence) as refusal:
        Host(home)
    assert str(refusal.value).startswith(f"{home / 'plugin_manifest.toml'}:{text.count(chr(10))}: ")


def test_only_built_in_plugins_get_at_the_premises(home: Path, open_host: Callable[..., Host]) -> None:
    host = open_host(home)
    stranger = Handle(host, Plugin("reading_list", Place(Path("manifest")), entry_point="reading_list"))
    ours = Handle(host, Plugin("registry", Place(Path("manifest")), module="crow_plugins.registry"))
    with pytest.raises(NotOffered, match="may not use the service premises"):
        stranger.service(PREMISES)
    assert ours.service(PREMISES).keyring.identity.instance_id == host.instance.id
