"""What plugins offer one another: Protocols of a few methods, each found by a typed key.

A plugin looks services up in its own `setup` and hands them on by constructor:

    @hookimpl
    def setup(crow):
        crow.provide(MEMORIES, Memories(crow))
"""

from __future__ import annotations

from typing import Generic, TypeVar

Service = TypeVar("Service")


class ServiceKey(Generic[Service]):
    """Names a service and carries its type, so that a wrong implementation fails in the type checker."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"ServiceKey({self.name!r})"
