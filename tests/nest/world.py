"""Gateways of one chain with their Nests, and a person who signs in."""

from __future__ import annotations

import time
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench import full_nest
from crow_hooks import REGISTRY, SyncedTable
from crow_plugins import bearer
from crow_plugins.federation.audit import AUDIT
from crow_plugins.host import Host
from crow_plugins.nest.access import Access
from crow_plugins.replicator.applying import park
from crow_plugins.replicator.entries import Place
from crow_plugins.replicator.rejections import Rejection, add
from tests.nest import browser
from tests.nest.browser import Seen
from tests.replicator.gateways import Instance, open_instance

MARKUP = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\"><b>bold</b>"
NAME = "<img src=x onerror=\"document.title='run'\">"  # as long as a name may be
PLUGINS = """
[[plugin]]
name = "summaries"
module = "tests.nest.summing"
enabled = true
requires = ["registry"]

[[plugin]]
name = "clock"
module = "tests.nest.clock"

[[plugin]]
name = "federation"
[plugin.settings]
expose = ["crow_search", "<b>no tool</b>"]
"""
PAGES = ("instances", "conflicts", "sync", "plugins", "summaries", "audit", "tokens", "clock")


def make_instance(folder: Path, name: str, manifest: str = "") -> Instance:
    home = full_nest.keyring_home(folder, name, int(time.time()))
    if manifest:
        (home / "plugin_manifest.toml").write_text(manifest)
    return open_instance(home)


def fill(host: Host, *, text: str | None = None, name: str | None = None, conflicts: int = 3) -> list[str]:
    """Something on every page; returns the ids of the other instances. `text` stands wherever others can write."""
    ids = full_nest.add_instances(host, 4, name)
    for table in {table.name for _, table in host.contributions("register_synced_tables", SyncedTable)}:
        full_nest.add_conflicts(host, table, conflicts, ids, text)
    full_nest.add_calls(host, 20, ids)
    audit = host.services.find("tests", AUDIT)
    audit.record(
        direction="inbound",
        peer=text or "",
        tool=text or "tools/list",
        arguments=None,
        decision="denied",
        status=text or "refused",
        milliseconds=1,
    )
    audit.flush(60)
    registry = host.services.find("tests", REGISTRY)
    for instance_id, status in zip(ids, ("online", "syncing", "offline"), strict=False):
        registry.seen(instance_id, status)  # type: ignore[arg-type]  # one of the four
    with host.store.transaction() as transaction:
        bearer.create(transaction.db, (text or "desk")[:64], ["read"], now=transaction.now)
        (feed,) = transaction.db.execute_sql(
            "INSERT INTO feeds (instance_id, key) VALUES (?, ?) RETURNING number", (ids[0], b"k" * 32)
        ).fetchone()
        transaction.db.execute_sql("INSERT INTO feed_blocks VALUES (?, 2, ?, ?)", (feed << 40 | 7, b"h" * 32, b"{}"))
        park(transaction.db, Place(feed, 7), "malformed", "it is no entry", transaction.now)
        add(transaction.db, Rejection(ids[0], ids[1], 9, text or "bad_proof", transaction.now))
    return ids


@asynccontextmanager
async def signed_in(instance: Instance, seen: Seen, **options: Any) -> AsyncIterator[Any]:
    """A page of an instance's Nest, after the first login."""
    async with browser.page(seen, **options) as page:
        await sign_in(page, instance)
        yield page


async def sign_in(page: Any, instance: Instance) -> None:
    code = await to_thread(access(instance).new_code)
    await page.goto(f"{instance.url}/nest/login?code={code}")
    await press(page, "Sign in")
    await page.wait_for_url("**/nest/instances")


def access(instance: Instance) -> Access:
    return Access(instance.host.hook.handle("nest"))


async def press(page: Any, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()
