"""Crow on somebody's own FastMCP server."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmcp.server.auth import AuthProvider, MultiAuth, TokenVerifier

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
    """The server has a tool of the same name as one of Crow's."""

    code = "name_taken"

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"the server has tools called {', '.join(names)} already; rename them, then mount Crow")


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
    taken = {tool.name for tool in await_in_thread(server.list_tools())}
    clashes = sorted(tool.name for tool in await_in_thread(ours.list_tools()) if tool.name in taken)
    if clashes:
        raise NameTaken(clashes)


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
