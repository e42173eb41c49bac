"""`python -m embedded.demo`: the whole system on this machine, a first sync, and proof that it did what it says.

Starts a private Redis, three nodes and every process of the system under var/demo; writes documents with PDF
attachments to all nodes; has the system set up one database and sync another; then reads all nodes itself
and compares them. Documents stay: each run adds some, so each has something to sync.

The main thread supervises (it has to: embedded/process.py says why); the story is told by a second one.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from embedded import census, demo_data, demo_nodes, report
from embedded.api_client import ApiClient, ApiError
from embedded.census import Census
from embedded.demo_nodes import Site
from embedded.folders import FolderInUseError
from embedded.output import Terminal
from embedded.process import StartError
from embedded.supervisor import Supervisor, interrupt_on_signals
from embedded.waiting import wait_until
from worker.core.errors import ReplicationError

READY_SECONDS = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m embedded.demo", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--once", action="store_true", help="stop after the check; exit 0 only if all nodes are equal")
    parser.add_argument("--folder", type=Path, default=demo_nodes.FOLDER, help="where everything is kept (%(default)s)")
    arguments = parser.parse_args(argv)
    once = arguments.once
    interrupt_on_signals()
    say = Terminal().write
    outcome: list[bool | None] = []
    try:
        with ExitStack() as stack:
            site = demo_nodes.build(say, stack, arguments.folder)
            stack.callback(site.redis.stop)
            supervisor = stack.enter_context(Supervisor(say))
            began = time.monotonic()
            demo_nodes.start(site, supervisor)

            def tell() -> None:
                outcome.append(told(Story(site, say, stays=not once), began, supervisor))
                if once or outcome[0] is None:
                    supervisor.finish()

            threading.Thread(target=tell, daemon=True).start()
            supervisor.run()
    except (StartError, FolderInUseError) as error:
        print(f"The demo could not start: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say(f"\nStopped. The documents stay in {arguments.folder}; remove that folder to begin anew.")
    return 0 if outcome == [True] else 1


def told(story: Story, began: float, supervisor: Supervisor) -> bool | None:
    """Whether the nodes hold the same. None: something did not work at all, and it was said what."""
    try:
        return story.tell(began)
    except (ApiError, StartError, ReplicationError) as error:
        why = f"The demo did not get to its end: {error}"
    except Exception as error:  # noqa: BLE001 (the last line of defence: the main thread must hear of it)
        why = f"The demo broke off: {type(error).__name__}: {error}"
    if not supervisor.stopping:  # else it is Ctrl-C that took the nodes away
        story.say(f"\n{why}\nThe logs are in {story.site.logs}")
    return None


class Story:
    """What the demo does, step by step, and says while it does it."""

    def __init__(self, site: Site, say: Callable[[str], None], *, stays: bool) -> None:
        self.site = site
        self.say = say
        self.stays = stays  # whether there is something to look at afterwards
        self.api = ApiClient(site.api)

    def tell(self, began: float) -> bool:
        self.introduce()
        self.wait_for_workers(began)
        self.write()
        self.set_up()
        before = self.count(demo_data.PDFS)
        job = self.sync(demo_data.PDFS)
        after = self.count(demo_data.PDFS)
        self.tell_sync(job, before, after)
        self.verify(demo_data.PDFS)
        equal = self.compare(after)
        self.back_up()
        if self.stays:
            self.tell_addresses()
        return equal and job["state"] == "succeeded"

    def introduce(self) -> None:
        kind = self.site.nodes[0].kind
        version = next(iter(self.site.servers.values())).capabilities().version
        if kind == "couchdb":
            self.say(f"Three independent CouchDB {version} nodes:")
        else:
            self.say("Three stand-in nodes, for there is no CouchDB on this machine (COUCHDB_BIN can name one):")
        for node in self.site.nodes:
            self.say(f"  {node.name:<9} {node.url}")

    def wait_for_workers(self, began: float) -> None:
        if not wait_until(self.api.takes_jobs, READY_SECONDS, every=0.1):
            raise StartError(f"the API and a worker were not ready within {READY_SECONDS:g} s")
        self.say(f"Redis, API and workers are ready after {time.monotonic() - began:.1f} s.")

    def write(self) -> None:
        pdfs = self.site.databases(demo_data.PDFS)
        for database in pdfs.values():
            database.create()
        ids = [document_id for database in pdfs.values() for document_id, _ in database.leaves()]
        run = demo_data.next_run(ids)
        written = demo_data.write_pdfs(list(pdfs.items()), run)
        first, second, *_ = pdfs
        self.say(
            f"\nRun {run} of the demo writes to `{demo_data.PDFS}`, straight to the nodes:\n"
            f"  {report.many(written.reports, 'document')} with a PDF each "
            f"({report.size(written.attachment_bytes)}), every node some that the others lack\n"
            f"  {written.conflict_id} on both {first} and {second}, differently (a conflict)\n"
            f"  {written.deleted_id} on {first} and {second}, then deleted on {second}"
        )
        categories = next(iter(self.site.databases(demo_data.CATEGORIES).values()))
        categories.create()
        count = demo_data.write_categories(categories, run)
        self.say(f"and {report.many(count, 'document')} to `{demo_data.CATEGORIES}` on {first}.")

    def set_up(self) -> None:
        name = demo_data.CATEGORIES
        self.say(f"\nPOST /api/replication/setup for `{name}`:")
        job = self.api.run_job("/api/replication/setup", {"database": name, "wait": True})
        self.say(f"  {report.outcome(job)}")
        self._must_have_succeeded(job)
        self.say(f"  {report.set_up(job, name)}")
        self.sync(name)

    def sync(self, name: str) -> dict[str, Any]:
        self.say(f"\nPOST /api/replication/sync for `{name}`:")
        job = self.api.run_job("/api/replication/sync", {"database": name, "wait": True})
        self.say(f"  {report.outcome(job)}")
        return job

    def verify(self, name: str) -> None:
        self.say(f"\nPOST /api/replication/verify for `{name}`:")
        job = self.api.run_job("/api/replication/verify", {"database": name, "wait": True})
        self.say(f"  {report.outcome(job)}\n  {report.verified(job)}")

    def back_up(self) -> None:
        self.say("\nPOST /api/backups for all databases, and a restore drill of it:")
        job = self.api.run_job("/api/backups", {"wait": True})
        self.say(f"  {report.outcome(job)}")
        self._must_have_succeeded(job)
        self.say(f"  {report.backed_up(job, self.site.backups)}")
        drill = self.api.run_job(f"/api/backups/{job['result']['backup_id']}/verify", {"drill": True, "wait": True})
        self.say(f"  {report.outcome(drill)}")
        self._must_have_succeeded(drill)
        self.say(f"  {report.drilled(drill)}")

    def count(self, name: str) -> dict[str, Census]:
        return {node: census.take(database) for node, database in self.site.databases(name).items()}

    def tell_sync(self, job: dict[str, Any], before: dict[str, Census], after: dict[str, Census]) -> None:
        for line in (*report.pulls(job), "", *report.table(before, after)):
            self.say(line)

    def compare(self, pdfs: dict[str, Census]) -> bool:
        self.say("\nCompared by reading all nodes: leaf revisions of every document, bytes of every attachment:")
        equal = True
        for name, nodes in ((demo_data.PDFS, pdfs), (demo_data.CATEGORIES, self.count(demo_data.CATEGORIES))):
            ids = census.differing(nodes)
            equal = equal and not ids
            for line in report.comparison(name, nodes, ids):
                self.say(line)
        return equal

    def tell_addresses(self) -> None:
        site, api = self.site, self.site.api
        self.say(
            f"\nLook at it:\n  dashboard {api}/\n  API       {api}/api/replication/status\n"
            f"  docs      {api}/docs   {api}/openapi.json"
        )
        self.say(f"  Flower    {site.flower}")
        for node in site.nodes:
            self.say(f"  {node.name:<9} {node.url}{'/_utils' if node.kind == 'couchdb' else '/_all_dbs'}")
        self.say(f"  nodes ask for user {demo_nodes.USER}; the password is in {site.password_file}")
        self.say(f"  logs      {site.logs}")
        self.say(f"  backups   {api}/api/backups   in {site.backups}")
        self.say(
            "Sync again:\n"
            f"  curl -X POST {api}/api/replication/sync -H 'Content-Type: application/json' "
            f'-d \'{{"database": "{demo_data.PDFS}", "wait": true}}\'\n'
            f"or: ./nbr sync {demo_data.PDFS}\n"
            "Ctrl-C stops everything."
        )

    def _must_have_succeeded(self, job: dict[str, Any]) -> None:
        if job["state"] != "succeeded":
            raise ApiError(f"the {job['kind']} job {job['state']}")


if __name__ == "__main__":
    sys.exit(main())
