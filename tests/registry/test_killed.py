"""The other side killed while a machine joins or registers: each side is before it or after it, and repeating ends it.

The one that is killed is a real gateway, or a real `crow invite`; it dies right before or right after each of its
commits. What each side holds is read from the database and from `instances.json`, with nothing running there.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from crow_plugins.joining import STATE
from crow_plugins.keyring import Keyring
from tests.registry.dying import Moment, Work, die_at
from tests.registry.joining_world import rows
from tests.registry.world import chain_home
from tests.warm import Run, crow, running

KILLED = -signal.SIGKILL
ROW = "SELECT id, name, role, gateway_url, public_key, instance_key, noise_key, feed_key, certificate, trust"


@contextmanager
def serving(home: Path, work: Work | None = None, moment: Moment = "after all of it") -> Iterator[tuple[Run, str]]:
    """A gateway, which dies at that moment if one is given; and its URL."""
    before = partial(die_at, work, moment) if work else None
    with running(home, "serve", "--port", "0", "--json", before=before) as gateway:
        yield gateway, gateway.answer()["mcp"].removesuffix("/mcp")


def known(home: Path) -> list[tuple[object, ...]]:
    """The rows of the registry, by name; without what any contact changes."""
    return rows(home, f"{ROW} FROM crow_instances ORDER BY name") if (home / "crow.db").exists() else []


def names(home: Path) -> list[object]:
    return [name for _, name, *_ in known(home)]


def mirrored(home: Path) -> list[object]:
    """Who is in `instances.json`, the home itself left out."""
    if not (home / "instances.json").exists():
        return []
    return [entry["name"] for entry in json.loads((home / "instances.json").read_bytes()) if "self" not in entry]


def refused(done: tuple[int, str, str]) -> None:
    """It failed with one sentence."""
    code, out, err = done
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("crow: ")
    assert "Traceback" not in err


def succeeded(done: tuple[int, str, str]) -> None:
    assert done[0] == 0, done


# ---- registering ----------------------------------------------------------------------------------------------------

CALLEE_DIES: dict[str, tuple[Work, Moment]] = {
    "before": ("being registered", "before its commit"),
    "after": ("being registered", "after its commit"),
    "done": ("being registered", "after all of it"),
}
CALLER_DIES: dict[str, tuple[Work, Moment]] = {
    "early": ("registering", "before its commit"),
    "late": ("registering", "after its commit"),
}


def test_a_registration_is_whole_or_not_there_whichever_side_dies(tmp_path: Path) -> None:
    callee = chain_home(tmp_path, "rook")
    callers = {name: chain_home(tmp_path, name) for name in (*CALLEE_DIES, *CALLER_DIES)}
    came: list[str] = []
    for name, (work, moment) in CALLEE_DIES.items():
        with serving(callee, work, moment) as (gateway, url):
            assert mirrored(callee) == names(callee) == sorted(came)
            refused(crow(callers[name], "instances", "register", url))
            assert gateway.ended() == KILLED
        assert known(callers[name]) == mirrored(callers[name]) == []
        came += [name] if name in ("after", "done") else []
        assert names(callee) == sorted(came)
        assert set(mirrored(callee)) <= set(came)
    half = known(callee)
    with serving(callee) as (_, url):
        assert mirrored(callee) == names(callee) == sorted(came)
        for name, (work, moment) in CALLER_DIES.items():
            with running(callers[name], "instances", "register", url, before=partial(die_at, work, moment)) as caller:
                assert caller.ended() == KILLED
            assert names(callers[name]) == (["rook"] if name == "late" else [])
        for home in (*callers.values(), callers["done"]):
            succeeded(crow(home, "instances", "register", url))
            assert names(home) == mirrored(home) == ["rook"]
        assert names(callee) == mirrored(callee) == sorted(callers)
        assert set(half) <= set(known(callee))


# ---- joining --------------------------------------------------------------------------------------------------------

GATEWAY_DIES: tuple[tuple[Work, Moment], ...] = (
    ("queueing", "before its commit"),
    ("queueing", "after its commit"),
    ("answering", "after all of it"),
)
INVITER_DIES: tuple[tuple[Work, Moment], ...] = (
    ("counting a try", "before its commit"),
    ("counting a try", "after its commit"),
    ("letting in", "before its commit"),
)


def has_joined(home: Path) -> bool:
    return (home / "identity.json").exists()


@contextmanager
def inviting(home: Path, work: Work | None = None, moment: Moment = "after all of it") -> Iterator[tuple[Run, str]]:
    """A `crow invite`, which dies at that moment if one is given; and its code."""
    before = partial(die_at, work, moment) if work else None
    with running(home, "invite", "--json", before=before) as inviter:
        yield inviter, inviter.answer()["code"]


def test_a_join_goes_on_where_it_was_when_the_gateway_dies(tmp_path: Path) -> None:
    desktop, laptop = chain_home(tmp_path, "desktop"), tmp_path / "laptop"
    with inviting(desktop) as (inviter, code):
        for number, (work, moment) in enumerate(GATEWAY_DIES):
            with serving(desktop, work, moment) as (gateway, url):
                refused(crow(laptop, "join", url, code, "--name", "laptop"))
                assert gateway.ended() == KILLED
            assert not has_joined(laptop)
            assert rows(desktop, "SELECT count(*) FROM join_requests") == [(min(number, 1),)]
            if number == 0:
                assert names(desktop) == []
            else:  # what was queued is answered though the gateway is gone
                assert inviter.ended() == 0
                assert names(desktop) == mirrored(desktop) == ["laptop"]
        let_in = known(desktop)
        with serving(desktop) as (_, url):
            succeeded(crow(laptop, "join", url, code, "--name", "another"))
            refused(crow(laptop, "join", url, code))
    assert known(desktop) == let_in
    assert Keyring.public(laptop).instance_id == let_in[0][0]
    assert names(laptop) == mirrored(laptop) == ["desktop"]
    assert not (laptop / STATE).exists()


def test_a_machine_is_let_in_by_one_commit_of_the_one_who_invites(tmp_path: Path) -> None:
    desktop, laptop = chain_home(tmp_path, "desktop"), tmp_path / "laptop"
    with serving(desktop) as (_, url):
        for work, moment in INVITER_DIES:
            with inviting(desktop, work, moment) as (inviter, code), running(laptop, "join", url, code) as joiner:
                assert inviter.ended() == KILLED
                joiner.process.kill()
            assert not has_joined(laptop)
            assert names(desktop) == mirrored(desktop) == []
            assert rows(desktop, "SELECT 1 FROM join_requests WHERE outcome IS NOT NULL OR answer IS NOT NULL") == []
        with (
            inviting(desktop, "letting in", "after its commit") as (inviter, code),
            running(laptop, "join", url, code, "--name", "laptop", "--json") as joiner,
        ):
            assert inviter.ended() == KILLED
            said = joiner.answer()
            assert joiner.ended() == 0
        refused(crow(laptop, "join", url, code))
    assert [row[:2] for row in known(desktop)] == [(said["instance_id"], "laptop")]
    assert names(laptop) == mirrored(laptop) == ["desktop"]
    with serving(desktop):
        assert mirrored(desktop) == ["laptop"]
