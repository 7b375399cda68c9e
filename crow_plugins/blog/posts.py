"""Posts as a person means them: written, edited, published, taken back, found; each under a slug of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from peewee import Database

from crow_hooks import Crow, Data, Invalid, Transaction
from crow_plugins import fulltext
from crow_plugins.blog import slug
from crow_plugins.blog.post import POST, Post, Status
from crow_plugins.blog.schema import INDEX
from crow_plugins.fulltext import Found
from crow_plugins.rows import Condition, Rows, change, get, insert


class Posts(Rows[Post]):
    """The posts of one instance. Every method works on the database: never call one on the event loop."""

    def __init__(self, crow: Crow) -> None:
        super().__init__(crow, POST)

    def add(self, fields: Data, *, by: str = "assistant") -> Post:
        """Keep a new draft. Without a slug it gets one of its title. Raises `Invalid`, also for a taken one."""
        with self._crow.transaction() as transaction:
            named = {**fields, "slug": _slug_of(transaction.db, fields)}
            row = POST.new(named, origin=self._crow.instance.id, now=transaction.now)
            row_id = str(uuid.uuid4())
            return insert(transaction, POST, row_id, row, by=by)

    def update(self, row_id: str, fields: Data, *, by: str = "assistant") -> Post:
        """Change the named fields. Raises `Invalid`, also for a slug that another post shows."""
        cleaned = POST.clean(fields)
        if not cleaned:
            raise Invalid("nothing to change; name at least one field")

        def checked(transaction: Transaction, post: Post) -> Data:
            if "slug" in cleaned and cleaned["slug"] != post.slug:
                _refuse_taken(transaction.db, str(cleaned["slug"]))
            return cleaned

        return self._changed(row_id, checked, by=by)

    def publish(self, row_id: str) -> Post:
        """Show it to everybody who may read the pages; the time of the first time is kept."""

        def published(transaction: Transaction, post: Post) -> Data:
            first = transaction.now if post.published_at is None else post.published_at
            return {"status": "published", "published_at": first}

        return self._changed(row_id, published)

    def unpublish(self, row_id: str, status: Status) -> Post:
        """Take it back, to be worked on or only to be kept."""
        return self._changed(row_id, lambda transaction, post: {"status": status})

    def find(self, query: str, conditions: Sequence[Condition], limit: int) -> Found[Post]:
        """Best matches first. Raises `EmptyQuery`."""
        with self._crow.read() as db:
            return fulltext.search(db, INDEX, query, conditions, limit=limit, now=self._crow.now())

    def shown_slugs(self, posts: Sequence[Post]) -> list[str]:
        """Under what each of them is shown."""
        with self._crow.read() as db:
            return [slug.shown(post.slug, post.id, having(db, post.slug) or [post.id]) for post in posts]

    def _changed(self, row_id: str, fields: Callable[[Transaction, Post], Data], *, by: str = "assistant") -> Post:
        with self._crow.transaction() as transaction:
            change(transaction, POST, row_id, fields(transaction, get(transaction.db, POST, row_id)), by=by)
            return get(transaction.db, POST, row_id)


def having(db: Database, stored: str) -> list[str]:
    """The ids of the posts with this stored slug, the one that shows it bare first."""
    rows = db.execute_sql("SELECT id FROM posts WHERE slug = ? ORDER BY created_at, id", (stored,)).fetchall()
    return [row[0] for row in rows]


def _slug_of(db: Database, fields: Data) -> str:
    """What was asked for, if nobody shows it; else one of the title that nobody has."""
    if fields.get("slug"):
        asked = slug.checked(fields["slug"])
        _refuse_taken(db, asked)
        return asked
    return slug.free(slug.made_of(str(fields.get("title", ""))), lambda made: bool(having(db, made)))


def _refuse_taken(db: Database, stored: str) -> None:
    # Of the posts that have a slug stored, one always shows it bare.
    if having(db, stored):
        raise Invalid(f"another post is shown under {stored}; choose another slug")
