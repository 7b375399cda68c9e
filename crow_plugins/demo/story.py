"""The story that `crow demo` tells, as it happens: every line stands for something that has just been done and seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from crow_hooks import CrowError
from crow_plugins.demo.machines import Machine
from crow_plugins.host import Host
from crow_plugins.memories.memories import Memories

SECONDS_MAX = 60.0
LOOK_SECONDS = 0.05
TEA = "Tea is drunk at four"

Tell = Callable[[str], None]


class DidNotHappen(CrowError):
    """Something of the story did not come about."""

    code = "demo_did_not_happen"

    def __init__(self, what: str) -> None:
        super().__init__(f"the demonstration waited a minute and did not see {what}; this machine may be very busy")


async def story(grackle: Machine, swan: Machine, heron: Machine, act: Tell, tell: Tell) -> dict[str, object]:
    """Tell it with real machines; returns what came of it."""
    act("One person, three machines")
    for machine in (grackle, swan, heron):
        await asyncio.to_thread(machine.start)
        tell(f"{machine.name} answers at {machine.url}")
    await _meet(grackle, swan, heron, tell)
    act("What is written on one is on all")
    memory_id = await _write(grackle, swan, heron, tell)
    act("Two machines change one memory without seeing each other")
    conflict_id = await _differ(grackle, swan, memory_id, tell)
    act("One word settles it, everywhere")
    await _settle(grackle, swan, heron, conflict_id, memory_id, tell)
    act("One question to all machines")
    asked = await _ask(heron, tell)
    return {"memory": memory_id, "conflict": conflict_id, "asked": asked}


async def _meet(grackle: Machine, swan: Machine, heron: Machine, tell: Tell) -> None:
    for one, other in ((grackle, swan), (grackle, heron), (swan, heron)):
        await one.call("crow_register_instance", gateway_url=other.url)
        tell(f"{one.name} and {other.name} have shown each other that they are of one chain")

    async def all_known() -> bool:
        lists = [await machine.call("crow_list_instances") for machine in (grackle, swan, heron)]
        return all(len(each["items"]) >= 2 for each in lists)

    await _seen(all_known, "every machine know the others")


async def _write(grackle: Machine, swan: Machine, heron: Machine, tell: Tell) -> str:
    memory = await grackle.call("crow_store_memory", content=TEA, category="house")
    tell(f"{grackle.name} remembers: {TEA}")
    began = time.monotonic()
    for machine in (swan, heron):
        await _seen(_reads(machine, memory["id"], TEA), f"the memory on {machine.name}")
    tell(f"swan and heron have it {(time.monotonic() - began) * 1000:.0f} ms later, in databases of their own")
    return str(memory["id"])


async def _differ(grackle: Machine, swan: Machine, memory_id: str, tell: Tell) -> str:
    await asyncio.to_thread(swan.stop)
    tell(f"{swan.name}'s gateway stops: it is on a train")
    await asyncio.to_thread(_changed_while_off, swan, memory_id, "Tea is drunk at five")
    tell(f"{swan.name} writes: Tea is drunk at five")
    await grackle.call("crow_update_memory", id=memory_id, content="Coffee is drunk at four")
    tell(f"{grackle.name} writes: Coffee is drunk at four")
    await asyncio.to_thread(swan.start)
    tell(f"{swan.name} is back")

    async def conflicts() -> list[str]:
        return await _open_conflicts(grackle)

    [conflict_id] = await _seen(conflicts, "the conflict")
    tell("Both versions are kept: one is shown, and a conflict holds the other, with the same id on every machine")
    return str(conflict_id)


async def _settle(
    grackle: Machine, swan: Machine, heron: Machine, conflict_id: str, memory_id: str, tell: Tell
) -> None:
    both = "Coffee is drunk at four, tea at five"
    await grackle.call(
        "crow_resolve_conflict", conflict_id=conflict_id, resolution="merge", merged_data={"content": both}
    )
    tell(f"At {grackle.name} somebody says: {both}")
    for machine in (swan, heron):
        await _seen(_reads(machine, memory_id, both), f"the resolution on {machine.name}")

    async def all_settled() -> bool:
        return not any([await _open_conflicts(machine) for machine in (grackle, swan, heron)])

    await _seen(all_settled, "the end of the conflict on every machine")
    tell("swan and heron say the same, and no conflict is open anywhere")


async def _ask(heron: Machine, tell: Tell) -> dict[str, Any]:
    found = await heron.call("crow_federated_search", query="tea")
    tell(f"{heron.name} asks: tea")
    for each in found["instances"]:
        tell(f"{each['name']} is asked: {each['status']}")
    for hit in found["items"]:
        tell(f"Found: {hit['title']}, which {' and '.join(hit['held_by'])} have")
    return found


async def _open_conflicts(machine: Machine) -> list[str]:
    return [each["id"] for each in (await machine.call("crow_list_conflicts"))["items"]]


def _reads(machine: Machine, memory_id: str, content: str) -> Callable[[], Awaitable[bool]]:
    async def reads() -> bool:
        items = (await machine.call("crow_search_memories", query=content))["items"]
        return any(each["id"] == memory_id and each["content"] == content for each in items)

    return reads


def _changed_while_off(machine: Machine, memory_id: str, content: str) -> None:
    """Write as a person at the terminal does, with no gateway running."""
    with Host(machine.home) as host:
        Memories(host.handle("memories")).update(memory_id, {"content": content})


async def _seen(true: Callable[[], Awaitable[Any]], what: str) -> Any:
    """What `true` gives once it is anything."""
    until = time.monotonic() + SECONDS_MAX
    while not (found := await true()):
        if time.monotonic() > until:
            raise DidNotHappen(what)
        await asyncio.sleep(LOOK_SECONDS)
    return found
