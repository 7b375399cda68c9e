"""The MCP tools and resource of projects."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from pydantic import Field

from crow_plugins.projects import answers
from crow_plugins.projects.answers import ADDS, CHANGES, READS, ProjectAnswer, ProjectDetail, ProjectPage
from crow_plugins.projects.finding import Shelf
from crow_plugins.projects.note import Note
from crow_plugins.projects.project import NAME_MAX, PROJECT, Project, Status
from crow_plugins.projects.source import Source
from crow_plugins.rows import equals, tagged
from crow_plugins.rows.field import TAG_MAX, TAGS_MAX

ID = Field(min_length=1, max_length=64, description="The project's id, a UUID.")
NAME = Field(min_length=1, max_length=NAME_MAX, description="What the project is called.")
DESCRIPTION = Field(max_length=16 * 1024, description="What it is about, and what should come of it.")
TAGS = Field(max_length=TAGS_MAX, description="Words to find it by.")
LIMIT = Field(ge=1, le=100, description="How many at the most.")
CURSOR = Field(max_length=256, description="next_cursor of the last answer.")

Tag = Annotated[str, Field(max_length=TAG_MAX)]


def add_project_tools(server: FastMCP, projects: Shelf[Project], sources: Shelf[Source], notes: Shelf[Note]) -> None:
    _add_writing(server, projects)
    _add_reading(server, projects, sources, notes)


def _add_writing(server: FastMCP, projects: Shelf[Project]) -> None:
    @server.tool(annotations=ADDS, output_schema=ProjectAnswer.model_json_schema())
    def crow_create_project(
        name: Annotated[str, NAME],
        description: Annotated[str | None, DESCRIPTION] = None,
        status: Annotated[Status, Field(description="How far it is.")] = "active",
        tags: Annotated[list[Tag], TAGS] = [],  # noqa: B006  # the schema shows it; nobody changes it
    ) -> ToolResult:
        """Begin a project: something this person gathers sources and notes for."""
        return _one("Created", projects.add(PROJECT.given(locals())))

    @server.tool(annotations=CHANGES, output_schema=ProjectAnswer.model_json_schema())
    def crow_update_project(
        id: Annotated[str, ID],
        name: Annotated[str | None, NAME] = None,
        description: Annotated[str | None, DESCRIPTION] = None,
        status: Annotated[Status | None, Field(description="How far it is.")] = None,
        tags: Annotated[list[Tag] | None, TAGS] = None,
    ) -> ToolResult:
        """Change fields of a project; those left out stay. An empty description clears it."""
        return _one("Updated", projects.update(id, PROJECT.given(locals())))

    @server.tool(annotations=CHANGES, output_schema=ProjectAnswer.model_json_schema())
    def crow_delete_project(id: Annotated[str, ID]) -> ToolResult:
        """Delete a project. Its sources and notes stay, and go on naming it."""
        return _one("Deleted; its sources and notes stay", projects.delete(id))


def _add_reading(server: FastMCP, projects: Shelf[Project], sources: Shelf[Source], notes: Shelf[Note]) -> None:
    def detail(id: str) -> ProjectDetail:
        project, its = projects.get(id), equals("project_id", id)
        return ProjectDetail(**asdict(project), sources=sources.count(its), notes=notes.count(its))

    @server.tool(annotations=READS, output_schema=ProjectDetail.model_json_schema())
    def crow_get_project(id: Annotated[str, ID]) -> ToolResult:
        """One project in full, and how many sources and notes it has."""
        answer = detail(id)
        return answers.result(answer, f"{_line(answer)}\n{answer.sources} sources, {answer.notes} notes.")

    @server.tool(annotations=READS, output_schema=ProjectPage.model_json_schema())
    def crow_list_projects(
        status: Annotated[Status | None, Field(description="Only those that are this far.")] = None,
        tag: Annotated[str | None, Field(max_length=TAG_MAX, description="Only with this tag.")] = None,
        limit: Annotated[int, LIMIT] = 20,
        cursor: Annotated[str | None, CURSOR] = None,
    ) -> ToolResult:
        """List projects, the one changed last first."""
        conditions = [equals("status", status)] if status else []
        conditions += [tagged(tag)] if tag else []
        page = projects.list(conditions, limit=limit, cursor=cursor)
        items = [ProjectAnswer(**asdict(project)) for project in page.items]
        answer = ProjectPage(items=items, next_cursor=page.next_cursor, total=page.total)
        return answers.result(answer, f"{page.total} in all.\n{answers.lines(items, _line)}")

    @server.resource("crow://projects/{id}", mime_type="application/json")
    def project(id: str) -> str:
        """One project, as JSON."""
        return detail(id).model_dump_json()


def _one(verb: str, project: Project) -> ToolResult:
    answer = ProjectAnswer(**asdict(project))
    return answers.result(answer, f"{verb}.\n{_line(answer)}")


def _line(item: ProjectAnswer) -> str:
    text = item.name if item.description is None else f"{item.name}\n{item.description}"
    return answers.line(f"project {item.id} status={item.status}", item, text)
