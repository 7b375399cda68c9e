"""Requests and answers of the Nest: who is asking, may it change anything, and pages as HTML.

Every page says itself what a browser may load with it, and nothing may come from elsewhere. A change is a POST from a
form of this very page, by a browser that is signed in. Text is escaped wherever it comes from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from crow_hooks import Crow, CrowError
from crow_plugins import wording
from crow_plugins.nest.access import Access, Session
from crow_plugins.nest.house import PluginOff
from crow_plugins.nest.wording import settled

if TYPE_CHECKING:
    from jinja2 import Environment, Template

ROOT = "/nest"
BODY_BYTES_MAX = 1024 * 1024  # a merge of the largest row, as forms spell it
FIELDS_MAX = 200
HERE = Path(__file__).parent

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}

Form = Mapping[str, str]
Asks = Literal["nothing", "password", "address"]


class BadForm(CrowError):
    """A form that is not ours, or too long."""

    code = "bad_form"

    def __init__(self) -> None:
        super().__init__("this form cannot be taken; load the page again and send it anew")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a browser that is signed in; `form` is what it posted."""

    request: Request
    session: Session
    form: Form

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        return self.request.query_params.get(name)


Handler = Callable[[Visit], Awaitable[Response]]


class Web:
    """Makes endpoints of handlers, and pages of templates."""

    def __init__(self, crow: Crow, access: Access, name: str, links: Callable[[], list[tuple[str, str]]]) -> None:
        """`name` is the instance's; `links` are the pages, as pairs of path and title."""
        self._crow, self.access, self._name, self._links = crow, access, name, links
        # Cookies know no ports: two gateways on one machine must not sign each other's browsers out.
        self.cookie = f"crow_nest_{crow.instance.id[:8]}"

    @cached_property
    def templates(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader  # with the first page: a gateway starts without

        templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
        templates.filters.update(
            number=wording.number,
            exact=wording.exact,
            iso=wording.iso,
            called=lambda conflict: wording.called(conflict["local"], conflict["row_id"]),
            settled=settled,
            path=lambda text: quote(str(text), safe=""),
        )
        templates.globals.update(plural=wording.plural)
        return templates

    def templates_in(self, folder: Path) -> Environment:
        """A plugin's own templates; they may extend `page.html` and use `parts.html` of ours."""
        from jinja2 import ChoiceLoader, FileSystemLoader

        ours = self.templates.loader
        assert ours is not None
        return self.templates.overlay(loader=ChoiceLoader([FileSystemLoader(folder), ours]))

    def view(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A page for those who are signed in; others are led to the login."""

        async def endpoint(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return redirect(f"{ROOT}/login?next={quote(request.url.path)}")
            return await self._answered(handler, Visit(request, session, {}))

        return endpoint

    def action(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A change, from a form of ours."""

        async def endpoint(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return redirect(f"{ROOT}/login")
            try:
                form = await posted(request)
            except BadForm as error:
                return self._refused(request, 400, session, error)
            if not from_here(request) or form.get("form_key") != session.form_key:
                return self._refused(request, 403, session, BadForm())
            return await self._answered(handler, Visit(request, session, form))

        return endpoint

    def page(
        self, request: Request, template: str | Template, status: int = 200, *, session: Session | None, **context: Any
    ) -> HTMLResponse:
        now = self._crow.now()
        text = self.templates.get_template(template).render(
            instance=self._name,
            links=self._links() if session else [],
            here=request.url.path,
            form_key=session.form_key if session else "",
            now=now,
            ago=lambda at: wording.ago(at, now),
            done=request.query_params.get("done"),
            **context,
        )
        return HTMLResponse(text, status, headers=HEADERS)

    def shown(self, visit: Visit, template: str | Template, **context: Any) -> HTMLResponse:
        return self.page(visit.request, template, session=visit.session, **context)

    async def asks(self, visit: Visit) -> Asks:
        """What a dangerous act asks for: nothing soon after signing in; else the password, where one is set."""
        if visit.session.fresh:
            return "nothing"
        return "password" if await asyncio.to_thread(self.access.has_password) else "address"

    def _refused(self, request: Request, status: int, session: Session, error: CrowError) -> Response:
        back = came_from(request)
        return self.page(request, "message.html", status, session=session, sentence=str(error), back=back)

    async def _answered(self, handler: Handler, visit: Visit) -> Response:
        try:
            return await handler(visit)
        except PluginOff as error:  # nothing went wrong: this is what the page has to say
            return self.shown(visit, "off.html", sentence=str(error))
        except CrowError as error:
            return self._refused(visit.request, 409, visit.session, error)

    async def _session(self, request: Request) -> Session | None:
        return await asyncio.to_thread(self.access.session, request.cookies.get(self.cookie), browser(request))


def redirect(path: str, done: str | None = None) -> RedirectResponse:
    """To a page of ours, with a word on what was done."""
    target = path if done is None else f"{path}?done={quote(done)}"
    return RedirectResponse(target, 303, headers={"Cache-Control": "no-store"})


def browser(request: Request) -> str:
    """What a browser says it is: a cookie that was taken to another one is worth nothing there."""
    return request.headers.get("user-agent", "")


def from_here(request: Request) -> bool:
    """Whether a page of this gateway sent it; browsers say so, and pages cannot make them lie."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def ours(path: str | None) -> str | None:
    """The path, if it is one of a page of ours; a link may say any."""
    return path if path and path.startswith(f"{ROOT}/") and "\\" not in path and ".." not in path else None


def came_from(request: Request) -> str:
    """The page on which a form was filled in, as far as the browser says."""
    return ours(urlsplit(request.headers.get("referer", "")).path) or f"{ROOT}/"


async def posted(request: Request) -> Form:
    """The fields of a form, each once. Raises `BadForm`."""
    if request.headers.get("content-type", "").split(";")[0] != "application/x-www-form-urlencoded":
        raise BadForm
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise BadForm
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise BadForm from error
    return dict(pairs)
