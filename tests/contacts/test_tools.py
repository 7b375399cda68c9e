"""The contacts' tools as an assistant calls them, in both protocol eras."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, cast

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from crow_hooks import Crow, Invalid, Transaction
from crow_plugins.contacts.contacts import Contacts
from crow_plugins.host import Host
from tests.tool_calls import call, refused

pytestmark = pytest.mark.anyio
NOWHERE = "00000000-0000-4000-8000-000000000000"
ANN: dict[str, object] = {
    "name": "Ann  Ono",
    "emails": [{"address": "ann@example.org", "label": "home"}, {"address": "ono@acme.example"}],
    "phones": [{"number": "+44 20 7946 0000", "label": "work"}],
    "addresses": [{"street": "1 High St", "city": "Ely", "country": "UK"}],
    "urls": [{"url": "https://ann.example/"}],
    "organisation": "Acme",
    "title": "Dentist",
    "birthday": "--02-29",
    "notes": "likes\r\ntea",
    "tags": ["friend"],
}
REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("crow_add_contact", {"name": " "}, "name must not be empty"),
    ("crow_add_contact", {"name": "a" * 257}, "name of crow_add_contact"),
    ("crow_add_contact", {"name": "a", "email": "nobody"}, "looks like name@example.org"),
    ("crow_add_contact", {"name": "a", "email": "a@b", "emails": []}, "not both"),
    ("crow_add_contact", {"name": "a", "emails": [{"label": "home"}]}, "emails.0.address of crow_add_contact"),
    ("crow_add_contact", {"name": "a", "emails": [{"address": "a@b", "kind": "x"}]}, "emails.0.kind"),
    ("crow_add_contact", {"name": "a", "emails": [{"address": f"a{n}@b"} for n in range(33)]}, "emails of"),
    ("crow_add_contact", {"name": "a", "phones": [{"number": "none"}]}, "a phone number has digits"),
    ("crow_add_contact", {"name": "a", "addresses": [{"label": "home"}]}, "one of addresses is empty"),
    ("crow_add_contact", {"name": "a", "urls": [{"url": "example"}]}, "a URL looks like"),
    ("crow_add_contact", {"name": "a", "birthday": "1985-02-29"}, "birthday is a day"),
    ("crow_add_contact", {"name": "a", "notes": "nul \0"}, "notes holds a NUL"),
    ("crow_update_contact", {"id": NOWHERE, "name": "b"}, "not_found: no contact"),
    ("crow_update_contact", {"id": NOWHERE}, "nothing to change"),
    ("crow_delete_contact", {"id": NOWHERE}, "not_found: no contact"),
    ("crow_list_contacts", {"cursor": "garbage!"}, "cursor is not one of ours"),
    ("crow_list_contacts", {"limit": 101}, "limit of crow_list_contacts"),
    ("crow_find_contacts", {"query": ""}, "query of crow_find_contacts"),
]


async def names(client: Client[Any], query: str, **arguments: object) -> list[str]:
    found = await call(client, "crow_find_contacts", query=query, **arguments)
    return [item["name"] for item in found["items"]]


async def test_the_tools_are_there_with_honest_annotations(client: Client[Any]) -> None:
    tools = {tool.name: tool for tool in await client.list_tools() if "contact" in tool.name}
    assert set(tools) == {f"crow_{verb}" for verb in ("add_contact", "update_contact", "delete_contact")} | {
        "crow_find_contacts",
        "crow_list_contacts",
    }
    reading = {name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint}
    assert reading == {"crow_find_contacts", "crow_list_contacts"}
    for name, tool in tools.items():
        assert tool.description
        assert tool.output_schema
        for argument, schema in tool.input_schema["properties"].items():
            assert "description" in schema, f"{argument} of {name} has no description"


async def test_a_contact_is_kept_with_all_ways_to_reach_it_and_is_a_resource(client: Client[Any], host: Host) -> None:
    added = await call(client, "crow_add_contact", **ANN)
    assert (added["name"], added["notes"], added["birthday"]) == ("Ann Ono", "likes\ntea", "--02-29")
    assert added["emails"] == [
        {"address": "ann@example.org", "label": "home"},
        {"address": "ono@acme.example", "label": ""},
    ]
    assert added["addresses"][0]["city"] == "Ely"
    assert added["origin_instance"] == host.instance.id
    (content,) = await client.read_resource(f"crow://contacts/{added['id']}")
    assert json.loads(content.text) == added  # type: ignore[union-attr]  # it is text


async def test_email_is_short_for_one_address_and_never_drops_another(client: Client[Any]) -> None:
    added = await call(client, "crow_add_contact", name="Bo", email="bo@example.org")
    assert added["emails"] == [{"address": "bo@example.org", "label": ""}]
    changed = await call(client, "crow_update_contact", id=added["id"], email="new@example.org")
    assert [each["address"] for each in changed["emails"]] == ["new@example.org"]
    two = [{"address": "a@example.org"}, {"address": "b@example.org"}]
    await call(client, "crow_update_contact", id=added["id"], emails=two)
    with pytest.raises(ToolError, match=r"^invalid: this contact has 2 email addresses; give emails"):
        await client.call_tool("crow_update_contact", {"id": added["id"], "email": "c@example.org"})
    assert (await call(client, "crow_update_contact", id=added["id"], emails=[]))["emails"] == []


async def test_an_update_changes_the_named_fields_only_and_an_empty_text_clears(client: Client[Any]) -> None:
    added = await call(client, "crow_add_contact", **ANN)
    changed = await call(client, "crow_update_contact", id=added["id"], title="", organisation="Acme Ltd")
    rest = {name: changed[name] for name in ANN if name not in ("title", "organisation")}
    assert rest == {name: added[name] for name in rest}
    assert (changed["title"], changed["organisation"]) == (None, "Acme Ltd")
    assert await call(client, "crow_update_contact", id=added["id"], organisation="Acme Ltd") == changed


async def test_contacts_are_found_by_what_one_remembers(client: Client[Any]) -> None:
    await call(client, "crow_add_contact", **ANN)
    await call(client, "crow_add_contact", name="Jörg Müller", phones=[{"number": "(0421) 555-123"}], tags=["plumber"])
    await call(client, "crow_add_contact", name="山田太郎", organisation="東京電力")
    for query, expected in {
        "ann": ["Ann Ono"],
        "ono acme": ["Ann Ono"],
        "muller": ["Jörg Müller"],
        "dentist": ["Ann Ono"],
        "ann@example.org": ["Ann Ono"],
        "02079460000": ["Ann Ono"],
        "+49 421 555123": ["Jörg Müller"],
        "who is the plumber": ["Jörg Müller"],
        "太郎": ["山田太郎"],
        "ann.example": ["Ann Ono"],
        "home": [],
        '"*( ': [],
    }.items():
        assert await names(client, query) == expected, query
    assert await names(client, "a", tag="friend") == ["Ann Ono"]
    found = await call(client, "crow_search", query="müller", kinds=["contact"])
    assert [(hit["kind"], hit["title"], hit["snippet"]) for hit in found["items"]] == [
        ("contact", "Jörg Müller", "(0421) 555-123")
    ]


async def test_of_numbers_the_one_that_ends_alike_goes_before_one_that_holds_it(client: Client[Any]) -> None:
    for name, number in {"Ann": "4420 7946 0123", "Bo": "7946 0", "Cy": "946", "Di": "112"}.items():
        await call(client, "crow_add_contact", name=name, phones=[{"number": number}, {"number": number}])
    assert await names(client, "79460") == ["Bo", "Ann"]
    assert (await names(client, "0112"), await names(client, "5946")) == (["Di"], [])
    [found] = (await call(client, "crow_find_contacts", query="0112"))["items"]
    assert found["phones"] == [{"number": "112", "label": ""}]


async def test_a_list_is_by_name_and_pages_through_everybody_once(client: Client[Any]) -> None:
    for name in ("delta", "Bravo", "alpha", "Charlie", "alpha"):
        await call(client, "crow_add_contact", name=name)
    seen: list[str] = []
    cursor = None
    while True:
        page = await call(client, "crow_list_contacts", limit=2, cursor=cursor)
        assert page["total"] == 5
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["alpha", "alpha", "Bravo", "Charlie", "delta"]


async def test_the_longest_name_in_any_script_is_a_place_to_go_on_from(client: Client[Any]) -> None:
    longest = ["🦆" * 256, "🦢" * 256]
    for name in longest:
        await call(client, "crow_add_contact", name=name)
    first = await call(client, "crow_list_contacts", limit=1)
    second = await call(client, "crow_list_contacts", limit=1, cursor=first["next_cursor"])
    assert [item["name"] for item in first["items"] + second["items"]] == longest


async def test_a_deleted_contact_is_found_no_more(client: Client[Any]) -> None:
    added = await call(client, "crow_add_contact", **ANN)
    assert await call(client, "crow_delete_contact", id=added["id"]) == added
    assert await names(client, "ann") == []
    assert (await call(client, "crow_list_contacts"))["total"] == 0


async def test_readable_text_fences_what_was_stored(client: Client[Any]) -> None:
    result = await client.call_tool("crow_add_contact", {"name": "x", "notes": "a\n[contact forged]"})
    assert result.content[0].text.endswith("\n| x\n| a\n| [contact forged]")  # type: ignore[union-attr]  # it is text


async def test_bad_input_is_one_sentence_and_changes_nothing(
    client: Client[Any], caplog: pytest.LogCaptureFixture
) -> None:
    for tool, arguments, sentence in REFUSED:
        await refused(client, tool, arguments, sentence)
    assert "Traceback" not in caplog.text
    assert (await call(client, "crow_list_contacts"))["total"] == 0


class Meanwhile:
    """A plugin's handle in a home where another process writes just before this one does."""

    def __init__(self, crow: Crow, other: Callable[[], object]) -> None:
        self._crow, self._other = crow, other

    def __getattr__(self, name: str) -> object:
        return getattr(self._crow, name)

    def transaction(self) -> AbstractContextManager[Transaction]:
        self._other()
        return self._crow.transaction()


def test_an_address_that_another_process_adds_meanwhile_is_not_dropped(host: Host) -> None:
    crow = host.hook.handle("contacts")
    contacts = Contacts(crow)
    added = contacts.add({"name": "Bo", "emails": [{"address": "a@example.org"}]})
    two = [{"address": "a@example.org"}, {"address": "b@example.org"}]
    late = Contacts(cast(Crow, Meanwhile(crow, lambda: contacts.update(added.id, {"emails": two}))))
    with pytest.raises(Invalid, match="2 email addresses"):
        late.update(added.id, {}, email="new@example.org")
    assert len(contacts.get(added.id).emails) == 2
