"""Three machines become one chain, told from its first command to its last; and nobody hears a secret of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from crow_plugins.files import write_private
from crow_plugins.identity import keys, sealing
from crow_plugins.keyring import DEVICE, Keyring
from tests.registry.witness import (
    Heard,
    Witness,
    code_spellings,
    files_below,
    holds,
    key_secrets,
    text_spellings,
)

NAMES = ("desktop", "laptop", "server")
PASSPHRASE, WRONG = "passphrase", "wrong passphrase"
PASSPHRASES = {PASSPHRASE: "carry me over the river", WRONG: "over the hills"}
SECONDS_MAX = 60
SHARED = ("id", "name", "role", "gateway_url", "status", "last_seen")

Listed = dict[str, dict[str, Any]]


@dataclass
class Story:
    """What is there in the end."""

    folder: Path
    witness: Witness
    tokens: dict[str, str] = field(default_factory=dict)
    code: str = ""
    by_tool: dict[str, Listed] = field(default_factory=dict)
    by_file: dict[str, Listed] = field(default_factory=dict)
    by_command: dict[str, Listed] = field(default_factory=dict)
    printed: str = ""

    def home(self, name: str) -> Path:
        return self.folder / name

    def file(self, passphrase: str) -> str:
        return str(self.folder / passphrase)

    def tell(self, name: str, *arguments: str, code: int = 0, **options: str) -> str:
        """A command on a machine, which ends as it should; its answer."""
        ended, said = self.witness.run(self.home(name), *arguments, **options)
        assert ended == code, (name, arguments, self.witness.heard[-2].content)
        return said

    def mirrored(self, name: str) -> Listed:
        return by_name(json.loads((self.home(name) / "instances.json").read_bytes()))


def by_name(items: list[dict[str, Any]]) -> Listed:
    return {item["name"]: item for item in items}


def shared(listed: Listed) -> Listed:
    """What lists of every kind say."""
    return {name: {key: item[key] for key in SHARED} for name, item in listed.items()}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    told = Story(folder, Witness(folder / "witness"))
    told.witness.folder.mkdir()
    for name, line in PASSPHRASES.items():
        write_private(folder / name, f"{line}\n".encode())
    begin(told)
    with ExitStack() as stack:
        urls = {"desktop": stack.enter_context(told.witness.serving(told.home("desktop"), CROW_LOG="json"))}
        join_by_invitation(told, urls["desktop"])
        join_by_the_seed(told)
        urls["laptop"] = stack.enter_context(told.witness.serving(told.home("laptop")))
        urls["server"] = stack.enter_context(told.witness.serving(told.home("server")))
        for name in NAMES[1:]:
            made = told.tell(name, "token", "create", "assistant", "--json", told=f"token of the {name}")
            told.tokens[name] = json.loads(made)["token"]
        asyncio.run(register(told, urls))
        look_around(told, urls["desktop"])
    for name in NAMES:
        told.by_command[name] = by_name(json.loads(told.tell(name, "instances", "list", "--json")))
    told.printed = told.tell("desktop", "instances", "list")
    return told


def begin(told: Story) -> None:
    told.tell("desktop", "init", "--name", "desktop", told="words of the seed")
    told.tell("desktop", "identity", "words", told="words of the seed")
    made = told.tell("desktop", "token", "create", "assistant", "--json", told="token of the desktop")
    told.tokens["desktop"] = json.loads(made)["token"]


def join_by_invitation(told: Story, url: str) -> None:
    with told.witness.started(told.home("desktop"), "invite", "--json") as inviter:
        assert inviter.stdout is not None
        line = inviter.stdout.readline()
        told.witness.add("desktop$ crow invite", line.encode(), "code")
        told.code = json.loads(line)["code"]
        slip = told.code[:-1] + ("0" if told.code[-1] != "0" else "1")
        told.tell("laptop", "join", url, slip, code=1)
        told.tell("laptop", "join", "http://127.0.0.1:9", told.code, code=1, given="code")
        with told.witness.started(told.home("laptop"), "join", url, told.code, "--name", "laptop", given="code") as new:
            assert new.stdout is not None
            assert "This is now laptop" in new.stdout.readline()
        assert json.loads(inviter.stdout.readline())["joined"]["name"] == "laptop"
    told.tell("laptop", "invite", code=1)
    told.tell("laptop", "identity", "words", "--debug", code=1)


def join_by_the_seed(told: Story) -> None:
    carried = str(told.folder / "chain.crow")
    told.tell("desktop", "identity", "export", carried, "--passphrase-file", told.file(PASSPHRASE))
    import_it = ("identity", "import", carried, "--name", "server", "--passphrase-file")
    told.tell("server", *import_it, told.file(WRONG), "--debug", code=1)
    assert not (told.home("server") / "identity.json").exists()
    told.tell("server", *import_it, told.file(PASSPHRASE))
    again = ("identity", "export", carried, "--passphrase-file", told.file(PASSPHRASE), "--debug")
    told.tell("server", *again, code=1)
    told.witness.add("chain.crow", Path(carried).read_bytes())


async def register(told: Story, urls: dict[str, str]) -> None:
    async with AsyncExitStack() as stack:
        assistants = {
            name: await stack.enter_async_context(Client(f"{urls[name]}/mcp", auth=told.tokens[name])) for name in NAMES
        }
        for url in (urls["desktop"], "http://192.168.1.5:3001", "http://127.0.0.1:9"):
            with pytest.raises(ToolError) as refused:
                await assistants["desktop"].call_tool("crow_register_instance", {"gateway_url": url})
            told.witness.add(f"what an assistant is told of {url}", str(refused.value).encode())
        kept = await assistants["desktop"].call_tool("crow_register_instance", {"gateway_url": urls["server"]})
        told.witness.add("what an assistant is told", repr(kept).encode())
        for name, assistant in assistants.items():
            await all_agree(told, name, assistant)


async def all_agree(told: Story, name: str, assistant: Client[Any]) -> None:
    """Wait until a machine knows all three, and its file says what its tool says."""
    end = time.monotonic() + SECONDS_MAX
    while True:
        found = await assistant.call_tool("crow_list_instances", {})
        told.by_tool[name] = by_name(dict(found.structured_content or {})["items"])
        told.by_file[name] = told.mirrored(name)
        if len(told.by_tool[name]) == len(NAMES) and shared(told.by_tool[name]) == shared(told.by_file[name]):
            return
        assert time.monotonic() < end, (told.by_tool[name], told.by_file[name])


def look_around(told: Story, url: str) -> None:
    told.tell("desktop", "instances", "register", url, code=1)
    told.tell("desktop", "doctor", "--json")
    told.tell("desktop", "identity", "show", "--json")
    told.tell("desktop", "config", "claude-code", "--http")
    told.tell("desktop", "logs", "--lines", "10000")
    for headers in ({"Authorization": f"Bearer {told.tokens['desktop'][:-1]}"}, {"Authorization": "Bearer"}, {}):
        answer = httpx2.post(f"{url}/mcp", headers=headers, content=b"{}")
        assert answer.status_code == 401
        told.witness.add("the gateway to one without a token", answer.content + repr(answer.headers).encode())


@pytest.fixture(scope="module")
def secrets(story: Story) -> dict[str, list[bytes]]:
    """By name, in all spellings."""
    seed = Keyring.load(story.home("desktop")).seed()
    found = key_secrets("seed", seed, {"chain": keys.chain_key(seed)})
    for name in NAMES:
        content = (story.home(name) / "keys" / "device.json").read_bytes()
        device = sealing.secret_of(DEVICE, content)
        made = keys.device_keys(device)
        pairs = {"instance": made.instance, "noise": made.noise, "feed": made.feed}
        found |= key_secrets(f"device secret of the {name}", device, pairs)
        found[f"token of the {name}"] = text_spellings(story.tokens[name])
    for name, line in PASSPHRASES.items():
        found[name] = text_spellings(line)
    return {**found, "code": code_spellings(story.code)}


# ---- one chain ------------------------------------------------------------------------------------------------------


def test_every_machine_lists_all_three_and_its_file_says_the_same(story: Story) -> None:
    ids = {name: Keyring.public(story.home(name)).instance_id for name in NAMES}
    chain = Keyring.public(story.home("desktop")).chain
    for name in NAMES:
        assert {each: item["id"] for each, item in story.by_tool[name].items()} == ids
        assert [each for each, item in story.by_tool[name].items() if item["own"]] == [name]
        assert {item["public_key"] for item in story.by_file[name].values()} == {chain}
    assert not Keyring.public(story.home("laptop")).has_seed


def test_registering_one_way_registered_both(story: Story) -> None:
    here, there = story.by_tool["desktop"], story.by_tool["server"]
    for name in ("desktop", "server"):
        assert here[name]["gateway_url"] == there[name]["gateway_url"] is not None
    assert story.by_tool["laptop"]["desktop"]["gateway_url"] == here["desktop"]["gateway_url"]


def test_the_list_is_there_with_the_gateways_down_and_is_that_of_the_file(story: Story) -> None:
    for name in NAMES:
        assert not (story.home(name) / "gateway.json").exists()
        others = {each: item for each, item in story.by_tool[name].items() if each != name}
        for each, item in others.items():
            assert story.by_command[name][each].items() >= {(key, item[key]) for key in ("id", "role", "gateway_url")}
        assert shared(story.by_command[name]) == shared(story.mirrored(name))
    for item in story.by_command["desktop"].values():
        [line] = [line for line in story.printed.splitlines() if item["id"] in line]
        assert line.split()[0] == item["name"]
        assert (item["gateway_url"] or " - ") in line


# ---- no secret ------------------------------------------------------------------------------------------------------


def test_what_is_found_where_it_should_be_would_be_found_elsewhere(
    story: Story, secrets: dict[str, list[bytes]]
) -> None:
    told = {name for heard in story.witness.heard for name in heard.told if name}
    for name in told:
        assert any(holds(heard.content, secrets[name]) for heard in story.witness.heard if name in heard.told), name
    assert told == {"words of the seed", "code", *(f"token of the {name}" for name in NAMES)}


def test_no_secret_is_in_anything_that_was_said_logged_or_typed(story: Story, secrets: dict[str, list[bytes]]) -> None:
    logs = [Heard(f"{name}: {file}", content) for name in NAMES for file, content in log_files(story.home(name))]
    assert len(logs) == len(NAMES)
    started = [Heard(f"started: {file}", content) for file, content in files_below(story.witness.folder)]
    for heard in (*story.witness.heard, *logs, *started):
        for name, forms in secrets.items():
            if name not in heard.told:
                assert not holds(heard.content, forms), f"{name} in: {heard.where}"


def log_files(home: Path) -> Iterator[tuple[str, bytes]]:
    return ((name, content) for name, content in files_below(home) if name.startswith("logs/"))


def test_each_secret_lies_in_its_own_file_and_in_no_other(story: Story, secrets: dict[str, list[bytes]]) -> None:
    found = {
        (f"{machine}/{file}", name)
        for machine in NAMES
        for file, content in files_below(story.home(machine))
        for name, forms in secrets.items()
        if holds(content, forms)
    }
    assert found == {
        ("desktop/keys/seed.json", "seed"),
        ("server/keys/seed.json", "seed"),
        *((f"{name}/keys/device.json", f"device secret of the {name}") for name in NAMES),
    }
