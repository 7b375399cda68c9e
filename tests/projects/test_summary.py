"""What the plugin says of its instance, and what `crow doctor` asks of it."""

from __future__ import annotations

import pytest

from crow_hooks import Check, Summary
from crow_plugins.host import Host
from crow_plugins.projects.note import NOTE
from crow_plugins.projects.project import PROJECT
from crow_plugins.projects.summary import PROJECTS_MAX
from crow_plugins.rows import Rows

NOWHERE = "00000000-0000-4000-8000-000000000000"


def test_the_summary_names_the_projects_changed_last(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crow_plugins.projects.summary.PROJECTS_MAX", 2)
    projects = Rows(host.hook.handle("projects"), PROJECT)
    kept = [projects.add({"name": name}) for name in ("a", "b", "c")]
    [summary] = [each for _, each in host.contributions("register_summary", Summary) if each.kind == "projects"]
    with host.read() as db:
        shown = summary.collect(db)
    newest = sorted(kept, key=lambda project: (-project.updated_at, project.id))[:2]
    assert shown == [{"id": project.id, "name": project.name} for project in newest]
    assert PROJECTS_MAX == 200


def test_the_doctor_counts_references_that_lead_nowhere(host: Host) -> None:
    checks = {each.name: each for plugin, each in host.contributions("register_checks", Check) if plugin == "projects"}
    assert set(checks) == {"projects index", "sources index", "notes index", "references"}
    assert all(each.run().ok for each in checks.values())
    Rows(host.hook.handle("projects"), NOTE).add({"content": "a", "project_id": NOWHERE, "source_id": NOWHERE})
    finding = checks["references"].run()
    assert finding.ok
    assert finding.message.startswith("2 references lead to")
