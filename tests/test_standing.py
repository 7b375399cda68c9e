"""What a person reads in the terminal of how the machines are with each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crow_hooks import Invalid, Resolution
from tests.gateway_process import crow
from tests.nest.world import fill, make_instance


def test_status_says_first_what_is_not_well_and_where_to_look(tmp_path: Path) -> None:
    instance = make_instance(tmp_path, "grackle")
    with instance.host:
        fill(instance.host)
        conflicts = len(instance.host.owners) * 3
    _, *lines = crow(instance.home, "status").stdout.splitlines()
    assert lines[: lines.index("")] == [
        "1 entry waits to be applied; see: crow sync status",
        "1 entry was refused; see: crow sync status",
        f"{conflicts} conflicts wait for you; see: crow sync conflicts",
        "No answer from wren",
        "Not heard from yet: finch",
    ]
    sync = crow(instance.home, "sync", "status").stdout.splitlines()
    assert f"{conflicts} conflicts wait for you" in sync
    assert [line.split(" of ")[0] for line in sync if "malformed" in line] == ["    entry 7"]
    assert [line.split()[0] for line in sync[sync.index("") + 2 :]] == ["grackle", "finch", "heron", "swan", "wren"]
    assert not any("  connected" in line for line in sync)  # who was online a moment ago, when a process served
    assert len({line.index("not connected") for line in sync if "not connected" in line}) == 1
    listed = crow(instance.home, "sync", "conflicts", "--limit", "2").stdout.splitlines()
    assert listed[-1] == f"2 of {conflicts}, the newest first; --limit shows more."
    assert json.loads(crow(instance.home, "sync", "status", "--json").stdout)["open_conflicts"] == conflicts


def test_what_a_person_asks_of_one_machine_or_one_conflict_is_answered_by_name(tmp_path: Path) -> None:
    instance = make_instance(tmp_path, "grackle")
    with instance.host:
        fill(instance.host, conflicts=1)
    now = crow(instance.home, "sync", "now", "wren", "--wait", "0.1")
    assert (now.returncode, now.stdout) == (1, "Not reached: wren\n")
    assert now.stderr == "crow: not everybody was reached; see why with: crow instances check wren\n"
    assert "did you mean wren" in crow(instance.home, "sync", "now", "wrenn").stderr
    elsewhere = crow(instance.home, "sync", "conflicts", "--table", "memmories")
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
    assert elsewhere.stderr == "crow: no table memmories is synced here; did you mean memories?\n"
    conflict = json.loads(crow(instance.home, "sync", "conflicts", "--json").stdout)["items"][0]["id"]
    assert "here: " in crow(instance.home, "sync", "show", conflict).stdout


@pytest.mark.parametrize(
    ("merged", "said"),
    [
        ({"importance": 99}, "importance is a whole number from 1 to 10"),
        ({"content": "  "}, "content must not be empty"),
        ({"colour": "red"}, "memories has no colour; what can be merged of a row is content, category"),
        (
            {"created_at": 1},
            "created_at of memories stays as it is here in a merge; what can be merged of a row is",
        ),
        ({"content": "x", "origin_instance": "me"}, "origin_instance of memories stays as it is"),
        ({"updated_at": 1}, "updated_at of memories stays as it is"),
    ],
)
def test_what_a_merge_may_not_say_is_told_in_the_words_of_the_field(
    tmp_path: Path, merged: dict[str, object], said: str
) -> None:
    instance = make_instance(tmp_path, "grackle")
    with instance.host:
        fill(instance.host, conflicts=1)
        [conflict] = [each for each in instance.conflicts() if each.table == "memories"]
        with pytest.raises(Invalid, match=said):
            instance.settle(conflict.id, Resolution("merge", merged))
        with pytest.raises(Invalid, match="settle with merge"):
            instance.settle(conflict.id, Resolution("remote", merged))
        instance.settle(conflict.id, Resolution("merge", {"importance": 10}))
        assert [each for each in instance.conflicts() if each.table == "memories"] == []


def test_a_machine_that_is_alone_is_well_and_is_told_how_to_go_on(home: Path) -> None:
    status = crow(home, "status").stdout
    assert "Everything is on this machine, the only one so far" in status
    assert "keeps      nothing yet" in status
    assert "add one with: crow invite" in crow(home, "instances", "list").stdout
    doctor = crow(home, "doctor")
    assert doctor.returncode == 0
    assert "\nAll is well: " in doctor.stdout


def test_where_the_plugins_that_know_are_off_nothing_is_said_of_others(home: Path) -> None:
    knowing = ("registry", "replicator", "federation", "summaries")
    off = "".join(f'[[plugin]]\nname = "{name}"\nenabled = false\n' for name in knowing)
    (home / "plugin_manifest.toml").write_text(off)
    assert crow(home, "status").stdout.splitlines()[1] == ""
