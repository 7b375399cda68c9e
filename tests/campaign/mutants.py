"""Named mutants: each check of the pipeline, the tokens and the identity taken away, and the test that sees it.

A mutant is a piece of a function's source and what stands there without the check. It is taken away in a process of
its own, which then runs the one test that must fail. A mutant that survives is a hole in the tests; one whose piece of
source is no longer there, or stands there twice, is an error.

`python -m tests.campaign.mutants [ROOM…]` runs all of them, or those of some modules.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import IO

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 120.0  # for the one test of a mutant
AT_ONCE = 2
# What almost every test needs; made ready once, since each mutant's process is a copy of this one.
NEEDED = ("crow_plugins.gateway", "crow_plugins.testing.chain", "hypothesis", "httpx2", "pytest", "uvicorn")


@dataclass(frozen=True, slots=True)
class Mutant:
    """`code` stands once in the module, within functions; `instead` is put there, and `test` must fail."""

    name: str
    module: str
    code: str
    instead: str
    test: str

    @property
    def file(self) -> Path:
        return ROOT / (self.module.replace(".", "/") + ".py")

    def changed_source(self) -> str:
        """Raises `DoesNotApply`."""
        source = self.file.read_text()
        if source.count(self.code) != 1:
            raise DoesNotApply(self, f"its code stands {source.count(self.code)} times in {self.module}")
        return source.replace(self.code, self.instead)


class DoesNotApply(Exception):
    """The code has moved on from what a mutant takes away."""

    def __init__(self, mutant: Mutant, why: str) -> None:
        super().__init__(f"{mutant.name}: {why}; say anew what it takes away")


def never(condition: str) -> tuple[str, str]:
    """A refusal that never happens."""
    return f"if {condition}:", "if False:"


def guards(module: str, test: str, *taken: tuple[str, tuple[str, str]]) -> list[Mutant]:
    """Mutants of one module that one test sees: the name of each, and its code with what stands there instead."""
    return [Mutant(name, module, code, instead, test) for name, (code, instead) in taken]


# ---- taking away --------------------------------------------------------------------------------


def take_away(mutant: Mutant) -> None:
    """Change the functions of this process, whoever holds them already. Raises `DoesNotApply`."""
    module = importlib.import_module(mutant.module)
    living = _functions(module)
    changed = 0
    before, after = (
        list(_codes(compile(source, str(mutant.file), "exec", dont_inherit=True)))
        for source in (mutant.file.read_text(), mutant.changed_source())
    )
    for old, new in zip_longest(before, after):
        if old is None or new is None or old.co_qualname != new.co_qualname:
            raise DoesNotApply(mutant, "it adds or removes functions")
        if _says(old) != _says(new):
            for function in living.get((old.co_qualname, old.co_firstlineno), ()):
                function.__code__ = new
                changed += 1
    if not changed:
        raise DoesNotApply(mutant, "no function of the module has that code")


def _functions(module: ModuleType) -> dict[tuple[str, int], list[FunctionType]]:
    """Every function made from a module's source, by its name and line: also those that are wrapped or bound."""
    found: dict[tuple[str, int], list[FunctionType]] = {}
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__module__ == module.__name__:
            code = each.__code__
            if code.co_filename == module.__file__:
                found.setdefault((code.co_qualname, code.co_firstlineno), []).append(each)
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The functions of a module and of its classes; what stands within a function is a part of it."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & inspect.CO_OPTIMIZED:
                yield constant
            else:
                yield from _codes(constant)


def _says(code: CodeType) -> tuple[object, ...]:
    """What a function does, whatever line it stands at."""
    constants = [_says(each) if isinstance(each, CodeType) else (type(each), each) for each in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, constants


# ---- running ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    """`seen`: the test failed, as it must; else what came instead of it."""

    mutant: Mutant
    seen: bool
    said: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Running:
    """A process that runs the test of a mutant, and what it writes."""

    mutant: Mutant
    process: int
    output: IO[bytes]
    begun: float

    def result(self) -> Result | None:
        """None while it runs."""
        seconds = time.monotonic() - self.begun
        ended, status = os.waitpid(self.process, os.WNOHANG)
        if not ended:
            if seconds > SECONDS_MAX:
                os.kill(self.process, signal.SIGKILL)
            return None
        self.output.seek(0)
        said = self.output.read().decode(errors="replace")
        self.output.close()
        code = os.waitstatus_to_exitcode(status)
        words = {1: "", 0: "it survived: the test passes without the check"}.get(code, f"status {code}: {said[-2000:]}")
        return Result(self.mutant, code == 1, words, seconds)


def run_all(mutants: Iterable[Mutant], at_once: int = AT_ONCE) -> Iterator[Result]:
    """The results as they come. No thread is started here, since a copy of a process has one only."""
    for name in NEEDED:
        importlib.import_module(name)
    waiting, running = list(mutants)[::-1], list[Running]()
    while waiting or running:
        while waiting and len(running) < at_once:
            running.append(_started(waiting.pop()))
        time.sleep(0.005)
        results = {each.process: each.result() for each in running}
        running = [each for each in running if results[each.process] is None]
        yield from (result for result in results.values() if result is not None)


def _started(mutant: Mutant) -> Running:
    output = tempfile.TemporaryFile()  # noqa: SIM115  # closed with its result
    process = os.fork()
    if process == 0:
        os._exit(_run_here(mutant, output.fileno()))
    return Running(mutant, process, output, time.monotonic())


def _run_here(mutant: Mutant, output: int) -> int:
    """In a process of its own: pytest's status, or 99 when the mutant does not apply."""
    import pytest

    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        take_away(mutant)
        return int(
            pytest.main([str(ROOT / mutant.test), "-xq", "--tb=short", "--assert=plain", "-p", "no:cacheprovider"])
        )
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 99


def main(arguments: Sequence[str]) -> int:
    from tests.campaign.guards import MUTANTS

    rooms = {each.module.rpartition(".")[2] for each in MUTANTS}
    if unknown := set(arguments) - rooms:
        sys.exit(f"there is no room {', '.join(sorted(unknown))}; there are {', '.join(sorted(rooms))}")
    wanted = [each for each in MUTANTS if not arguments or each.module.rpartition(".")[2] in arguments]
    survived = 0
    for result in run_all(wanted):
        name = f"{result.mutant.module.removeprefix('crow_plugins.')}: {result.mutant.name}"
        print(f"{'seen    ' if result.seen else 'NOT SEEN'} {result.seconds:5.1f} s  {name} {result.said}", flush=True)
        survived += not result.seen
    print(f"{len(wanted)} mutants, {survived} not seen")
    return 1 if survived else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
