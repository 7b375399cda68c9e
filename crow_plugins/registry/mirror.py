"""`instances.json`: what the registry knows, for scripts that run before the database is there, or without it.

It is written whole after each change, so whoever reads it reads one state of things.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

from crow_hooks import Instance, KnownInstance
from crow_plugins.files import FileMissing, read_private, write_private

NAME = "instances.json"
SIZE_MAX = 4 << 20


class Mirror:
    """The file of one home."""

    def __init__(self, folder: Path, own: Instance, chain: str) -> None:
        """`chain` is the chain's public key in hex."""
        self.path, self._own, self._chain = folder / NAME, own, chain
        self._lock = threading.Lock()

    def write(self, others: Sequence[KnownInstance], own_url: str | None) -> None:
        """Raises `FileFault`."""
        with self._lock:
            content = self.content(others, own_url)
            if self.read() != content:
                write_private(self.path, content)

    def read(self) -> bytes | None:
        try:
            return read_private(self.path, SIZE_MAX)
        except FileMissing:
            return None

    def content(self, others: Sequence[KnownInstance], own_url: str | None) -> bytes:
        own = {**_facts(self._own, own_url, self._chain), "status": "online", "last_seen": None, "self": True}
        listed = [own, *(self._known(other) for other in others if not other.hidden)]
        return json.dumps(listed, indent=2, ensure_ascii=False).encode() + b"\n"

    def _known(self, other: KnownInstance) -> dict[str, object]:
        facts = _facts(other.instance, other.gateway_url, self._chain)
        return {**facts, "status": other.status, "last_seen": other.last_seen, "revoked": other.revoked}


def _facts(instance: Instance, url: str | None, chain: str) -> dict[str, object]:
    facts: dict[str, object] = {"id": instance.id, "name": instance.name, "role": instance.role}
    return {**facts, "gateway_url": url, "public_key": chain}
