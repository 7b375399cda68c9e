"""A fault in a manifest points at the line of the key, however the file is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from crow_plugins import manifest
from crow_plugins.manifest import ManifestError


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ('[[plugin]]\nname = "a"\nmodule = "m"\n\n[plugin.settings]\n# b = 1\nb = 2\n', "settings.b", 7),
        ('[[ plugin ]] # one\n"name" = "a"\nmodule="m"\n[ plugin.settings ]\n  b=2\n', "settings.b", 5),
        ('[[plugin]]\nname = "a"\nmodule = "m"\nsettings = { b = 2 }\n', "settings.b", 4),
        ('[[plugin]]\nname = "a"\nmodule = "m"\nsettings.b = 2\n', "settings.b", 4),
        ('[[plugin]]\nname = "a"\nmodule = "m"\n[plugin.settings]\nb = [\n  2,\n]\nc = 3\n', "settings.c", 8),
        ('[[plugin]]\nname = "z"\nmodule = "n"\n[[plugin]]\nname = "a"\nmodule = "m"\n', "name", 5),
        ('[[plugin]]\nname = "a"\nmodule = "m"\n', "settings.b", 1),
        ('plugin = [{ name = "a", module = "m" }]\n', "module", 0),
    ],
)
def test_a_key_is_found_in_its_line(text: str, key: str, line: int, tmp_path: Path) -> None:
    file = tmp_path / "plugin_manifest.toml"
    file.write_text(text)
    assert manifest.load(base=file).plugin("a").at(key) == manifest.Place(file, line)


def test_of_two_files_the_one_that_said_it_is_pointed_at(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text('[[plugin]]\nname = "a"\nmodule = "m"\n\n[[plugin]]\nname = "b"\nmodule = "n"\nrequires = ["a"]\n')
    second.write_text('[[plugin]]\nname = "a"\nenabled = false\n')
    with pytest.raises(ManifestError, match=r"plugin b requires a, which is off") as refused:
        manifest.load([second], base=first)
    assert str(refused.value).startswith(f"{second}:3: ")
