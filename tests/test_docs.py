"""Docs and code say the same: every tool, command, option, table, column, environment variable and link."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App
from fastmcp import Client

from crow_plugins.cli.app import _command_line
from crow_plugins.config import Environment
from crow_plugins.host import Host

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text()


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    assert heading in text, f"{heading} is not documented"
    return re.split(r"^#+ ", text.split(heading, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.anyio
async def test_every_tool_stands_under_its_exact_signature(host: Host) -> None:
    async with Client(host.server) as client:
        tools = await client.list_tools()
        templates = await client.list_resource_templates()
        prompts = await client.list_prompts()
    headings = {f"### `{tool.name}({parameters(tool.input_schema)})`" for tool in tools}
    assert {line for line in page("tools.md").splitlines() if line.startswith("### ")} == headings
    for tool in tools:
        reads = tool.annotations is not None and tool.annotations.read_only_hint
        heading = next(heading for heading in headings if f"`{tool.name}(" in heading)
        assert section(page("tools.md"), heading).lstrip().startswith("*Reads.*") == bool(reads), tool.name
    for name in [*(str(template.uri_template) for template in templates), *(prompt.name for prompt in prompts)]:
        assert name in page("tools.md")


def parameters(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    return ", ".join(
        name if name in required else f"{name}={json.dumps(described.get('default'))}"
        for name, described in schema["properties"].items()
    )


def commands(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    for name in app:
        if not name.startswith("-"):
            if app[name].default_command is not None:
                yield (*path, name), app[name]
            yield from commands(app[name], (*path, name))


def test_every_command_and_option_is_documented(home: Path) -> None:
    text = page("commands.md")
    with _command_line(["--home", str(home)]) as app:
        found = dict(commands(app))
        assert ("remember",) in found
        for path, command in found.items():
            heading = next(
                (line for line in text.splitlines() if re.match(rf"## `crow {' '.join(path)}[ `]", line)), None
            )
            assert heading is not None, f"crow {' '.join(path)} is not documented"
            for argument in command.assemble_argument_collection():
                name = argument.names[0]
                if name != "--terminal":
                    assert name in heading + section(text, heading), f"{name} of {heading} is not documented"
        documented = {
            tuple(re.findall(r"[a-z]+", line.split("crow ")[1])) for line in re.findall(r"## `crow .*`", text)
        }
        assert documented == set(found)


def test_every_variable_of_the_environment_is_documented() -> None:
    for name in Environment.model_fields:
        assert f"CROW_{name.upper()}" in page("commands.md")


def test_every_table_and_column_is_documented(host: Host) -> None:
    text = page("database.md")
    with host.read() as db:
        tables = [
            name
            for (name,) in db.execute_sql(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%fts%' AND name NOT LIKE 'sq%'"
            )
        ]
        for table in tables:
            described = section(text, f"### {table}\n")
            for (column,) in db.execute_sql("SELECT name FROM pragma_table_info(?)", (table,)):
                assert f"`{column}`" in described, f"{table}.{column} is not documented"


def test_every_plugin_and_dependency_is_documented() -> None:
    import tomllib

    manifest = tomllib.loads((ROOT / "plugin_manifest.toml").read_text())
    for plugin in manifest["plugin"]:
        assert f"`{plugin['name']}/`" in page("architecture.md")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name = re.match(r"[a-z0-9-]+", requirement)
        assert name is not None
        assert re.search(rf"\b{name[0]}\b", page("decisions.md")), f"{name[0]} has no line in decisions.md"


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if not target.startswith("https://"):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
