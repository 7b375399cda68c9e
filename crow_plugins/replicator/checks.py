"""What `crow doctor` asks of the replicator: is our feed whole, is anything applied, parked, refused or doubted."""

from __future__ import annotations

from collections.abc import Callable

from crow_hooks import Check, Crow, CrowError, Finding
from crow_plugins.replicator.feed_storage import all_feeds
from crow_plugins.replicator.naming import MARK
from crow_plugins.replicator.own_feed import OwnFeed
from crow_plugins.replicator.rejections import quarantined
from crow_plugins.wording import plural


def checks(crow: Crow, own: OwnFeed, failing: Callable[[], str | None]) -> list[Check]:
    """`failing` says what keeps everything out now, with what to do; see `failing.py`."""
    return [
        Check("feed", lambda: _feed(crow, own)),
        Check("applying", lambda: _applying(failing())),
        Check("parked", lambda: _parked(crow)),
        Check("peers", lambda: _peers(crow)),
    ]


def _feed(crow: Crow, own: OwnFeed) -> Finding:
    """The signature over the head, and whether we may append."""
    with crow.read() as db:
        suspect = own.suspect(db)
        feed = own.held(db)
        if feed is None:
            return Finding(True, "nothing was written yet")
        try:
            feed.check()
        except CrowError as error:
            return Finding(
                False, f"this instance's feed is damaged: {error}", "restore the newest backup of the database"
            )
        length = feed.head.length
    if suspect:
        remedy = "run crow serve while the other machines are on; what is written meanwhile waits in the outbox"
        return Finding(False, f"this instance does not append to its feed: {suspect}", remedy)
    return Finding(True, f"{plural(length, 'entry', 'entries')}, signed")


def _applying(failing: str | None) -> Finding:
    if failing is None:
        return Finding(True, "nothing keeps entries out")
    what, _, to_do = failing.partition("; ")
    return Finding(False, f"nothing is taken in from the other machines: {what}", to_do)


def _parked(crow: Crow) -> Finding:
    with crow.read() as db:
        rows = db.execute_sql(
            "SELECT reason, count(*), min(detail) FROM parked_entries GROUP BY reason ORDER BY 2 DESC"
        ).fetchall()
    if not rows:
        return Finding(True, "no entry waits to be applied")
    reason, count, detail = rows[0]
    waiting = plural(sum(row[1] for row in rows), "entry waits", "entries wait")
    return Finding(False, f"{waiting} ({reason}: {count})", str(detail))


def _peers(crow: Crow) -> Finding:
    with crow.read() as db:
        shut_out = sorted(quarantined(db))
        disputed = [feed.instance_id for feed in all_feeds(db) if feed.disputed]
        marked = [feed.instance_id for feed in all_feeds(db) if feed.frozen == MARK]
    if shut_out:
        remedy = "look after those machines, then let them in again: crow sync now INSTANCE"
        return Finding(False, f"peers that sent false entries are shut out: {', '.join(shut_out)}", remedy)
    if disputed:
        remedy = "run crow serve there while this one is on, which mends it; if that machine is lost, revoke it"
        return Finding(False, f"two branches of one feed are known, of {', '.join(disputed)}", remedy)
    if marked:
        remedy = "the parked entries name the machine that gave it: revoke that one if somebody else may have its keys"
        return Finding(False, f"one name stands for two writes in feeds of {', '.join(marked)}", remedy)
    return Finding(True, "no peer is shut out")
