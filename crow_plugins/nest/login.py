"""Signing in: by an address that works once, or by the password; and out again."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from crow_hooks import CrowError
from crow_plugins.nest.access import AccessRefused
from crow_plugins.nest.web import ROOT, BadForm, Form, Visit, Web, browser, from_here, ours, posted, redirect

START = f"{ROOT}/instances"


class Login:
    def __init__(self, web: Web) -> None:
        self._web = web

    async def show(self, request: Request) -> Response:
        """Where an address brings its code, a click is asked for: programs that look at links do not use it up."""
        has_password = await asyncio.to_thread(self._web.access.has_password)
        code = request.query_params.get("code")
        wanted = request.query_params.get("next")
        return self._page(request, code=code, has_password=has_password, sentence=None, next=wanted)

    async def sign_in(self, request: Request) -> Response:
        has_password = await asyncio.to_thread(self._web.access.has_password)
        try:
            if not from_here(request):
                raise BadForm
            form = await posted(request)
            cookie = await self._cookie(form, browser(request))
        except AccessRefused as error:
            return self._page(request, 403, code=None, has_password=has_password, sentence=str(error))
        except CrowError as error:
            return self._page(request, 400, code=None, has_password=has_password, sentence=str(error))
        answer = redirect(ours(form.get("next")) or START)
        secure = request.url.scheme == "https"
        answer.set_cookie(self._web.cookie, cookie, path=ROOT, httponly=True, samesite="strict", secure=secure)
        return answer

    async def sign_out(self, visit: Visit) -> Response:
        await asyncio.to_thread(self._web.access.sign_out, visit.session)
        answer = redirect(f"{ROOT}/login")
        answer.delete_cookie(self._web.cookie, path=ROOT)
        return answer

    async def _cookie(self, form: Form, browser: str) -> str:
        code, password = form.get("code"), form.get("password", "")
        if code is not None:
            return await asyncio.to_thread(self._web.access.sign_in_by_code, code, browser)
        return await asyncio.to_thread(self._web.access.sign_in_by_password, password, browser)

    def _page(self, request: Request, status: int = 200, **context: object) -> Response:
        return self._web.page(request, "login.html", status, session=None, **context)
