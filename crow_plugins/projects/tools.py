"""All MCP tools of this plugin on one server."""

from __future__ import annotations

from fastmcp import FastMCP

from crow_hooks import Crow
from crow_plugins.projects.finding import Shelf
from crow_plugins.projects.note import NOTE
from crow_plugins.projects.note_tools import add_note_tools
from crow_plugins.projects.project import PROJECT
from crow_plugins.projects.project_tools import add_project_tools
from crow_plugins.projects.schema import NOTES, PROJECTS, SOURCES
from crow_plugins.projects.source import SOURCE
from crow_plugins.projects.source_tools import add_source_tools


def project_server(crow: Crow) -> FastMCP:
    server = FastMCP("crow-projects", mask_error_details=True)
    sources, notes = Shelf(crow, SOURCE, SOURCES), Shelf(crow, NOTE, NOTES)
    add_project_tools(server, Shelf(crow, PROJECT, PROJECTS), sources, notes)
    add_source_tools(server, sources)
    add_note_tools(server, notes)
    return server
