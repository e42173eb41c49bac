"""The look at the links: states, and lag that is true whatever the scheduler says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from embedded.waiting import wait_until
from tests import builders
from tests.builders import fake_cluster
from tests.contract.conftest import DEADLINE, Site
from tests.fakes.couchdb import FakeCouch, Request
from worker.core.lag import LinkLook, LinkState, LinkStatus, judge
from worker.core.model import Link
from worker.core.names import replication_document_id
from worker.core.replication import link_document
from worker.core.rules import Mode, Rule, Rules
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import Replicator
from worker.ops.control import Unattended
from worker.ops.links import Looks, look_at_links
from worker.ops.setup import Wanted, setup

pytestmark = pytest.mark.contract

Earlier = dict[Link, LinkStatus]


def linked(cluster: Cluster, *names: str, both: bool = True) -> None:
    # with links, however many databases of other people the nodes have: auto counts them all
    rules = Rules(default=Rule(mode=Mode.CONTINUOUS))
    setup(cluster, Wanted(names, both, rules), Unattended())


def look(cluster: Cluster, earlier: Earlier | None = None) -> Looks:
    return look_at_links(cluster, cluster.names, earlier or {}, DEADLINE)


def judged(looks: Looks) -> Earlier:
    return {link: judge(None, one, 0, 300) for link, one in looks.items()}


def of(looks: Looks, name: str) -> dict[str, LinkLook]:
    return {str(link): one for link, one in looks.items() if link.database == name}


def settled(site: Site, name: str) -> bool:
    """All links run, and none lags."""

    def there() -> bool:
        found = of(look(site.cluster), name)
        return bool(found) and {(one.state, one.lag) for one in found.values()} == {(LinkState.RUNNING, 0)}

    return wait_until(there, 3 * DEADLINE, every=0.1)


def test_links_run_and_have_no_lag_once_all_is_carried(scheduled: Site) -> None:
    name = scheduled.name()
    linked(scheduled.cluster, name)
    assert settled(scheduled, name)
    databases = builders.databases(scheduled.cluster, name)

    databases["b"].bulk([{"_id": f"doc-{number}"} for number in range(20)])

    assert wait_until(lambda: all(database.get("doc-19") for database in databases.values()), DEADLINE)
    assert settled(scheduled, name)
    found = of(look(scheduled.cluster), name)
    assert len(found) == 6
    assert all(one.replication_id and one.source_sequence for one in found.values())
    moved = found["b -> a"]
    assert (moved.refused, moved.error) == (0, None)
    assert moved.done is not None
    assert moved.done >= 20
    assert Database(scheduled.cluster["b"], name).changes_after(str(moved.through)) == 0


def test_a_link_to_a_database_that_is_missing_crashes_and_says_so(scheduled: Site) -> None:
    name = scheduled.name()
    ends = (scheduled.cluster[node].node for node in "ab")
    Replicator(scheduled.cluster["b"]).write([link_document(Link(name, "a", "b"), *ends)])

    def crashed() -> bool:
        found = of(look(scheduled.cluster), name)
        return "a -> b" in found and found["a -> b"].state is LinkState.CRASHING

    assert wait_until(crashed, 3 * DEADLINE, every=0.1)
    found = of(look(scheduled.cluster), name)["a -> b"]
    assert found.error
    assert found.lag is None, "its source does not tell"


def test_a_link_with_a_document_that_is_refused_counts_it(scheduled: Site) -> None:
    name = scheduled.name()
    linked(scheduled.cluster, name, both=False)  # so that what refuses it stays where it is
    assert settled(scheduled, name)
    scheduled.refuse(name, "b", "refused-1")
    databases = builders.databases(scheduled.cluster, name)
    databases["a"].bulk([{"_id": "refused-1"}, {"_id": "taken-1"}])

    assert wait_until(lambda: of(look(scheduled.cluster), name)["a -> b"].refused == 1, DEADLINE, every=0.1)
    assert databases["b"].get("refused-1") is None


def test_nodes_without_a_scheduler_have_no_links(site: Site) -> None:
    if site.scheduler:
        pytest.skip("has a scheduler")
    name = site.name()
    linked(site.cluster, name)

    assert look(site.cluster) == {}


# --- what only nodes that obey can show: links that stand still, and how much is asked of whom

LINK = Link("pdfs", "a", "b")
DOCUMENT = replication_document_id("pdfs", "a", "b")


@pytest.fixture
def fakes() -> tuple[FakeCouch, Cluster]:
    couch, cluster = fake_cluster("a", "b")
    linked(cluster, "pdfs")
    return couch, cluster


def write(cluster: Cluster, count: int, node: str = "a") -> None:
    database = builders.databases(cluster, "pdfs")[node]
    database.bulk([{"_id": f"{node}-{count}-{number}"} for number in range(count)])


def asks(couch: FakeCouch, wanted: Callable[[Request], bool]) -> int:
    found = sum(wanted(request) for request in couch.requests)
    couch.requests.clear()
    return found


def is_lag(request: Request) -> bool:
    return request.path[1:] == ("_changes",)


@pytest.mark.parametrize("state", ["pending", "running"])
def test_the_lag_of_a_link_that_stands_still_is_exact(fakes: tuple[FakeCouch, Cluster], state: str) -> None:
    couch, cluster = fakes
    write(cluster, 4)
    couch["b"].stop_link(DOCUMENT, state)
    assert look(cluster)[LINK].lag == 0

    write(cluster, 7)
    assert look(cluster)[LINK].lag == 7
    write(cluster, 2)
    assert (look(cluster)[LINK].state, look(cluster)[LINK].lag) == (LinkState(state), 9)

    couch["b"].start_link(DOCUMENT)
    write(cluster, 1)
    assert (look(cluster)[LINK].state, look(cluster)[LINK].lag) == (LinkState.RUNNING, 0)


def test_a_link_that_has_never_carried_anything_lags_by_all_there_is(fakes: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = fakes
    couch["b"].stop_link(DOCUMENT, "pending")
    write(cluster, 5)

    assert look(cluster)[LINK].lag == 5


def test_links_that_stand_still_in_step_are_not_asked_for_their_lag_again(fakes: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = fakes
    names = [f"db-{number:03}" for number in range(120)]
    linked(cluster, *names)
    earlier = judged(look(cluster))
    assert len(earlier) == 242  # with pdfs
    couch.requests.clear()

    again = look(cluster, earlier)

    assert {one.lag for one in again.values()} == {0}
    assert len(couch.requests) <= 8  # of each node: a page of its scheduler, and _dbs_info twice
    assert asks(couch, is_lag) == 0
    write(cluster, 1)
    couch.requests.clear()
    assert {one.lag for one in look(cluster, earlier).values()} == {0}
    assert asks(couch, is_lag) == 2, "of the database that changed, its two links"


def test_lag_is_asked_again_where_the_link_is_another_or_broken(fakes: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = fakes
    earlier = judged(look(cluster))
    couch["b"].stop_link(DOCUMENT, "crashing", "something")
    couch.requests.clear()

    assert look(cluster, earlier)[LINK].lag == 0
    assert asks(couch, is_lag) == 1


def test_a_link_that_couchdb_has_given_up_is_failed_and_has_no_known_lag(fakes: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = fakes
    couch["b"].give_up_link(DOCUMENT, "selector is invalid")

    found = look(cluster)[LINK]

    assert (found.state, found.error, found.lag) == (LinkState.FAILED, "selector is invalid", None)


def test_lag_that_a_source_does_not_tell_is_unknown(fakes: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = fakes
    write(cluster, 3)
    couch["a"].fail("500", path="_changes")

    assert look(cluster)[LINK].lag is None
    assert look(cluster)[Link("pdfs", "b", "a")].lag == 0


def test_errors_are_told_without_their_passwords(fakes: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = fakes
    couch["b"].stop_link(DOCUMENT, "crashing", 'no {url,"http://admin:hunter2-secret@a.test:5984/pdfs/"}')

    assert "hunter2" not in str(look(cluster)[LINK])


def test_documents_of_other_people_are_not_our_links(fakes: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = fakes
    ends = {"source": {"url": f"{couch['a'].url}/x"}, "target": {"url": f"{couch['b'].url}/x"}}
    couch["b"].databases["_replicator"].write({"_id": "theirs", "continuous": True, **ends})

    assert set(look(cluster)) == {LINK, Link("pdfs", "b", "a")}
