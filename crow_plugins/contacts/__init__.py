"""Contacts: the people this person knows, and how to reach them, on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import Check, Command, Crow, Format, SearchKind, SyncedTable, Tables, hookimpl
from crow_plugins.contacts import schema
from crow_plugins.contacts.checks import contacts_check
from crow_plugins.contacts.contact import CONTACT
from crow_plugins.contacts.contacts import Contacts
from crow_plugins.contacts.search import search_kind
from crow_plugins.rows import Importer, rows_format

if TYPE_CHECKING:
    from fastmcp import FastMCP


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=schema.MIGRATIONS)


@hookimpl
def register_synced_tables(crow: Crow) -> Sequence[SyncedTable]:
    return [CONTACT.synced]


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    from crow_plugins.contacts.tools import contact_tools  # FastMCP is imported when it is served only

    return contact_tools(Contacts(crow))


@hookimpl
def register_search(crow: Crow) -> Sequence[SearchKind]:
    return [search_kind()]


@hookimpl
def register_commands(crow: Crow) -> Sequence[Command]:
    from crow_plugins.contacts.commands import commands  # what reads cards is imported when files are

    return commands(crow)


@hookimpl
def register_formats(crow: Crow) -> Sequence[Format]:
    return [rows_format(crow, CONTACT), Importer.later("vcard", "card", lambda: _vcard(crow))]


def _vcard(crow: Crow) -> Importer:
    from crow_plugins.contacts.interchange import vcard_importer

    return vcard_importer(crow)


@hookimpl
def register_checks(crow: Crow) -> Sequence[Check]:
    return [contacts_check(crow)]
