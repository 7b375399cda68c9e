"""The registry's MCP tools and resources. No tool handles keys, invitations or revocations: those are human acts."""

from __future__ import annotations

import json
from typing import Annotated

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from crow_hooks import Instance, KnownInstance, NotFound, Role, Status
from crow_plugins.outbound import urls
from crow_plugins.outbound.urls import URL_CHARACTERS_MAX
from crow_plugins.registry.registering import Registering
from crow_plugins.registry.registry import Registry

NAME_MAX = 64

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
CALLS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
REMOVES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

URL = Field(min_length=1, max_length=URL_CHARACTERS_MAX, description="Where its gateway answers, as http://host:3001.")
URL_OR_NONE = Field(max_length=URL_CHARACTERS_MAX, description="Where its gateway answers; empty: never call it.")
INSTANCE = Field(min_length=1, max_length=NAME_MAX, description="Its name, its id, or a beginning of either.")
NAME = Field(min_length=1, max_length=NAME_MAX, description="What to call it on this machine.")


class InstanceAnswer(BaseModel):
    """One instance of the chain; `status` is what was seen last. Times in unix seconds."""

    id: str
    name: str
    role: str
    gateway_url: str | None
    status: str
    last_seen: int | None
    created_at: int | None
    revoked: bool
    own: bool


class InstanceList(BaseModel):
    """The instances of the chain, this one first."""

    items: list[InstanceAnswer]
    total: int


class CheckAnswer(BaseModel):
    """What came of probing an instance now."""

    id: str
    name: str
    reachable: bool
    reason: str | None


def registry_tools(own: Instance, registry: Registry, registering: Registering) -> FastMCP:
    server = FastMCP("crow-registry", mask_error_details=True)
    _add_reading(server, own, registry, registering)
    _add_changing(server, registry, registering)
    _add_resources(server, own, registry)
    return server


def listed(own: Instance, registry: Registry, status: Status | None = None) -> InstanceList:
    """This instance and the others, as lists show them."""
    others = [other for other in registry.others() if not other.hidden and status in (None, other.status)]
    ours = [_own(own, registry.own_url())] if status in (None, "online") else []
    items = [*ours, *map(answer, others)]
    return InstanceList(items=items, total=len(items))


def answer(known: KnownInstance) -> InstanceAnswer:
    return InstanceAnswer(
        id=known.instance.id,
        name=known.instance.name,
        role=known.instance.role,
        gateway_url=known.gateway_url,
        status=known.status,
        last_seen=known.last_seen,
        created_at=known.created_at,
        revoked=known.revoked,
        own=False,
    )


def line(item: InstanceAnswer) -> str:
    state = "this machine" if item.own else "revoked" if item.revoked else item.status
    return f"{item.name} ({item.role}, {state}) {item.gateway_url or 'no address'} [{item.id}]"


def _add_reading(server: FastMCP, own: Instance, registry: Registry, registering: Registering) -> None:
    @server.tool(annotations=READS, output_schema=InstanceList.model_json_schema())
    def crow_list_instances(
        status: Annotated[Status | None, Field(description="Only those last seen like that.")] = None,
    ) -> ToolResult:
        """List this person's machines that run Crow, this one first."""
        found = listed(own, registry, status)
        return ToolResult(content="\n".join(map(line, found.items)), structured_content=found.model_dump())

    @server.tool(annotations=READS, output_schema=InstanceAnswer.model_json_schema())
    def crow_get_instance(instance: Annotated[str, INSTANCE]) -> ToolResult:
        """What is known of one instance."""
        if instance in (own.id, own.name):
            return _one(_own(own, registry.own_url()))
        return _one(answer(registry.find(instance)))

    @server.tool(annotations=CALLS)
    async def crow_check_instance(instance: Annotated[str, INSTANCE]) -> CheckAnswer:
        """Look now whether an instance can be reached, and is who it should be."""
        known = registry.find(instance)
        error = await registering.check(known)
        reason = None if error is None else str(error)
        return CheckAnswer(id=known.instance.id, name=known.instance.name, reachable=error is None, reason=reason)


def _add_changing(server: FastMCP, registry: Registry, registering: Registering) -> None:
    @server.tool(annotations=ADDS, output_schema=InstanceAnswer.model_json_schema())
    async def crow_register_instance(
        gateway_url: Annotated[str, URL],
        name: Annotated[str | None, NAME] = None,
        role: Annotated[
            Role | None, Field(description="What it is here; what its certificate says if left out.")
        ] = None,
    ) -> ToolResult:
        """Register another of this person's machines by its address; it registers this one in turn."""
        return _one(answer(await registering.register(gateway_url, name, role)))

    @server.tool(annotations=CHANGES, output_schema=InstanceAnswer.model_json_schema())
    def crow_update_instance(
        instance: Annotated[str, INSTANCE],
        name: Annotated[str | None, NAME] = None,
        gateway_url: Annotated[str | None, URL_OR_NONE] = None,
    ) -> ToolResult:
        """Change what an instance is called here, or where it is reached."""
        known = registry.find(instance)
        url = urls.parse(gateway_url).text if gateway_url else gateway_url
        return _one(answer(registry.update(known.instance.id, name=name, gateway_url=url)))

    @server.tool(annotations=REMOVES, output_schema=InstanceAnswer.model_json_schema())
    def crow_remove_instance(instance: Annotated[str, INSTANCE]) -> ToolResult:
        """Take an instance off this machine's list until it is registered again; it stays trusted."""
        known = registry.find(instance)
        registry.hide(known.instance.id)
        return _one(answer(known))


def _add_resources(server: FastMCP, own: Instance, registry: Registry) -> None:
    @server.resource("crow://instances", mime_type="application/json")
    def instances() -> str:
        """The instances of the chain, as JSON."""
        return listed(own, registry).model_dump_json()

    @server.resource("crow://instances/{id}", mime_type="application/json")
    def instance(id: str) -> str:
        """One instance, as JSON."""
        for item in listed(own, registry).items:
            if item.id == id:
                return json.dumps(item.model_dump(), ensure_ascii=False)
        raise NotFound(f"no instance {id}; list them with crow_list_instances")


def _own(own: Instance, url: str | None) -> InstanceAnswer:
    return InstanceAnswer(
        id=own.id,
        name=own.name,
        role=own.role,
        gateway_url=url,
        status="online",
        last_seen=None,
        created_at=None,
        revoked=False,
        own=True,
    )


def _one(item: InstanceAnswer) -> ToolResult:
    return ToolResult(content=line(item), structured_content=item.model_dump())
