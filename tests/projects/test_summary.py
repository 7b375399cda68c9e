"""What the plugin says of its instance, and what `crow doctor` asks of it."""

from __future__ import annotations

from crow_hooks import Check, Summary
from crow_plugins.host import Host
from crow_plugins.projects.note import NOTE
from crow_plugins.projects.project import PROJECT
from crow_plugins.projects.summary import PROJECTS_MAX
from crow_plugins.rows import Rows, take
from crow_plugins.summaries.cleaning import cleaned

NOWHERE = "00000000-0000-4000-8000-000000000000"


def test_the_summary_names_the_projects_changed_last_and_fits_in_any_script(host: Host) -> None:
    records = [{"name": f"{number:03} {'🦆' * 196}", "updated_at": number} for number in range(PROJECTS_MAX + 2)]
    assert list(take(host.hook.handle("projects"), PROJECT, records, False)) == [None] * len(records)
    [summary] = [each for _, each in host.contributions("register_summary", Summary) if each.kind == "projects"]
    with host.read() as db:
        told = cleaned(summary.collect(db), summary.shape)
    assert [project["name"] for project in told] == [str(record["name"])[:80] for record in reversed(records[2:])]


def test_the_doctor_counts_references_that_lead_nowhere(host: Host) -> None:
    checks = {each.name: each for plugin, each in host.contributions("register_checks", Check) if plugin == "projects"}
    assert set(checks) == {"projects index", "sources index", "notes index", "references"}
    assert all(each.run().ok for each in checks.values())
    Rows(host.hook.handle("projects"), NOTE).add({"content": "a", "project_id": NOWHERE, "source_id": NOWHERE})
    finding = checks["references"].run()
    assert finding.ok
    assert finding.message.startswith("2 references lead to")
