"""Strict reading of what another machine wrote: canonical JSON of a known version, exact fields, one spelling each.

What does not fit is refused as the message's own kind of error; nothing is repaired, and nothing that came is
repeated in a sentence.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crow_plugins.identity import canonical_json
from crow_plugins.identity.errors import BadJson

URL_MAX = 1024
_URL = re.compile(rf"[!-~]{{1,{URL_MAX}}}", re.ASCII)  # whether it may be called is decided by whoever calls


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one kind of message: of this version, with its own errors for what is malformed or newer."""

    version: int
    malformed: Callable[[str], Exception]
    newer: Callable[[], Exception]

    def encoded(self, fields: Mapping[str, object]) -> bytes:
        return canonical_json.encode({"v": self.version, **fields})

    def message(self, data: bytes, size_max: int, names: set[str]) -> dict[str, object]:
        """The fields of a message, exactly `names`; the version is looked at before them."""
        fields = self.fields(self.parsed(data, size_max))
        version = fields.get("v")
        if type(version) is not int or version < self.version:
            raise self.malformed("it has no version")
        if version > self.version:
            raise self.newer()
        if fields.keys() != names:
            raise self.malformed("a field is missing or unknown")
        return fields

    def parsed(self, data: bytes, size_max: int) -> object:
        try:
            return canonical_json.parse_canonical(data, size_max)
        except BadJson as error:
            raise self.malformed("its JSON is too long or not canonical") from error

    def fields(self, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self.malformed("a part of it is not an object")
        return value

    def hex(self, value: object, size: int | None, which: str) -> bytes:
        """Bytes in small hex digits, `size` of them or any number."""
        digits = "*" if size is None else f"{{{size}}}"
        if not isinstance(value, str) or not re.fullmatch(f"([0-9a-f]{{2}}){digits}", value, re.ASCII):
            raise self.malformed(f"its {which} is not so many bytes in hex")
        return bytes.fromhex(value)

    def instance_id(self, value: object) -> str:
        try:
            if isinstance(value, str) and str(uuid.UUID(value)) == value:
                return value
        except ValueError:
            pass
        raise self.malformed("its instance id is not a UUID in its usual spelling")

    def url(self, value: object) -> str | None:
        if value is None or (isinstance(value, str) and _URL.fullmatch(value)):
            return value
        raise self.malformed(f"its address is not 1 to {URL_MAX} visible letters")
