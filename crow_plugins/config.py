"""Where this installation lives and what the environment says about it.

The home is one folder that belongs to one person: mode 0700, nothing in it shared.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from crow_plugins.files import check_private_folder, make_private_folder

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 3001
PORT_MAX = 65_535


class Environment(BaseSettings):
    """`CROW_HOME`, `CROW_LOG`, `CROW_LOG_LEVEL`."""

    model_config = SettingsConfigDict(env_prefix="CROW_", env_ignore_empty=True)

    home: Path = Field(default_factory=lambda: Path.home() / ".crow")
    log: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Home:
    """The paths in `$CROW_HOME`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()

    @property
    def database(self) -> Path:
        return self.folder / "crow.db"

    @property
    def manifest(self) -> Path:
        return self.folder / "plugin_manifest.toml"

    @cached_property
    def gateway(self) -> Path:
        return self.folder / "gateway.json"

    @cached_property
    def gateway_lock(self) -> Path:
        return self.folder / "gateway.lock"

    @property
    def gateway_log(self) -> Path:
        return self.folder / "logs" / "gateway.log"

    def make(self) -> None:
        make_private_folder(self.folder)

    def check(self) -> None:
        """Refuse a home that others can read, or that is not ours."""
        check_private_folder(self.folder)
