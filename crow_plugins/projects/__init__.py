"""Projects, the sources that are gathered for them, and notes: what a person works on, on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crow_hooks import Check, Crow, Format, Job, SearchKind, Summary, SyncedTable, Tables, hookimpl
from crow_plugins.fulltext import index_check, index_jobs, search_kind, title_of
from crow_plugins.projects.note import NOTE
from crow_plugins.projects.project import PROJECT
from crow_plugins.projects.references import references_check
from crow_plugins.projects.schema import MIGRATIONS, NOTES, PROJECTS, SOURCES
from crow_plugins.projects.source import SOURCE
from crow_plugins.projects.summary import projects
from crow_plugins.rows import Importer, rows_format

if TYPE_CHECKING:
    from fastmcp import FastMCP


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=MIGRATIONS)


@hookimpl
def register_synced_tables(crow: Crow) -> Sequence[SyncedTable]:
    return [PROJECT.synced, SOURCE.synced, NOTE.synced]


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    from crow_plugins.projects.tools import project_server  # FastMCP is imported when it is served only

    return project_server(crow)


@hookimpl
def register_search(crow: Crow) -> Sequence[SearchKind]:
    return [
        search_kind(crow, "project", PROJECTS, lambda project: project.name),
        search_kind(crow, "source", SOURCES, lambda source: title_of(source.title)),
        search_kind(crow, "note", NOTES, lambda note: note.title or title_of(note.content)),
    ]


@hookimpl
def register_summary(crow: Crow) -> Sequence[Summary]:
    return [projects()]


@hookimpl
def register_formats(crow: Crow) -> Sequence[Format]:
    formats = [rows_format(crow, PROJECT), rows_format(crow, SOURCE), rows_format(crow, NOTE)]
    later = [
        Importer.later("bibtex", "entry", lambda: _bibtex(crow)),
        Importer.later("markdown", "file", lambda: _markdown(crow)),
    ]
    return [*formats, *later]


def _bibtex(crow: Crow) -> Importer:
    from crow_plugins.projects.bibtex import bibtex

    return bibtex(crow)


def _markdown(crow: Crow) -> Importer:
    from crow_plugins.projects.markdown import markdown

    return markdown(crow)


@hookimpl
def register_checks(crow: Crow) -> Sequence[Check]:
    return [
        index_check(crow, PROJECTS, "projects index"),
        index_check(crow, SOURCES, "sources index"),
        index_check(crow, NOTES, "notes index"),
        references_check(crow),
    ]


@hookimpl
def register_jobs(crow: Crow) -> Sequence[Job]:
    return index_jobs(crow, PROJECTS, SOURCES, NOTES)
