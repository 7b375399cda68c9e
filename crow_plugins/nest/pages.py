"""Which pages there are, and where each stands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.staticfiles import StaticFiles

from crow_hooks import REPLICATION, Crow, CrowError, NestPage, NotFound
from crow_plugins.dispatch import BadPlugin
from crow_plugins.nest import conflicts, instances, plugins, records, sync, tokens
from crow_plugins.nest.access import Access
from crow_plugins.nest.house import House, PluginOff
from crow_plugins.nest.live import Live
from crow_plugins.nest.login import START, Login
from crow_plugins.nest.web import HERE, ROOT, Visit, Web, redirect
from crow_plugins.premises import Premises

log = logging.getLogger(__name__)

OURS = [
    (instances.PAGE, "Instances"),
    (conflicts.PAGE, "Conflicts"),
    (sync.PAGE, "Sync"),
    (plugins.PAGE, "Plugins"),
    (records.SUMMARIES_PAGE, "Summaries"),
    (records.AUDIT_PAGE, "Audit"),
    (tokens.PAGE, "Tokens"),
]


def routes(crow: Crow, premises: Premises) -> Sequence[BaseRoute]:
    """All routes of the Nest."""
    added = premises.contributions("register_nest_pages", NestPage)

    def links() -> list[tuple[str, str]]:
        on = [page for plugin, page in added if premises.is_enabled(plugin)]
        return [*OURS, *((f"{ROOT}/{page.path.strip('/')}", page.title) for page in on)]

    web = Web(crow, Access(crow), crow.instance.name, links)
    ours = [
        *_signing_in(web),
        *_ours(crow, premises, web),
        Mount(f"{ROOT}/static", StaticFiles(directory=HERE / "static")),
    ]
    return [*ours, *(_theirs(crow, premises, web, plugin, page, ours) for plugin, page in added)]


def _signing_in(web: Web) -> list[BaseRoute]:
    login = Login(web)

    async def start(request: Request) -> Response:
        return redirect(START)

    return [
        Route(ROOT, start),
        Route(f"{ROOT}/", start),
        Route(f"{ROOT}/login", login.show),
        Route(f"{ROOT}/login", login.sign_in, methods=["POST"]),
        Route(f"{ROOT}/logout", web.action(login.sign_out), methods=["POST"]),
    ]


def _ours(crow: Crow, premises: Premises, web: Web) -> list[BaseRoute]:
    house = House(crow, premises)
    view, action = web.view, partial(_action, web)
    about = instances.Instances(crow, web, house)
    settling = conflicts.Conflicts(crow, web, house, premises)
    progress = sync.Sync(crow, web, house)
    switches = plugins.Plugins(web, premises)
    kept = records.Records(crow, web, house)
    grants = tokens.Tokens(crow, web)
    databases = [premises.home.database, premises.home.folder / "audit.db"]
    live = Live(databases, lambda: (_connected(crow), _enabled(premises)), progress.sample)
    return [
        Route(instances.PAGE, view(about.show)),
        action(f"{instances.PAGE}/register", about.register),
        Route(instances.PAGE + "/{id}", view(about.one)),
        action(instances.PAGE + "/{id}/check", about.check),
        action(instances.PAGE + "/{id}/sync", about.sync),
        action(instances.PAGE + "/{id}/update", about.update),
        action(instances.PAGE + "/{id}/exposure", about.expose),
        action(instances.PAGE + "/{id}/remove", about.remove),
        Route(instances.PAGE + "/{id}/revoke", view(about.ask_to_revoke)),
        action(instances.PAGE + "/{id}/revoke", about.revoke),
        Route(conflicts.PAGE, view(settling.list)),
        Route(conflicts.PAGE + "/{id}", view(settling.show)),
        action(conflicts.PAGE + "/{id}", settling.resolve),
        Route(sync.PAGE, view(progress.show)),
        action(f"{sync.PAGE}/now", progress.now),
        Route(plugins.PAGE, view(switches.show)),
        action(plugins.PAGE + "/{name}", switches.switch),
        Route(records.SUMMARIES_PAGE, view(kept.summaries)),
        action(f"{records.SUMMARIES_PAGE}/refresh", kept.refresh),
        Route(records.AUDIT_PAGE, view(kept.audit)),
        Route(tokens.PAGE, view(grants.show)),
        action(tokens.PAGE, grants.create),
        action(tokens.PAGE + "/{id}/revoke", grants.revoke),
        Route(f"{ROOT}/live", view(live.stream)),
    ]


def _theirs(
    crow: Crow, premises: Premises, web: Web, plugin: str, page: NestPage, ours: Sequence[BaseRoute]
) -> BaseRoute:
    """A page of another plugin: its template, with what its own function says."""
    path = f"{ROOT}/{page.path.strip('/')}"
    if any(route.matches({"type": "http", "method": "GET", "path": path})[0] is not Match.NONE for route in ours):
        raise BadPlugin(plugin, f"the page {page.path} is one of the Nest already")
    handle, templates = premises.handle(plugin), web.templates_in(page.templates)

    async def show(visit: Visit) -> Response:
        if not premises.is_enabled(plugin):
            raise PluginOff(plugin)
        try:
            template = templates.get_template(page.template)
            return web.shown(visit, template, title=page.title, **await asyncio.to_thread(page.context, handle))
        except CrowError:
            raise
        except Exception as error:  # other people's code
            log.exception("page failed plugin=%s path=%s", plugin, page.path)
            raise BrokenPage(plugin, page.title) from error

    return Route(path, web.view(show))


class BrokenPage(CrowError):
    """A plugin's page cannot be made."""

    code = "broken_page"

    def __init__(self, plugin: str, title: str) -> None:
        super().__init__(f"the page {title} of the plugin {plugin} could not be made; the log says why: crow logs")


def _action(web: Web, path: str, handler: object) -> BaseRoute:
    return Route(path, web.action(handler), methods=["POST"])  # type: ignore[arg-type]  # one of the handlers above


def _enabled(premises: Premises) -> frozenset[str]:
    return frozenset(plugin.name for plugin in premises.manifest.plugins if premises.is_enabled(plugin.name))


def _connected(crow: Crow) -> object:
    try:
        return crow.service(REPLICATION).connected()
    except NotFound:
        return None
