"""What an operator may set about the registry, per machine."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from crow_plugins.outbound import urls
from crow_plugins.outbound.urls import DEFAULT_ZONES, UrlError, Zone


class RegistrySettings(BaseModel):
    """Addresses and probes."""

    gateway_url: str | None = Field(default=None, description="Where other instances reach this one.")
    zones: frozenset[Zone] = Field(
        default=frozenset(DEFAULT_ZONES), description="Which kinds of addresses may be called."
    )
    register_back: bool = Field(default=True, description="Register whoever registers this instance.")
    probe_seconds: float = Field(default=60.0, ge=5.0, le=3600.0, description="How often other instances are probed.")

    @field_validator("gateway_url")
    @classmethod
    def _in_one_spelling(cls, value: str | None) -> str | None:
        try:
            return None if value is None else urls.parse(value).text
        except UrlError as error:
            raise ValueError(str(error)) from error
