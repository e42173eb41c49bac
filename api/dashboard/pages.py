"""The dashboard: pages made on the server of the very bodies that the API answers with.

Whoever has no scripts can read them all; what is done from them goes through the API (static/js/actions.js), so nothing
can be done here that cannot be done with curl.
"""

from __future__ import annotations

from flask import Blueprint, Response

from api import database_rows, node_history, reading, topology
from api.backup_schemas import BackupQuery, BackupsQuery
from api.backups import detail as backup_detail
from api.backups import listed as backups_listed
from api.context import Context, context
from api.dashboard import charts, graph, safety
from api.dashboard.knowing import HOUR, known
from api.dashboard.rendering import page
from api.dashboard.words import lag, moment
from api.database_schemas import HOURS, DatabasesQuery, HistoryBody, Only, Sort
from api.events import listed as events_listed
from api.jobs import by_id
from api.jobs import listed as jobs_listed
from api.nodes import detail as node_detail
from api.schemas import EventsQuery, JobBody, JobsQuery, NoQuery
from tasks.jobs import Job, Kind, State
from tasks.store import Filter
from worker.core.events import EventType
from worker.core.history import MINUTE
from worker.core.names import OWN_DATABASE

blueprint = Blueprint("dashboard", __name__)

FEW = 6  # rows of a list on another page
CHART = (720.0, 120.0)  # width and height of a node's lines


@blueprint.get("/")
def overview() -> Response:
    reading.query(NoQuery)
    parts = context()
    whole = topology.picture(parts)
    facts = known(parts, whole)
    findings = safety.assess(facts)
    level = safety.worst(findings)
    drawing = graph.draw([node.name for node in whole.nodes], [(link.source, link.target) for link in whole.links])
    return page(
        "overview",
        observed_at=whole.observed_at,
        whole=whole,
        findings=findings,
        level=level,
        headline=safety.HEADLINES[level],
        drawing=drawing,
        graph=graph,
        lags={
            node.name: lag(node.lag, [link.lag for link in whole.links if link.target == node.name])
            for node in whole.nodes
        },
        ours=facts.ours,
        running=[JobBody.of(job) for job in _running(parts)],
        events=events_listed(parts, EventsQuery(limit=FEW)).events,
    )


@blueprint.get("/databases")
def databases() -> Response:
    asked = reading.query(DatabasesQuery, form=True)
    found = database_rows.page(context(), asked)
    return page("databases", observed_at=found.observed_at, found=found, asked=asked, only=Only, sorts=Sort)


@blueprint.get("/databases/<path:name>")
def database(name: str) -> Response:
    reading.query(NoQuery)
    parts = context()
    found = database_rows.one(parts, name)
    return page(
        "database",
        observed_at=found.observed_at,
        found=found,
        jobs=[JobBody.of(job) for job in parts.jobs.list(Filter(database=name), cursor=None, limit=FEW).jobs],
        backups_on=parts.backup_plan.on,
    )


@blueprint.get("/nodes/<name>")
def node(name: str) -> Response:
    reading.query(NoQuery)
    parts = context()
    found = node_detail(parts, name)
    whole = topology.picture(parts)
    past = node_history.history(parts, name, HOURS)
    return page(
        "node",
        observed_at=found.observed_at,
        found=found,
        pictured=next(one for one in whole.nodes if one.name == name),
        links=[link for link in whole.links if name in {link.source, link.target}],
        latency=_line(parts, past, "latency_max_ms"),
        lag=_line(parts, past, "lag"),
        own_database=OWN_DATABASE,
        events=events_listed(parts, EventsQuery(node=name, limit=FEW)).events,
    )


@blueprint.get("/jobs")
def jobs() -> Response:
    asked = reading.query(JobsQuery, form=True)
    parts = context()
    found = jobs_listed(parts, asked)
    return page("jobs", found=found, asked=asked, counts=parts.jobs.counts(), kinds=Kind, states=State)


@blueprint.get("/jobs/<job_id>")
def job(job_id: str) -> Response:
    reading.query(NoQuery)
    return page("job", found=JobBody.of(by_id(job_id)))


@blueprint.get("/backups")
def backups() -> Response:
    asked = reading.query(BackupsQuery, form=True)
    parts = context()
    if not parts.backup_plan.on:
        return page("backups_off")
    found = backups_listed(parts, asked)
    sizes = charts.sparkline([one.stored_bytes for one in reversed(found.backups)], 240, 40)
    return page("backups", observed_at=found.observed_at, found=found, asked=asked, sizes=sizes)


@blueprint.get("/backups/<backup:backup_id>")
def backup(backup_id: str) -> Response:
    asked = reading.query(BackupQuery, form=True)
    parts = context()
    if not parts.backup_plan.on:
        return page("backups_off")
    found = backup_detail(backup_id, asked)
    return page("backup", found=found, asked=asked, nodes=[node.name for node in parts.settings.nodes])


@blueprint.get("/events")
def events() -> Response:
    asked = reading.query(EventsQuery, form=True)
    return page("events", found=events_listed(context(), asked), asked=asked, event_types=EventType)


def _running(parts: Context) -> list[Job]:
    found = parts.jobs.list(Filter(state=State.RUNNING), cursor=None, limit=FEW).jobs
    return [job for job in found if job.kind is not Kind.WEBHOOK]


def _line(parts: Context, past: HistoryBody, figure: str) -> charts.Line:
    now = parts.clock()
    points = [(moment(point.at), getattr(point, figure)) for point in past.points]
    return charts.line(points, *CHART, begin=now - HOURS * HOUR, end=now, gap=2.5 * MINUTE)
