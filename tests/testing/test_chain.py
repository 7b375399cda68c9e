"""The chain that plugin authors test with: what is written on one instance is on all, unless it is parted."""

from __future__ import annotations

import pytest
from fastmcp.exceptions import ToolError

from crow_plugins.testing import Chain, Instance, NotSettled


def contents(instance: Instance) -> list[str]:
    return [row[0] for row in instance.rows("SELECT content FROM memories ORDER BY content")]


def test_what_is_written_on_one_is_on_the_others(crow_chain: Chain) -> None:
    grackle, swan, heron = (crow_chain.add(name) for name in ("grackle", "swan", "heron"))
    grackle.call("crow_store_memory", content="tea")
    heron.call("crow_store_memory", content="milk")
    crow_chain.settle()
    for each in (grackle, swan, heron):
        assert contents(each) == ["milk", "tea"]


def test_parted_instances_differ_until_they_are_connected_again(crow_chain: Chain) -> None:
    grackle, swan = crow_chain.add("grackle"), crow_chain.add("swan")
    memory = grackle.call("crow_store_memory", content="tea")
    crow_chain.settle()
    crow_chain.part(grackle, swan)
    grackle.call("crow_update_memory", id=memory["id"], content="coffee")
    swan.call("crow_update_memory", id=memory["id"], content="milk")
    crow_chain.settle()
    assert (contents(grackle), contents(swan)) == (["coffee"], ["milk"])
    crow_chain.connect()
    crow_chain.settle()
    [conflict] = grackle.conflicts()
    assert [each["id"] for each in swan.conflicts()] == [conflict["id"]]
    grackle.resolve(conflict["id"], "merge", content="coffee with milk")
    crow_chain.settle()
    assert contents(swan) == ["coffee with milk"]
    assert swan.conflicts() == []


def test_what_goes_through_a_third_one_arrives(crow_chain: Chain) -> None:
    grackle, swan, heron = (crow_chain.add(name) for name in ("grackle", "swan", "heron"))
    crow_chain.part()
    crow_chain.connect(grackle, swan)
    crow_chain.connect(swan, heron)
    grackle.call("crow_store_memory", content="by way of swan")
    crow_chain.settle()
    assert contents(heron) == ["by way of swan"]


def test_what_is_held_up_arrives_when_it_is_released(crow_chain: Chain) -> None:
    grackle, swan = crow_chain.add("grackle"), crow_chain.add("swan")
    crow_chain.settle()
    crow_chain.hold(grackle, swan)
    grackle.call("crow_store_memory", content="tea")
    with pytest.raises(NotSettled, match="swan has 0 of 1 entries"):
        crow_chain.settle(seconds_max=0.2)
    crow_chain.release(grackle, swan)
    crow_chain.settle()
    assert contents(swan) == ["tea"]


def test_each_instance_has_a_clock_of_its_own(crow_chain: Chain) -> None:
    grackle, swan = crow_chain.add("grackle"), crow_chain.add("swan")
    grackle.clock.advance(3600)
    later = grackle.call("crow_store_memory", content="tea")["updated_at"]
    sooner = swan.call("crow_store_memory", content="milk")["updated_at"]
    assert later - sooner == 3600


def test_a_tool_that_refuses_raises(crow_chain: Chain) -> None:
    with pytest.raises(ToolError, match="not_found"):
        crow_chain.add("grackle").call("crow_get_memory", id="00000000-0000-4000-8000-000000000000")
