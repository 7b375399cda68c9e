"""Who gets into the Nest, who may change anything, and what a page may load."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from bench import full_nest
from crow_hooks import EXPOSURE, Invalid
from crow_plugins import nest
from crow_plugins.gateway import application
from crow_plugins.host import Host
from crow_plugins.nest.access import CONFIRMED_SECONDS, TRIES_MAX, Access, CodeUnknown, TooManyTries, WrongPassword
from tests.gateway_process import crow

BROWSER = {"user-agent": "a browser"}
BASE = "http://127.0.0.1"
LOADED = ("instances", "conflicts", "sync", "plugins", "summaries", "audit", "tokens")
PAGES = (*LOADED, "live", "instances/x", "instances/x/revoke", "conflicts/x")
PASSWORD = "correct horse battery"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of the chain that other instances can be made of."""
    return full_nest.keyring_home(tmp_path, "grackle", int(time.time()))


@pytest.fixture
def access(host: Host) -> Access:
    return Access(host.hook.handle("nest"))


@pytest.fixture
def web(host: Host) -> Iterator[TestClient]:
    with TestClient(application(host), base_url=BASE, headers=BROWSER, follow_redirects=False) as client:
        yield client


@pytest.fixture
def signed_in(web: TestClient, access: Access) -> TestClient:
    answer = web.post("/nest/login", data={"code": access.new_code()})
    assert answer.status_code == 303
    return web


def form_key(web: TestClient, page: str = "/nest/tokens") -> str:
    found = re.search(r'name="form_key" value="([0-9a-f]+)"', web.get(page).text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_signing_in(web: TestClient, page: str) -> None:
    answer = web.get(f"/nest/{page}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/nest/login")


@pytest.mark.parametrize("page", LOADED)
def test_a_page_loads_nothing_from_elsewhere_and_is_kept_by_nobody(signed_in: TestClient, page: str) -> None:
    answer = signed_in.get(f"/nest/{page}")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r'(src|href|action)="(https?:)?//', answer.text)
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert not re.search(r" on[a-z]+=", answer.text)


def test_a_one_time_address_signs_in_once(web: TestClient, access: Access) -> None:
    code = access.new_code()
    assert "Sign in" in web.get(f"/nest/login?code={code}").text  # looking does not use it up
    first = web.post("/nest/login", data={"code": code})
    assert first.status_code == 303
    cookie = first.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/nest"))
    second = web.post("/nest/login", data={"code": code})
    assert second.status_code == 403
    assert "used already or is too old" in second.text


def test_a_cookie_is_worth_nothing_in_another_browser(signed_in: TestClient) -> None:
    assert signed_in.get("/nest/tokens").status_code == 200
    assert signed_in.get("/nest/tokens", headers={"user-agent": "another"}).status_code == 303


def test_a_cookie_that_was_there_before_signing_in_is_worth_nothing_after_it(web: TestClient, access: Access) -> None:
    first = web.post("/nest/login", data={"code": access.new_code()})
    [(name, mine)] = first.cookies.items()
    web.cookies.clear()
    web.cookies.set(name, "chosen-by-somebody-else", domain="127.0.0.1", path="/nest")
    assert web.get("/nest/tokens").status_code == 303
    second = web.post("/nest/login", data={"code": access.new_code()})
    assert second.cookies[name] not in ("chosen-by-somebody-else", mine)
    web.cookies.clear()
    web.cookies.set(name, "chosen-by-somebody-else", domain="127.0.0.1", path="/nest")
    assert web.get("/nest/tokens").status_code == 303


def test_every_change_is_refused_without_the_pages_key(signed_in: TestClient, host: Host) -> None:
    changes = [route.path for route in routes_of(host) if "POST" in (route.methods or ())]
    assert len(changes) > 12
    for path in changes:
        if path != "/nest/login":  # which has no session yet, and asks for the code or the password
            answer = signed_in.post(re.sub(r"{[a-z]+}", "x", path), data={"on": "0", "act": "deny", "tool": "x"})
            assert answer.status_code == 403, path
            assert "load the page again" in answer.text, path


def routes_of(host: Host) -> list[Route]:
    return [route for route in nest.register_routes(host.hook.handle("nest")) if isinstance(route, Route)]


@pytest.mark.parametrize("wanted", ["//evil.example/", "https://evil.example", "/nest/../mcp", "/mcp", "/nest/\\x"])
def test_signing_in_leads_to_pages_of_the_nest_only(web: TestClient, access: Access, wanted: str) -> None:
    answer = web.post("/nest/login", data={"code": access.new_code(), "next": wanted})
    assert answer.headers["location"] == "/nest/instances"
    answer = web.post("/nest/login", data={"code": access.new_code(), "next": "/nest/tokens"})
    assert answer.headers["location"] == "/nest/tokens"


def test_a_login_from_another_site_is_refused(web: TestClient, access: Access) -> None:
    code = access.new_code()
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert web.post("/nest/login", data={"code": code}, headers=headers).status_code in (400, 403)
    assert web.post("/nest/login", data={"code": code}).status_code == 303  # and nothing was used up


DANGEROUS = {
    "tokens": {"label": "x"},
    "instances/{id}/revoke": {"name": "swan"},
    "instances/{id}/exposure": {"act": "allow", "tool": "crow_store_memory"},
}


@pytest.mark.parametrize("path", DANGEROUS)
def test_what_is_dangerous_asks_again_who_is_there(
    signed_in: TestClient, access: Access, host: Host, path: str
) -> None:
    [swan] = full_nest.add_instances(host, 1)
    key, full = form_key(signed_in), "/nest/" + path.format(id=swan)
    with host.store.transaction() as transaction:
        transaction.db.execute_sql("UPDATE nest_sessions SET confirmed = confirmed - ?", (CONFIRMED_SECONDS,))
    refused = signed_in.post(full, data={**DANGEROUS[path], "form_key": key})
    assert refused.status_code == 409
    assert "that is not the password" in refused.text
    for password in ("nearly", ""):
        answer = signed_in.post(full, data={**DANGEROUS[path], "form_key": key, "password": password})
        assert answer.status_code == 409
    with host.read() as db:
        for table in ("assistant_tokens", "revocations", "federation_exposure"):
            assert db.execute_sql(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_a_tool_that_only_reads_opens_and_closes_without_the_password(signed_in: TestClient, host: Host) -> None:
    [swan] = full_nest.add_instances(host, 1)
    with host.store.transaction() as transaction:
        transaction.db.execute_sql("UPDATE nest_sessions SET confirmed = confirmed - ?", (CONFIRMED_SECONDS,))
    form = {"form_key": form_key(signed_in), "tool": "crow_memory_stats"}
    path = f"/nest/instances/{swan}"
    assert signed_in.post(f"{path}/exposure", data={**form, "act": "allow"}).status_code == 303
    assert "of this one" in signed_in.get(path).text
    exposure = host.services.find("tests", EXPOSURE)
    said = {row.tool: row for row in exposure.said(swan)}
    assert (said["crow_memory_stats"].allowed, said["crow_memory_stats"].writes) == (True, False)
    assert signed_in.post(f"{path}/exposure", data={**form, "act": "deny"}).status_code == 303
    assert not {row.tool: row for row in exposure.said(swan)}["crow_memory_stats"].allowed
    unknown = signed_in.post(f"{path}/exposure", data={**form, "act": "allow", "tool": "no_such_tool"})
    assert "there is no such tool here" in unknown.text


def test_a_form_without_its_key_or_from_another_site_changes_nothing(signed_in: TestClient, host: Host) -> None:
    key = form_key(signed_in)
    refused = [
        signed_in.post("/nest/tokens", data={"label": "x"}),
        signed_in.post("/nest/tokens", data={"label": "x", "form_key": "0" * 64}),
        signed_in.post("/nest/tokens", data={"label": "x", "form_key": key}, headers={"sec-fetch-site": "cross-site"}),
        signed_in.post("/nest/tokens", data={"label": "x", "form_key": key}, headers={"origin": "http://127.0.0.1:81"}),
        signed_in.post("/nest/tokens", json={"label": "x", "form_key": key}),
        signed_in.post("/nest/tokens", data={"label": "x" * 1_100_000, "form_key": key}),
    ]
    assert [answer.status_code for answer in refused] == [403, 403, 403, 403, 400, 400]
    assert (
        signed_in.post("/nest/tokens", data={"label": "x"}, headers={"origin": "http://evil.example"}).status_code
        == 403
    )
    with host.read() as db:
        assert db.execute_sql("SELECT count(*) FROM assistant_tokens").fetchone() == (0,)


def test_a_token_is_shown_once_and_can_be_ended(signed_in: TestClient) -> None:
    made = signed_in.post("/nest/tokens", data={"label": "desk", "form_key": form_key(signed_in)})
    found = re.search(r'class="token">(crow_[^<]+)<', made.text)
    assert found is not None
    assert found[1] not in signed_in.get("/nest/tokens").text


def test_signing_out_ends_the_session(signed_in: TestClient) -> None:
    [(name, cookie)] = signed_in.cookies.items()
    key = form_key(signed_in)
    assert signed_in.post("/nest/logout", data={"form_key": key}).status_code == 303
    signed_in.cookies.set(name, cookie, domain="127.0.0.1", path="/nest")
    assert signed_in.get("/nest/tokens").status_code == 303


def test_five_wrong_passwords_and_only_an_address_helps(access: Access) -> None:
    access.set_password(PASSWORD)
    for _ in range(TRIES_MAX):
        with pytest.raises(WrongPassword):
            access.sign_in_by_password("guess", "b")
    with pytest.raises(TooManyTries, match="crow nest login"):
        access.sign_in_by_password(PASSWORD, "b")
    assert access.sign_in_by_code(access.new_code(), "b")


def test_after_five_wrong_passwords_the_page_says_how_to_go_on(web: TestClient, access: Access) -> None:
    access.set_password(PASSWORD)
    for _ in range(TRIES_MAX):
        assert "that is not the password" in web.post("/nest/login", data={"password": "guess"}).text
    answer = web.post("/nest/login", data={"password": PASSWORD})
    assert answer.status_code == 403
    assert "wait 15 minutes, or sign in with: crow nest login" in answer.text
    assert web.post("/nest/login", data={"code": access.new_code()}).status_code == 303


def test_a_password_signs_in_and_changing_it_ends_all_sessions(web: TestClient, access: Access) -> None:
    access.set_password(PASSWORD)
    assert web.post("/nest/login", data={"password": "nearly"}).status_code == 403
    assert web.post("/nest/login", data={"password": PASSWORD}).status_code == 303
    assert web.get("/nest/tokens").status_code == 200
    access.set_password(PASSWORD + "!")
    assert web.get("/nest/tokens").status_code == 303


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
def test_a_password_that_is_no_password_is_refused(access: Access, password: str) -> None:
    with pytest.raises(Invalid, match="12 to 1024"):
        access.set_password(password)
    assert not access.has_password()


def test_secrets_stand_in_the_database_as_hashes_only(access: Access, home: Path) -> None:
    access.set_password(PASSWORD)
    code = access.new_code()
    cookie = access.sign_in_by_code(access.new_code(), "b")
    kept = b"".join(file.read_bytes() for file in home.glob("crow.db*"))
    assert not any(secret.encode() in kept for secret in (PASSWORD, code, cookie))


def test_a_code_that_never_was_is_unknown(access: Access) -> None:
    with pytest.raises(CodeUnknown):
        access.sign_in_by_code("never", "b")


def test_what_a_page_shows_of_a_plugin_that_is_off_is_one_sentence(signed_in: TestClient, host: Host) -> None:
    host.home.manifest.write_text('[[plugin]]\nname = "replicator"\nenabled = false\n')
    host.reload_manifest()
    answer = signed_in.get("/nest/conflicts")
    assert answer.status_code == 200
    assert "The plugin replicator is off" in answer.text


def test_a_person_gets_an_address_and_a_password_from_the_terminal(home: Path, tmp_path: Path) -> None:
    killed = {"pid": 1, "host": "127.0.0.1", "port": 3001, "plugins": []}
    (home / "gateway.json").write_text(json.dumps(killed))  # as a gateway leaves it that was killed
    said = crow(home, "nest", "login")
    assert "No gateway runs" in said.stdout
    assert "/nest/login?code=" in said.stdout
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    file.chmod(0o600)
    assert crow(home, "nest", "password", "--file", str(file)).returncode == 0
    assert "no terminal" in crow(home, "nest", "password").stderr
