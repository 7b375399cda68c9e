"""Much to show costs no more than little: pages are cut, and what they ask of the database does not grow with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import peewee
import pytest
from starlette.testclient import TestClient

from bench import full_nest
from crow_plugins.gateway import application
from crow_plugins.nest.conflicts import PAGE_ROWS
from crow_plugins.nest.records import AUDIT_ROWS
from tests.nest.world import access, make_instance

CONFLICTS, INSTANCES, CALLS = 200, 50, 100_000
BYTES_MAX = 300_000
ROWS = {
    "instances": INSTANCES + 1,
    "conflicts": PAGE_ROWS,
    "conflicts?settled=1": PAGE_ROWS,
    "sync": INSTANCES + 1,
    "plugins": 0,
    "audit": AUDIT_ROWS,
    "tokens": 0,
}


@contextmanager
def signed_in(folder: Path, *, conflicts: int, instances: int, calls: int) -> Iterator[TestClient]:
    made = make_instance(folder, "grackle")
    with made.host:
        ids = full_nest.add_instances(made.host, instances)
        full_nest.add_conflicts(made.host, "memories", conflicts, ids)
        full_nest.add_calls(made.host, calls, ids)
        with TestClient(application(made.host), base_url="http://127.0.0.1") as web:
            web.post("/nest/login", data={"code": access(made).new_code()})
            yield web


@pytest.fixture(scope="module")
def little_and_much(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, TestClient]]:
    with ExitStack() as stack:
        little = signed_in(tmp_path_factory.mktemp("little"), conflicts=2, instances=2, calls=200)
        much = signed_in(tmp_path_factory.mktemp("much"), conflicts=CONFLICTS, instances=INSTANCES, calls=CALLS)
        yield stack.enter_context(little), stack.enter_context(much)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[str]]:
    """Runs something, and says which statements on behalf of the Nest's pages it sent to the database."""

    def during(run: Callable[[], object]) -> list[str]:
        sent: list[str] = []
        real = peewee.Database.execute_sql

        def counted(self: peewee.Database, sql: str, *args: object, **options: object) -> object:
            sent.append(sql)
            return real(self, sql, *args, **options)  # type: ignore[no-untyped-call]  # as peewee has it

        with monkeypatch.context() as patched:
            patched.setattr(peewee.Database, "execute_sql", counted)
            run()
        return sent

    return during


@pytest.mark.parametrize("path", ROWS)
def test_a_page_is_cut_and_says_how_much_there_is(little_and_much: tuple[TestClient, TestClient], path: str) -> None:
    _, much = little_and_much
    answer = much.get(f"/nest/{path}")
    assert answer.status_code == 200
    assert len(answer.content) < BYTES_MAX
    assert len(re.findall("<tr>", answer.text.split("<tbody>", 1)[-1])) == ROWS[path]


def test_the_totals_are_the_true_ones(little_and_much: tuple[TestClient, TestClient]) -> None:
    _, much = little_and_much
    assert "200 open conflicts" in much.get("/nest/conflicts").text
    assert "200 conflicts wait for you" in much.get("/nest/instances").text
    assert "100\u202f000 calls on record" in much.get("/nest/audit").text


def test_following_older_ones_shows_each_once(little_and_much: tuple[TestClient, TestClient]) -> None:
    _, much = little_and_much
    seen, path = list[str](), "/nest/conflicts?table=memories"
    while path:
        page = much.get(path).text
        seen += re.findall(r'<th scope="row"><a href="/nest/conflicts/([^"]+)"', page)
        older = re.search(r'<a href="([^"]+)">Older ones', page)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == CONFLICTS


@pytest.mark.parametrize("path", [path for path in ROWS if path != "audit"])
def test_more_rows_are_no_more_statements(
    little_and_much: tuple[TestClient, TestClient], statements: Callable[[Callable[[], object]], list[str]], path: str
) -> None:
    counts = []
    for web in little_and_much:
        web.get(f"/nest/{path}")  # what is made once is made now
        # Other work of the gateway goes on beside; the fewest of several are the page's own.
        counts.append(min(len(statements(lambda: web.get(f"/nest/{path}"))) for _ in range(5)))  # noqa: B023
    few, many = counts
    assert many <= few + 1
