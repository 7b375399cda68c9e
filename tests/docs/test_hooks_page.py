"""The reference of the hooks, the handle and the settings says what the contract is: signatures, names, examples."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastmcp import FastMCP
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from crow_hooks import (
    Change,
    Check,
    Command,
    Conflict,
    Crow,
    Entry,
    FederatedCall,
    Format,
    Job,
    NestPage,
    NotFound,
    SearchKind,
    Summary,
    SyncedTable,
    Tables,
    Transaction,
    Version,
    specs,
)
from crow_hooks.markers import PROJECT
from crow_plugins import manifest
from crow_plugins.dispatch import plugin_manager
from crow_plugins.handle import Handle, ServiceTaken
from crow_plugins.host import Host
from crow_plugins.manifest import ManifestError, Place, Plugin

ROOT = Path(__file__).parent.parent.parent
TIMES = {"at start", "inside a transaction", "after commit", "on the event loop", "before the call"}
CONTRIBUTED: dict[str, type] = {
    "register_tables": Tables,
    "register_synced_tables": SyncedTable,
    "register_server": FastMCP,
    "register_routes": BaseRoute,
    "register_middleware": Middleware,
    "register_search": SearchKind,
    "register_summary": Summary,
    "register_jobs": Job,
    "register_commands": Command,
    "register_formats": Format,
    "register_checks": Check,
    "register_nest_pages": NestPage,
}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def hooks() -> dict[str, Callable[..., object]]:
    return {name: value for name, value in vars(specs).items() if hasattr(value, f"{PROJECT}_spec")}


def signature(name: str, function: Callable[..., object]) -> str:
    return f"{name}{inspect.signature(function)}".replace("'", "")


def sections(text: str) -> dict[str, str]:
    """What stands below each heading of the third level."""
    parts = re.split(r"^#{1,3} ", text, flags=re.MULTILINE)
    return {
        heading.strip("`"): body for heading, _, body in (part.partition("\n") for part in parts) if heading[:1] == "`"
    }


def examples() -> list[tuple[str, str]]:
    """Every example of the page with the name of its hook."""
    return [
        (heading.split("(")[0], code)
        for heading, body in sections(page("hooks.md")).items()
        for code in re.findall(r"```python\n(.*?)```", body, re.DOTALL)
    ]


def plugin_of(code: str) -> ModuleType:
    module = ModuleType("example")
    exec(compile("from __future__ import annotations\n" + code, "docs/hooks.md", "exec"), vars(module))
    return module


@pytest.fixture
def crow(host: Host) -> Crow:
    return Handle(host, Plugin("example", Place(Path("plugin_manifest.toml"))))


@pytest.fixture
def transaction(host: Host) -> Iterator[Transaction]:
    class Undone(Exception):
        pass

    with pytest.raises(Undone), host.transaction() as transaction:
        transaction.db.execute_sql("CREATE TABLE books (id TEXT PRIMARY KEY)")
        yield transaction
        raise Undone


@pytest.fixture
def values(host: Host, transaction: Transaction) -> dict[str, object]:
    """One value for each parameter that a hook can have."""
    row: dict[str, object] = {"content": "the kettle is new", "importance": 5, "tags": []}
    version, vector = Version(f"{host.instance.id}.000000000000", 7), {f"{host.instance.id}.000000000000": 6}
    change = Change("memory_update", "memories", "a", row, version, vector, (), 1)
    return {
        "change": change,
        "entry": Entry("book_update", "books", "a", {}, version, vector, (), 1, host.instance.id),
        "conflict": Conflict("c", "memories", "a", row, version, False, row, version, False),
        "call": FederatedCall("inbound", host.instance, "crow_delete_memory", {}),
        "transaction": transaction,
        "seq": 3,
        "instance": host.instance,
        "instance_id": host.instance.id,
        "reason": "bad_signature",
        "conflict_id": "c",
        "resolution": "merge",
        "status": "online",
        "kind": "memories",
    }


def test_every_hook_stands_under_its_exact_signature_and_in_the_order_of_the_contract() -> None:
    assert list(sections(page("hooks.md"))) == [signature(name, hook) for name, hook in hooks().items()]


@pytest.mark.parametrize("heading", sections(page("hooks.md")), ids=lambda heading: heading.split("(")[0])
def test_every_hook_says_when_it_runs_what_it_returns_and_what_raising_does(heading: str) -> None:
    body = " ".join(sections(page("hooks.md"))[heading].split())
    for said in ("**When**: ", "**Returns**: ", "**Raising**: ", "```python"):
        assert said in body
    assert any(body.split("**When**: ")[1].startswith(time) for time in TIMES)
    # The docstring and the page may not tell different times.
    documented = (inspect.getdoc(hooks()[heading.split("(")[0]]) or "").lower()
    if "**When**: inside a transaction" in body:
        assert "transaction" in documented
    if "**When**: at start" in body:
        assert "at start" in documented


def test_every_hook_has_an_example() -> None:
    assert [name for name, _ in examples()] == list(hooks())


@pytest.mark.parametrize(("name", "code"), examples(), ids=lambda value: value if value in hooks() else "")
def test_every_example_fits_the_contract(name: str, code: str) -> None:
    manager = plugin_manager()
    manager.register(plugin_of(code), "example")
    manager.check_pending()
    assert [each.plugin_name for each in getattr(manager.hook, name).get_hookimpls()] == ["example"]


@pytest.mark.parametrize(("name", "code"), examples(), ids=lambda value: value if value in hooks() else "")
def test_every_example_runs(name: str, code: str, crow: Crow, values: dict[str, object]) -> None:
    function = getattr(plugin_of(code), name)
    arguments = {"crow": crow, **values}
    answer = function(**{each: arguments[each] for each in inspect.signature(function).parameters})
    if inspect.iscoroutine(answer):
        answer = _finished(answer)
    if name in CONTRIBUTED:
        items = answer if isinstance(answer, list) else [answer]
        assert items
        assert all(isinstance(item, CONTRIBUTED[name]) for item in items)


def _finished(work: Any) -> object:
    return asyncio.run(work)


def test_the_example_at_the_top_refuses_a_password(crow: Crow) -> None:
    code = re.findall(r"```python\n(.*?)```", page("hooks.md"), re.DOTALL)[0]
    change = Change("memory_insert", "memories", "a", {"tags": ["password"]}, Version("w", 1), {}, (), 1)
    with pytest.raises(Exception, match="passwords are not memories"):
        plugin_of(code).on_local_write(crow, change, None)


def test_the_hooks_said_to_have_no_caller_are_those_without_one() -> None:
    """A hook is called by its name as a text; this list shrinks as callers come."""
    _, _, body = page("hooks.md").partition("## What this release does not call yet\n")
    silent = set(re.findall(r"`(\w+)`", body.split("\n## ")[0]))
    trees = [ast.parse(file.read_text()) for file in (ROOT / "crow_plugins").rglob("*.py")]
    said = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert silent == {name for name in hooks() if name not in said}


def test_every_hook_that_is_called_has_an_implementer_that_is_run_for_real() -> None:
    """A plugin of ours, or one that the tests put into a host; examples and templates do not count."""
    files = [*(ROOT / "crow_plugins").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    implemented = {
        node.name
        for file in files
        if file.parent != Path(__file__).parent and "hookimpl" in file.read_text()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any("hookimpl" in ast.unparse(decorator) for decorator in node.decorator_list)
    }
    _, _, body = page("hooks.md").partition("## What this release does not call yet\n")
    silent = set(re.findall(r"`(\w+)`", body.split("\n## ")[0]))
    assert hooks().keys() - implemented <= silent


def members(protocol: type) -> dict[str, object]:
    return {name: value for name, value in vars(protocol).items() if not name.startswith("_")}


def headings(text: str, title: str) -> list[str]:
    body = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [heading.strip("`") for heading in re.findall(r"^### (.*)$", body, flags=re.MULTILINE)]


@pytest.mark.parametrize(("title", "protocol"), [("The handle", Crow), ("The transaction", Transaction)])
def test_services_names_what_the_handle_and_the_transaction_have(title: str, protocol: type) -> None:
    names = [heading.split("(")[0].split(":")[0] for heading in headings(page("services.md"), title)]
    assert names == list(members(protocol))
    assert len(names) <= 10
    for heading, member in zip(headings(page("services.md"), title), members(protocol).values(), strict=True):
        if callable(member):
            parameters = [name for name in inspect.signature(member).parameters if name != "self"]
            assert re.findall(r"[(,*] ?(\w+)(?=[:,=)])", heading.split(" -> ")[0]) == parameters, heading


def test_every_key_of_the_manifest_is_documented() -> None:
    body = page("settings.md").split("\n## The keys\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", body, flags=re.MULTILINE) == list(manifest.KEYS)


def test_every_setting_of_every_plugin_is_documented_and_no_other(host: Host) -> None:
    body = page("settings.md").split("\n## The settings of the built-in plugins\n")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", body, flags=re.MULTILINE))
    models = dict(host.hook.contributions("register_settings"))
    assert documented == {
        (plugin, key)
        for plugin, model in models.items()
        if isinstance(model, type) and issubclass(model, BaseModel)
        for key in model.model_fields
    }


def faults() -> list[tuple[str, str]]:
    """Each wrong manifest of the page with the sentence it gets."""
    body = page("settings.md").split("\n## What is refused\n")[1].split("\n## ")[0]
    return re.findall(r"```toml\n(.*?)```\s*\n> `([^\n]*)`\n", body, re.DOTALL)


@pytest.fixture
def reading_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugin that the page speaks of, as far as a manifest sees it."""
    monkeypatch.syspath_prepend(tmp_path)
    settings = next(code for name, code in examples() if name == "register_settings")
    (tmp_path / "crow_reading_list.py").write_text(settings)
    yield
    sys.modules.pop("crow_reading_list", None)


@pytest.mark.parametrize(("wrong", "sentence"), faults(), ids=lambda text: text if "\n" not in text else "")
def test_every_wrong_manifest_gets_the_sentence_that_the_page_shows(
    wrong: str, sentence: str, home: Path, open_host: Callable[..., Host], reading_list: None
) -> None:
    (home / "plugin_manifest.toml").write_text(wrong)
    with pytest.raises(ManifestError) as caught:
        open_host(home)
    assert str(caught.value).replace(str(home), "~/.crow") == sentence


def test_every_kind_of_fault_is_on_the_page(home: Path, open_host: Callable[..., Host], reading_list: None) -> None:
    """Each place in the code that refuses a manifest is reached by an example, or by a file that cannot be read."""
    reached = set()
    for wrong in [*(wrong.encode() for wrong, _ in faults()), b"\xff"]:
        (home / "plugin_manifest.toml").write_bytes(wrong)
        with pytest.raises(ManifestError) as caught:
            open_host(home)
        last = caught.traceback[-1]
        reached.add((Path(last.path).name, last.lineno))
    assert len(reached) == sum(
        isinstance(node, ast.Raise) and "ManifestError" in ast.unparse(node)
        for file in ("manifest.py", "handle.py")
        for node in ast.walk(ast.parse((ROOT / "crow_plugins" / file).read_text()))
    )


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", page("services.md"), re.DOTALL))
def test_the_examples_of_services_fit_the_contract(code: str) -> None:
    manager = plugin_manager()
    manager.register(plugin_of(code), "example")
    manager.check_pending()
    assert manager.hook.setup.get_hookimpls()


def test_a_service_is_found_by_those_who_look_it_up(crow: Crow) -> None:
    """The two examples of the page together: the provider's key, handed to the user."""
    provider, user = (plugin_of(code) for code in re.findall(r"```python\n(.*?)```", page("services.md"), re.DOTALL))
    with pytest.raises(NotFound, match="requires"):
        user.setup(crow)
    provider.setup(crow)
    vars(user)["SHELF"] = vars(provider)["SHELF"]
    user.setup(crow)
    with pytest.raises(ServiceTaken):
        provider.setup(crow)
