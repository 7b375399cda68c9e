"""Contacts that other machines wrote in whatever way, and the index that `crow doctor` looks at."""

from __future__ import annotations

import pytest

from crow_hooks import Data, Entry, Version
from crow_plugins.contacts.checks import REBUILD, index_finding
from crow_plugins.contacts.contacts import Contacts
from crow_plugins.host import Host

SWAN = "22222222-2222-4222-8222-222222222222"
ROW = "33333333-3333-4333-8333-333333333333"
PLAIN: Data = {
    **dict.fromkeys(("organisation", "title", "birthday", "notes")),
    **{name: [] for name in ("emails", "phones", "addresses", "urls", "tags")},
    "name": "Ann",
    "origin_instance": SWAN,
    "created_at": 5,
    "updated_at": 5,
}


@pytest.fixture
def contacts(host: Host) -> Contacts:
    return Contacts(host.hook.handle("contacts"))


def arrives(host: Host, data: Data) -> None:
    version = Version(f"{SWAN}.000000000000", 5)
    entry = Entry("contact_update", "contacts", ROW, {**PLAIN, **data}, version, {}, (), 5, SWAN)
    with host.store.transaction() as transaction:
        transaction.apply(entry)


def test_what_no_tool_here_would_write_is_kept_and_only_its_texts_are_shown(host: Host, contacts: Contacts) -> None:
    arrives(
        host,
        {
            "emails": [{"address": "ann@example.org", "verified": True}, "text", 7, {"address": 1}, None],
            "phones": {"number": "123"},
            "addresses": [[["deep"]], {"city": "Ely", "label": "x"}],
            "tags": ["friend", {"not": "a tag"}],
        },
    )
    contact = contacts.get(ROW)
    assert contact.emails == ({"address": "ann@example.org", "label": ""},)
    assert contact.phones == ()
    assert [address["city"] for address in contact.addresses] == ["Ely"]
    assert contact.tags == ("friend",)
    assert [hit.contact.id for hit in contacts.find("ely", (), 10)] == [ROW]
    assert contacts.find("12345", (), 10) == []


def test_an_index_that_lost_a_row_is_told_of_and_the_remedy_mends_it(host: Host, contacts: Contacts) -> None:
    arrives(host, {})
    kept = contacts.add({"name": "Bo"})
    with host.store.transaction() as transaction:
        assert index_finding(transaction.db).ok
        transaction.db.execute_sql("DELETE FROM contacts_fts")
        assert not index_finding(transaction.db).ok
        for statement in REBUILD.split(";"):
            transaction.db.execute_sql(statement)
        assert index_finding(transaction.db).ok
    assert [hit.contact.id for hit in contacts.find("bo", (), 10)] == [kept.id]


def test_an_index_that_is_damaged_in_itself_is_told_of(host: Host) -> None:
    arrives(host, {})
    with host.store.transaction() as transaction:
        transaction.db.execute_sql("UPDATE contacts_fts_data SET block = zeroblob(20) WHERE id > 10")
        finding = index_finding(transaction.db)
    assert (finding.ok, "damaged" in finding.message) == (False, True)
