"""The contacts' MCP tools and resource: arguments with limits, structured answers beside readable text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from crow_hooks import Data, Invalid
from crow_plugins.contacts.contact import (
    ADDRESSES_MAX,
    CONTACT,
    EMAILS_MAX,
    LINE_MAX,
    NOTES_BYTES_MAX,
    PHONES_MAX,
    URLS_MAX,
    Contact,
)
from crow_plugins.contacts.contacts import Contacts, one_email
from crow_plugins.contacts.search import in_a_line
from crow_plugins.rows import Condition, fenced, tagged
from crow_plugins.rows.field import TAG_MAX, TAGS_MAX

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

ID = Field(min_length=1, max_length=64, description="The contact's id, a UUID.")
NAME = Field(min_length=1, max_length=LINE_MAX, description="Who it is, as one would say it.")
ONE_EMAIL = Field(max_length=LINE_MAX, description="Short for emails with this one address.")
EMAILS = Field(max_length=EMAILS_MAX, description="Email addresses, the usual one first.")
PHONES = Field(max_length=PHONES_MAX, description="Phone numbers, the usual one first.")
ADDRESSES = Field(max_length=ADDRESSES_MAX, description="Postal addresses.")
URLS = Field(max_length=URLS_MAX, description="Pages and profiles.")
ORGANISATION = Field(max_length=LINE_MAX, description="Where they work or belong.")
TITLE = Field(max_length=LINE_MAX, description="What they do there.")
BIRTHDAY = Field(max_length=16, description="Like 1985-04-12, or --04-12 where the year is not known.")
NOTES = Field(max_length=NOTES_BYTES_MAX, description="Anything else that is good to know.")
TAGS = Field(max_length=TAGS_MAX, description="Words to find them by.")
QUERY = Field(min_length=1, max_length=10_000, description="A name or its beginning, a company, an address, a number.")
LIMIT = Field(ge=1, le=100, description="How many at the most.")
CURSOR = Field(max_length=2048, description="next_cursor of the last answer.")

Tag = Annotated[str, Field(max_length=TAG_MAX)]
OnlyTag = Annotated[str | None, Field(max_length=TAG_MAX, description="Only with this tag.")]
Line = Annotated[str, Field(max_length=LINE_MAX)]


class Labelled(BaseModel):
    """One of several; the label is home, work, or whatever it is called."""

    model_config = ConfigDict(extra="forbid")
    label: Line = ""


class Email(Labelled):
    address: Line


class Phone(Labelled):
    number: Line


class Url(Labelled):
    url: Line


class Address(Labelled):
    street: Line = ""
    city: Line = ""
    region: Line = ""
    postal_code: Line = ""
    country: Line = ""


class ContactAnswer(BaseModel):
    """A contact and where it comes from; times in unix seconds."""

    id: str
    name: str
    emails: list[Email]
    phones: list[Phone]
    addresses: list[Address]
    urls: list[Url]
    organisation: str | None
    title: str | None
    birthday: str | None
    notes: str | None
    tags: list[str]
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


class ContactHit(ContactAnswer):
    """A contact that matched, and how well; scores are compared within one answer only."""

    score: float


class ContactHits(BaseModel):
    """Who was found, best first."""

    items: list[ContactHit]


class ContactPage(BaseModel):
    """Some contacts of a list; pass `next_cursor` as `cursor` for the next ones."""

    items: list[ContactAnswer]
    next_cursor: str | None
    total: int


def contact_tools(contacts: Contacts) -> FastMCP:
    server = FastMCP("crow-contacts", mask_error_details=True)
    _add_writing(server, contacts)
    _add_reading(server, contacts)
    return server


def _add_writing(server: FastMCP, contacts: Contacts) -> None:
    @server.tool(annotations=ADDS, output_schema=ContactAnswer.model_json_schema())
    def crow_add_contact(
        name: Annotated[str, NAME],
        email: Annotated[str | None, ONE_EMAIL] = None,
        emails: Annotated[list[Email] | None, EMAILS] = None,
        phones: Annotated[list[Phone] | None, PHONES] = None,
        addresses: Annotated[list[Address] | None, ADDRESSES] = None,
        urls: Annotated[list[Url] | None, URLS] = None,
        organisation: Annotated[str | None, ORGANISATION] = None,
        title: Annotated[str | None, TITLE] = None,
        birthday: Annotated[str | None, BIRTHDAY] = None,
        notes: Annotated[str | None, NOTES] = None,
        tags: Annotated[list[Tag] | None, TAGS] = None,
    ) -> ToolResult:
        """Keep a new contact of this person."""
        fields = _given(locals())
        return _one("Added", contacts.add(fields if email is None else {**fields, "emails": one_email(email)}))

    @server.tool(annotations=CHANGES, output_schema=ContactAnswer.model_json_schema())
    def crow_update_contact(
        id: Annotated[str, ID],
        name: Annotated[str | None, NAME] = None,
        email: Annotated[str | None, ONE_EMAIL] = None,
        emails: Annotated[list[Email] | None, EMAILS] = None,
        phones: Annotated[list[Phone] | None, PHONES] = None,
        addresses: Annotated[list[Address] | None, ADDRESSES] = None,
        urls: Annotated[list[Url] | None, URLS] = None,
        organisation: Annotated[str | None, ORGANISATION] = None,
        title: Annotated[str | None, TITLE] = None,
        birthday: Annotated[str | None, BIRTHDAY] = None,
        notes: Annotated[str | None, NOTES] = None,
        tags: Annotated[list[Tag] | None, TAGS] = None,
    ) -> ToolResult:
        """Change fields of a contact; those left out stay. A list replaces the list; an empty text clears its field."""
        return _one("Updated", contacts.update(id, _given(locals()), email=email))

    @server.tool(annotations=CHANGES, output_schema=ContactAnswer.model_json_schema())
    def crow_delete_contact(id: Annotated[str, ID]) -> ToolResult:
        """Delete a contact."""
        return _one("Deleted", contacts.delete(id))


def _add_reading(server: FastMCP, contacts: Contacts) -> None:
    @server.tool(annotations=READS, output_schema=ContactHits.model_json_schema())
    def crow_find_contacts(
        query: Annotated[str, QUERY], tag: OnlyTag = None, limit: Annotated[int, LIMIT] = 10
    ) -> ToolResult:
        """Find contacts by beginnings of words, or by a phone number however it is written."""
        hits = [ContactHit(**asdict(hit.contact), score=hit.score) for hit in contacts.find(query, _with(tag), limit)]
        return ToolResult(content=_lines(hits), structured_content=ContactHits(items=hits).model_dump())

    @server.tool(annotations=READS, output_schema=ContactPage.model_json_schema())
    def crow_list_contacts(
        tag: OnlyTag = None, limit: Annotated[int, LIMIT] = 20, cursor: Annotated[str | None, CURSOR] = None
    ) -> ToolResult:
        """List contacts by name."""
        page = contacts.list(_with(tag), limit=limit, cursor=cursor)
        items = [_answer(contact) for contact in page.items]
        answer = ContactPage(items=items, next_cursor=page.next_cursor, total=page.total)
        return ToolResult(content=f"{page.total} in all.\n{_lines(items)}", structured_content=answer.model_dump())

    @server.resource("crow://contacts/{id}", mime_type="application/json")
    def contact(id: str) -> str:
        """One contact in full, as JSON."""
        return _answer(contacts.get(id)).model_dump_json()


def _given(arguments: Data) -> dict[str, object]:
    """The fields among a tool's arguments that somebody said something for. Raises `Invalid`."""
    if arguments["email"] is not None and arguments["emails"] is not None:
        raise Invalid("give email for one address or emails for several, not both")
    return {
        name: [each.model_dump() if isinstance(each, BaseModel) else each for each in value]
        if isinstance(value, list)
        else value
        for name, value in CONTACT.given(arguments).items()
    }


def _with(tag: str | None) -> list[Condition]:
    return [] if tag is None else [tagged(tag, "contacts.tags")]


def _answer(contact: Contact) -> ContactAnswer:
    return ContactAnswer(**asdict(contact))


def _one(verb: str, contact: Contact) -> ToolResult:
    answer = _answer(contact)
    return ToolResult(content=f"{verb}.\n{_line(answer)}", structured_content=answer.model_dump())


def _lines(items: Sequence[ContactAnswer]) -> str:
    return "\n".join(_line(item) for item in items) or "Nobody found."


def _line(item: ContactAnswer) -> str:
    """Where it comes from, then how to reach them."""
    about = in_a_line(
        [
            *(email.address for email in item.emails),
            *(phone.number for phone in item.phones),
            *(url.url for url in item.urls),
            item.title,
            item.organisation,
        ]
    )
    text = "\n".join(filter(None, (item.name, about, item.notes)))
    return fenced(f"contact {item.id} from={item.origin_instance}", text)
