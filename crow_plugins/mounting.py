"""Crow on somebody's own FastMCP server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmcp.server.auth import AuthProvider, MultiAuth, TokenVerifier
from fastmcp.server.providers import FastMCPProvider, Provider

from crow_hooks import CrowError
from crow_plugins.assistants import AssistantTokens
from crow_plugins.host import Host
from crow_plugins.layers import around_messages, around_requests
from crow_plugins.list_changes import ListChanges
from crow_plugins.server import await_in_thread

if TYPE_CHECKING:
    from fastmcp import FastMCP


class AuthenticationMissing(CrowError):
    """A server that Crow is mounted on would answer over HTTP without asking who calls."""

    code = "authentication_missing"

    def __init__(self) -> None:
        super().__init__(
            "this server would hand everybody the memories over HTTP; give it an auth, or mount with authenticate=True"
        )


class NameTaken(CrowError):
    """The server has tools, resources or prompts of the same names as Crow's; `names` are those of each kind."""

    code = "name_taken"

    def __init__(self, names: dict[str, list[str]]) -> None:
        what = " and ".join(f"{kind} called {', '.join(each)}" for kind, each in names.items())
        super().__init__(f"the server has {what} already; rename them, then mount Crow")


def mount(server: FastMCP, home: Path | None = None, *, authenticate: bool = True, **options: Any) -> Host:
    """Put every tool, resource, prompt and route of the installation in `home` onto `server`.

    Call it before the server starts, and close the returned `Host` when the server is done. Tools keep their exact
    names. With `authenticate`, the tokens of `crow token` are accepted beside the server's own `auth`, or alone where
    it has none; without it and without an auth of its own, the server refuses to be served over HTTP.
    `options` are those of `Host`. Raises what `Host` raises, and `NameTaken`.
    """
    host = Host(home, **options)
    try:
        _refuse_taken_names(server, host.server)
    except BaseException:
        host.close()
        raise
    if authenticate:
        server.auth = _composed(server.auth, AssistantTokens(host))
    server.mount(host.server)
    around_messages(server, host)
    host.list_changes.append(ListChanges(server))  # its clients are connected to it, not to ours
    _guard_http(server, host)
    return host


def _refuse_taken_names(server: FastMCP, ours: FastMCP) -> None:
    theirs, known = await_in_thread(_names([server])), await_in_thread(_names(_all_providers(ours)))
    taken = {kind: sorted(names & known[kind]) for kind, names in theirs.items()}
    clashes = {kind: names for kind, names in taken.items() if names}
    if clashes:
        raise NameTaken(clashes)


def _all_providers(server: FastMCP) -> list[Provider]:
    """What the parts of a server provide, asked past their gates: a plugin that is off may be switched on later."""
    parts = [each.server for each in server.providers if isinstance(each, FastMCPProvider)]
    return [*server.providers, *(provider for part in parts for provider in part.providers)]


async def _names(sources: Sequence[FastMCP | Provider]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {"tools": set(), "resources": set(), "prompts": set()}
    for source in sources:
        names["tools"] |= {tool.name for tool in await source.list_tools()}
        names["resources"] |= {str(resource.uri) for resource in await source.list_resources()}
        names["resources"] |= {template.uri_template for template in await source.list_resource_templates()}
        names["prompts"] |= {prompt.name for prompt in await source.list_prompts()}
    return names


def _composed(theirs: AuthProvider | None, ours: AssistantTokens) -> AuthProvider:
    if theirs is None:
        return ours
    if isinstance(theirs, TokenVerifier):
        return MultiAuth(verifiers={"server": theirs, "crow": ours})
    return MultiAuth(server=theirs, verifiers={"crow": ours})


def _guard_http(server: FastMCP, host: Host) -> None:
    """Every way to serve HTTP goes through `http_app`: there a missing auth is refused, and plugins' layers are put."""
    http_app = server.http_app

    @wraps(http_app)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if server.auth is None:
            raise AuthenticationMissing
        app = http_app(*args, **kwargs)
        around_requests(app, host)
        return app

    server.http_app = guarded  # type: ignore[method-assign]
