"""What an operator may set about the blog of a machine."""

from __future__ import annotations

from pydantic import BaseModel, Field


class BlogSettings(BaseModel):
    """`[plugin.settings]` of blog."""

    public: bool = Field(default=False, description="Show published posts at /blog to whoever reaches the gateway.")
    title: str = Field(default="Blog", min_length=1, max_length=200, description="What the pages are called.")
    description: str = Field(default="", max_length=500, description="What they are about, in a sentence.")
    language: str = Field(default="en", max_length=35, description="Of posts that do not say theirs.")
    posts_per_page: int = Field(default=10, ge=1, le=100, description="How many a page of the list shows.")
    address: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s?#]+$",
        description="Where readers reach the gateway, like https://example.org; else as they called it.",
    )
