"""Who gets into the Nest, who may change anything, and what a page may load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from crow_hooks import Invalid
from crow_plugins.gateway import application
from crow_plugins.host import Host
from crow_plugins.nest.access import TRIES_MAX, Access, CodeUnknown, TooManyTries, WrongPassword
from tests.gateway_process import crow

BROWSER = {"user-agent": "a browser"}
BASE = "http://127.0.0.1"
PAGES = ("instances", "conflicts", "sync", "plugins", "audit", "tokens")
PASSWORD = "correct horse battery"


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


@pytest.mark.parametrize("page", PAGES)
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
    said = crow(home, "nest", "login")
    assert "No gateway runs" in said.stdout
    assert "/nest/login?code=" in said.stdout
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    file.chmod(0o600)
    assert crow(home, "nest", "password", "--file", str(file)).returncode == 0
    assert "no terminal" in crow(home, "nest", "password").stderr
