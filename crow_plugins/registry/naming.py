"""Finding an instance by what a person calls it: its id, its name, or an unambiguous beginning of either."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from crow_hooks import Instance, KnownInstance, NotFound, Refused

NEAREST = 3


class Ambiguous(Refused):
    """Several instances begin like that."""

    code = "ambiguous_instance"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"several instances begin like that: {', '.join(names)}; give more of the name")


class NameTaken(Refused):
    """Another instance has this name on this machine."""

    code = "instance_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"another instance is called {name} here; give this one another name")


def found(named: str, others: Sequence[KnownInstance], own: Instance) -> KnownInstance:
    """Raises `NotFound` naming the nearest, `Ambiguous`."""
    listed = [other for other in others if not other.hidden]
    exact = [other for other in listed if named in (other.instance.id, other.instance.name)]
    if exact:
        return exact[0]
    if named in (own.id, own.name):
        raise NotFound("that is this instance itself; name another one")
    begun = [other for other in listed if named and other.instance.name.startswith(named)]
    begun = begun or [other for other in listed if named and other.instance.id.startswith(named)]
    if len(begun) > 1:
        raise Ambiguous([other.instance.name for other in begun])
    if not begun:
        raise NotFound(_unknown(named, [other.instance.name for other in listed]))
    return begun[0]


def _unknown(named: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(named, names, NEAREST, cutoff=0.4)
    if near:
        return f"no instance is called that; did you mean {' or '.join(near)}?"
    return (
        f"no instance is called that; known are {', '.join(names)}" if names else "no other instance is known here yet"
    )
