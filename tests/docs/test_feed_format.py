"""The blocks that the page on the feed's format shows are read as what it calls them."""

from __future__ import annotations

from pathlib import Path

from crow_plugins.replicator.entry import OPTIONAL, REQUIRED, Heads, Read, read_all

PAGE = Path(__file__).parents[2] / "docs" / "feed-format.md"


def test_each_block_shown_is_what_the_page_says() -> None:
    shown = [part.partition("```")[0] for part in PAGE.read_text().split("```json\n")[1:]]
    entry, rescued, heads = read_all(block.strip().encode() for block in shown)
    assert isinstance(entry, Read)
    assert entry.rescued_by is None
    assert isinstance(rescued, Read)
    assert rescued.rescued_by == entry.entry.instance_id
    assert isinstance(heads, Heads)
    assert heads.instance_id == rescued.entry.instance_id


def test_each_field_of_an_entry_has_its_line() -> None:
    section = PAGE.read_text().partition("| field | is |")[2].partition("\n\n")[0]
    told = {name.strip("`") for line in section.splitlines()[2:] for name in line.split("|")[1].strip().split(", ")}
    assert told == REQUIRED | OPTIONAL
