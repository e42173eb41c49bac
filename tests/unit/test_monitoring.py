"""monitoring/ fits the code: alerts and dashboard ask for figures that there are, and the guide tells what to do about
each alert. promtool, where there is one, reads the rules and tries them."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.metrics import FIGURES
from embedded import promtool
from tests.unit.api.metrics.scraped import full

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "monitoring" / "prometheus"
(GROUP,) = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))["groups"]
RULES: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in GROUP["rules"]}
TESTS = yaml.safe_load((FOLDER / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "monitoring/grafana/dashboards/notebook-replication.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
BY_NAME = {
    name: figure
    for figure in FIGURES
    for name in (
        [f"{figure.full_name}_{part}" for part in ("bucket", "sum", "count")]
        if figure.type == "histogram"
        else [figure.full_name]
    )
}
SERIES = {"job", "instance", "le"}  # labels that Prometheus adds
PROMTOOL = promtool.find()


def figures_of(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:nbr_\w+)", expression))


def labels_of(expression: str) -> set[str]:
    """Those that it selects by or groups by."""
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    grouped = [
        name.strip() for names in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", expression) for name in names.split(",")
    ]
    return {*selected, *grouped}


def check(what: str, expression: str, shown: str) -> None:
    names = figures_of(expression)
    assert names <= BY_NAME.keys(), what
    known = set().union(*(BY_NAME[name].labels for name in names)) | SERIES
    assert labels_of(expression) <= known, what
    assert set(re.findall(r"\$labels\.(\w+)", shown)) | set(re.findall(r"{{(\w+)}}", shown)) <= known, what


def severities(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `(Nbr\w+)` \| (\w+) \|", text, re.MULTILINE))


# --- alerts


@pytest.mark.parametrize("name", RULES)
def test_alerts_ask_for_figures_and_labels_that_there_are(name: str) -> None:
    rule = RULES[name]
    check(name, rule["expr"], json.dumps(rule["annotations"]))
    assert figures_of(rule["expr"]) or "up{" in rule["expr"]
    assert rule["annotations"].keys() == {"summary", "description"}


def test_the_guide_tells_of_each_alert_and_how_bad_it_is() -> None:
    assert severities(GUIDE) == {name: rule["labels"]["severity"] for name, rule in RULES.items()}


@pytest.mark.parametrize("name", RULES)
def test_each_alert_is_tried_when_it_should_fire_and_when_it_should_not(name: str) -> None:
    tried = [one for test in TESTS for one in test["alert_rule_test"] if one["alertname"] == name]
    assert {bool(one.get("exp_alerts")) for one in tried} == {True, False}
    quiet = [test for test in TESTS if test["name"] == "all is well"]
    assert name in {one["alertname"] for test in quiet for one in test["alert_rule_test"]}


def test_tests_of_alerts_use_figures_that_there_are() -> None:
    series = {figure for test in TESTS for one in test["input_series"] for figure in figures_of(one["series"])}
    asked = {figure for rule in RULES.values() for figure in figures_of(rule["expr"])}
    assert asked <= series <= BY_NAME.keys()


@pytest.mark.skipif(PROMTOOL is None, reason=promtool.MISSING)
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
    ],
    ids=["rules", "tests of the rules", "configuration"],
)  # fmt: skip
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.skipif(PROMTOOL is None, reason=promtool.MISSING)
def test_promtool_finds_nothing_to_say_about_the_figures() -> None:
    """Names, units, types, help texts: what Prometheus' own linter knows."""
    ended = run("check", "metrics", given=full().client.get("/metrics").text)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def run(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROMTOOL), *arguments], cwd=FOLDER, input=given, capture_output=True, text=True, check=False, timeout=60
    )


# --- the dashboard


@pytest.mark.parametrize(
    ("title", "target"), TARGETS, ids=lambda part: part if isinstance(part, str) else part["refId"]
)
def test_panels_ask_for_figures_and_labels_that_there_are(title: str, target: dict[str, Any]) -> None:
    assert figures_of(target["expr"]), title
    check(title, target["expr"], target["legendFormat"])


def test_the_dashboard_shows_every_kind_of_figure() -> None:
    asked = {BY_NAME[name].full_name for _, target in TARGETS for name in figures_of(target["expr"])}
    left_out = {figure.full_name for figure in FIGURES} - asked
    assert left_out == {
        "nbr_cluster_state", "nbr_canary_overdue", "nbr_database_bytes", "nbr_database_documents",
        "nbr_database_conflicts", "nbr_databases_not_shown", "nbr_broker_up", "nbr_metrics_unreadable",
        "nbr_watcher_feed_open", "nbr_backups",
        "nbr_backup_stale", "nbr_backup_store_failing", "nbr_backup_last_failed", "nbr_backup_databases",
        "nbr_backup_documents", "nbr_backup_drill_age_seconds", "nbr_security_not_checked",
        "nbr_security_report_age_seconds",
    }  # fmt: skip


def test_panels_have_their_own_places_and_the_provisioned_source() -> None:
    source = yaml.safe_load((ROOT / "monitoring/grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))
    uid = source["datasources"][0]["uid"]
    assert {part["datasource"]["uid"] for panel in PANELS for part in (panel, *panel["targets"])} == {uid}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in itertools.combinations((panel["gridPos"] for panel in DASHBOARD["panels"]), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in DASHBOARD["panels"]) == 24
