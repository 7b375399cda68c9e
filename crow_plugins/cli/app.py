"""The command line as a whole: options that every command takes, plugins' commands, errors and exit codes.

0 done, 1 failed, 2 wrong usage. An error is one sentence on stderr that says what to do next; its traceback is
shown with `--debug` only.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter, UnknownCommandError
from pydantic import ValidationError

from crow_hooks import Answer, Command, CrowError
from crow_plugins import __version__
from crow_plugins.cli import (
    assistants,
    backup,
    demo,
    doctor,
    gateway,
    identity,
    joining,
    logs,
    plugins,
    searching,
    service,
    starting,
    transfer,
)
from crow_plugins.cli.terminal import Terminal
from crow_plugins.config import Environment, Home
from crow_plugins.dispatch import BadPlugin
from crow_plugins.files import FileMissing
from crow_plugins.host import Host
from crow_plugins.logs import configure
from crow_plugins.manifest import nearest

SERVING = frozenset({"serve"})  # `crow serve` and `crow feed serve` tell what goes on
FAILED, WRONG_USAGE = 1, 2

HELP = "One person's memories on all their machines."


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. KeyboardInterrupt is the caller's."""
    try:
        with _command_line(arguments) as app:
            app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _fail(_wrong_usage(error), WRONG_USAGE)
    except CrowError as error:
        if "--debug" in arguments:
            raise
        return _fail(str(error), FAILED)
    except BrokenPipeError:  # `crow export - | head` has read enough
        sys.stderr.close()
        return FAILED
    except Exception as error:  # a fault of ours or of a plugin: a person still gets a sentence
        if "--debug" in arguments:
            raise
        return _fail(f"unexpected {type(error).__name__}: {_one_line(str(error))}; report it with --debug", FAILED)
    return 0


@contextmanager
def _command_line(arguments: Sequence[str]) -> Iterator[App]:
    environment = _environment()
    configure(environment)
    if SERVING.isdisjoint(arguments) and "log_level" not in environment.model_fields_set:
        logging.getLogger().setLevel(logging.WARNING)  # what went well is said by the answer
    app = App(
        name="crow",
        help=HELP,
        version=__version__,
        suppress_keyboard_interrupt=False,
        help_format="plaintext",
        default_parameter=Parameter(negative_iterable=(), show_default=_shown_default),
    )
    for room in (
        starting,
        gateway,
        searching,
        transfer,
        backup,
        assistants,
        identity,
        joining,
        plugins,
        doctor,
        service,
        logs,
        demo,
    ):
        room.add_to(app)

    app.register_install_completion_command(help="Let the shell complete this command's words.")

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        home: AHome = None,
        json: Annotated[bool, Parameter(help="Answer with JSON.", negative=(), group=EVERYWHERE)] = False,
        manifest: AManifest = None,
        debug: Annotated[
            bool, Parameter(help="Show the traceback of an error.", negative=(), group=EVERYWHERE)
        ] = False,
    ) -> None:
        if manifest is not None and not manifest.exists():
            raise FileMissing(manifest)
        terminal = Terminal(Home(home or environment.home), json, manifest)
        command, bound, extras = app.parse_args(tokens, exit_on_error=False, print_error=False)
        given = {"terminal": terminal} if "terminal" in extras else {}
        result = command(*bound.args, **bound.kwargs, **given)
        if isinstance(result, Answer):
            terminal.answer(result.value, result.text)
            if result.fault is not None:
                raise result.fault
        elif result is not None:
            terminal.answer(result, result if isinstance(result, str) else None)

    with _plugin_commands(app, arguments, environment):
        yield app


def _shown_default(value: object) -> str | None:
    """What `--help` shows: that an option which is not given is not given goes without saying."""
    return None if value is None or value is False or value == () else str(value)


EVERYWHERE = Group("Options of every command", sort_key=1)
AHome = Annotated[
    Path | None, Parameter(help="Where this installation lives; else $CROW_HOME, else ~/.crow.", group=EVERYWHERE)
]
AManifest = Annotated[Path | None, Parameter(help="A plugin manifest over this machine's own.", group=EVERYWHERE)]


@contextmanager
def _plugin_commands(app: App, arguments: Sequence[str], environment: Environment) -> Iterator[None]:
    """Add the commands of the plugins of this home, unless the command is one of ours: then nothing is opened."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--home", type=Path)
    early.add_argument("--manifest", type=Path)
    try:
        options, rest = early.parse_known_args(arguments)
    except argparse.ArgumentError:  # an option without its value: cyclopts says it better
        yield
        return
    word = next((word for word in rest if not word.startswith("-")), None)
    if word is not None and word in app:
        yield
        return
    with ExitStack() as stack:
        try:
            host = stack.enter_context(Host(options.home or environment.home, manifest_file=options.manifest))
            _add_plugin_commands(app, host, word)
        except CrowError:
            if word is not None:  # it can only be a plugin's
                raise
        yield


def _add_plugin_commands(app: App, host: Host, wanted: str | None) -> None:
    """Raises `CommandOff` where `wanted` is a command of plugins that are off."""
    off: dict[str, str] = {}
    for plugin, command in host.contributions("register_commands", Command):
        if host.is_enabled(plugin):
            group = _group(app, command)
            if command.name in group:
                words = command.name if command.group is None else f"{command.group} {command.name}"
                raise BadPlugin(plugin, f"there is a command crow {words} already")
            group.command(command.run, name=command.name)
        else:
            off.setdefault(command.group or command.name, plugin)
    if wanted in off and wanted not in app:
        raise CommandOff(wanted, off[wanted])


def _group(app: App, command: Command) -> App:
    if command.group is None:
        return app
    if command.group not in app:
        app.command(App(name=command.group, help_format="plaintext"))
    group: App = app[command.group]
    if command.about is not None:
        group.help = command.about
    return group


def _environment() -> Environment:
    try:
        return Environment()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "CROW_" + str(first["loc"][0]).upper()
        raise WrongEnvironment(name, first["msg"]) from error


class CommandOff(CrowError):
    """The plugin that brings a command is off."""

    code = "command_off"

    def __init__(self, command: str, plugin: str) -> None:
        super().__init__(
            f"crow {command} comes with the plugin {plugin}, which is off on this machine; "
            f"switch it on with: crow plugins enable {plugin}"
        )


class WrongEnvironment(CrowError):
    """An environment variable holds what it cannot."""

    code = "wrong_environment"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the environment variable {name} is wrong: {reason}; correct or unset it")


def _wrong_usage(error: CycloptsError) -> str:
    words = " ".join(["crow", *(error.command_chain or ())])
    if isinstance(error, UnknownCommandError) and error.app and error.unused_tokens:
        said = error.unused_tokens[0]
        return f"there is no command {words} {said}{nearest(said, _commands(error.app))}; see: {words} --help"
    return f"{_one_line(str(error))}; see: {words} --help"


def _commands(app: App) -> list[str]:
    return [name for name in app if not name.startswith("-")]


def _fail(sentence: str, code: int) -> int:
    sys.stderr.write(f"crow: {sentence}\n")
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
