"""What plugins put around the server: in order, outside of login, and only while they are on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from crow_plugins import gateway
from crow_plugins.dispatch import BadPlugin
from crow_plugins.host import Host

PLUGIN = """
from starlette.middleware import Middleware
from crow_hooks import hookimpl

class Naming:
    def __init__(self, app, name):
        self.app, self.name = app, name

    async def __call__(self, scope, receive, send):
        async def named(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"passed", self.name.encode())]}
            await send(message)
        await self.app(scope, receive, named)

@hookimpl
def register_middleware(crow):
    return [Middleware(Naming, name="outer"), Middleware(Naming, name="inner")]
"""


@pytest.fixture
def opened(
    home: Path, tmp_path: Path, open_host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Host]:
    def open_with(code: str) -> Host:
        name = f"layer_plugin_{tmp_path.name.replace('-', '_')}"
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / f"{name}.py").write_text(code)
        (home / "plugin_manifest.toml").write_text(f'[[plugin]]\nname = "naming"\nmodule = "{name}"\n')
        return open_host(home)

    return open_with


def passed(host: Host) -> list[str]:
    app = gateway.application(host)
    with TestClient(app, base_url="http://127.0.0.1") as web:
        answer: httpx2.Response = web.post("/mcp")
        assert answer.status_code == 401
        return answer.headers.get_list("passed")


def test_the_first_stands_outermost_and_sees_what_login_refuses(opened: Callable[[str], Host]) -> None:
    assert passed(opened(PLUGIN)) == ["inner", "outer"]


def test_while_the_plugin_is_off_everything_passes_by(opened: Callable[[str], Host]) -> None:
    host = opened(PLUGIN)
    host._enabled -= {"naming"}
    assert passed(host) == []


def test_what_is_no_middleware_is_named(opened: Callable[[str], Host]) -> None:
    code = "from crow_hooks import hookimpl\n@hookimpl\ndef register_middleware(crow):\n    return ['nothing']\n"
    with pytest.raises(BadPlugin, match="register_middleware returned a str"):
        gateway.application(opened(code))
