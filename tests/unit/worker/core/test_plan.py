"""The planner: what it asks for in each case, and that a plan which was carried out, or broken off, leads to one world.

The properties at the end run plans against a small simulated world: nothing is faked but the nodes' contents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.core.model import Link
from worker.core.names import OWN_DATABASE, parse_replication_document_id, replication_document_id
from worker.core.observed import FoundLink, NodeFound, Observed
from worker.core.plan import CreateDatabase, DeleteLink, Desired, KickLink, Plan, WriteLink, plan
from worker.core.rules import Direction, Mode, Rule, Rules
from worker.core.topology import Topology

ABC = ("a", "b", "c")
MESH_OF_THREE = ["a -> b", "a -> c", "b -> a", "b -> c", "c -> a", "c -> b"]


def shape(source: str, target: str, rule: Rule) -> str:
    return f"{source} {target} {rule.selector}"


def wish(nodes: tuple[str, ...] = ABC, rules: Rules | None = None, **more: Any) -> Desired:
    return Desired(nodes, rules or Rules(), shape, **more)


def rules(**default: Any) -> Rules:
    return Rules(default=Rule(**default))


def linked(database: str, *pairs: str, **more: Any) -> dict[str, dict[str, FoundLink]]:
    """Node -> links of the pairs ("a -> b") as they should be."""
    found: dict[str, dict[str, FoundLink]] = {}
    for pair in pairs:
        source, target = pair.split(" -> ")
        document = replication_document_id(database, source, target)
        found.setdefault(target, {})[document] = FoundLink("1-x", more.get("shape") or shape(source, target, Rule()))
    return found


def nodes(*names: str, databases: str = "", links: Mapping[str, Mapping[str, FoundLink]] | None = None) -> Observed:
    """Nodes that all have these databases."""
    return {name: NodeFound(frozenset(databases.split()), dict((links or {}).get(name, {}))) for name in names}


def pairs(steps: list[WriteLink] | list[KickLink], database: str | None = None) -> list[str]:
    return sorted(str(step.link) for step in steps if database in {None, step.link.database})


def deleted(made: Plan) -> dict[str, str]:
    """Document -> why."""
    return {step.document: step.why for step in made.deletes}


# --- databases


def test_a_database_is_made_where_it_is_missing_like_the_first_that_has_it() -> None:
    observed = {**nodes(*ABC), "b": NodeFound(frozenset({"pdfs"})), "c": NodeFound(frozenset({"pdfs"}))}

    assert plan(wish(), observed).creates == [CreateDatabase("a", "pdfs", "b")]


def test_a_database_that_nobody_has_is_like_none() -> None:
    made = plan(wish(only=frozenset({"new"}), asked=True), nodes("a", "b", "c"))

    assert made.creates == [CreateDatabase(node, "new", None) for node in ABC]
    assert pairs(made.writes) == MESH_OF_THREE


def test_a_database_that_was_deleted_on_a_node_is_told_and_not_made_again() -> None:
    observed = {**nodes("a", "b", databases="pdfs"), "c": NodeFound(frozenset(), ledger=frozenset({"pdfs"}))}

    made = plan(wish(), observed)

    assert made.creates == []
    assert made.removed == {"pdfs": ["c"]}
    assert pairs(made.writes) == ["a -> b", "b -> a"]


def test_a_database_that_was_deleted_is_made_again_for_who_asks() -> None:
    observed = {**nodes("a", "b", databases="pdfs"), "c": NodeFound(frozenset(), ledger=frozenset({"pdfs"}))}

    for only in (None, frozenset({"pdfs"})):
        made = plan(wish(asked=True, only=only), observed)

        assert made.creates == [CreateDatabase("c", "pdfs", "a")]
        assert made.removed == {}
        assert pairs(made.writes) == MESH_OF_THREE


def test_links_to_and_from_a_node_that_lost_the_database_go() -> None:
    """They could only crash."""
    observed = dict(nodes(*ABC, databases="pdfs", links=linked("pdfs", *MESH_OF_THREE)))
    observed["c"] = replace(observed["c"], databases=frozenset(), ledger=frozenset({"pdfs"}))

    made = plan(wish(), observed)

    assert set(deleted(made)) == {f"nbr:{a}:{b}:pdfs" for a, b in ("ac", "ca", "bc", "cb")}
    assert all("deleted on one of its nodes" in why for why in deleted(made).values())
    assert made.links_kept == 2


@pytest.mark.parametrize("topology", [Topology.MESH, Topology.STAR])
def test_where_the_primary_lost_a_database_that_goes_one_way_nobody_takes_its_place(topology: Topology) -> None:
    observed = {**nodes("b", "c", databases="pdfs"), "a": NodeFound(frozenset(), ledger=frozenset({"pdfs"}))}

    made = plan(wish(rules=rules(topology=topology, direction=Direction.ONE_WAY)), observed)

    assert made.removed == {"pdfs": ["a"]}
    assert made.writes == []


def test_an_excluded_database_is_not_made_and_its_links_go() -> None:
    observed = nodes("a", "b", databases="pdfs old", links=linked("old", "a -> b", "b -> a"))

    made = plan(wish(("a", "b"), Rules(exclude=("old",))), observed)

    assert list(made.modes) == ["pdfs"]
    assert deleted(made) == dict.fromkeys(
        ["nbr:a:b:old", "nbr:b:a:old"], "the database is gone, or not selected any more"
    )


def test_users_and_other_system_databases_travel_only_when_asked_for() -> None:
    observed = nodes("a", "b", databases="_users _replicator _global_changes")

    assert plan(wish(("a", "b")), observed).steps == 0
    assert list(plan(wish(("a", "b"), Rules(users=True)), observed).modes) == ["_users"]


# --- nodes that come and go


def test_a_new_node_gets_all_databases_and_links() -> None:
    observed = {
        **nodes("a", "b", databases="pdfs x", links=linked("pdfs", "a -> b", "b -> a") | {}),
        "c": NodeFound(frozenset()),
    }

    made = plan(wish(), observed)

    assert [(step.node, step.database, step.like) for step in made.creates] == [("c", "pdfs", "a"), ("c", "x", "a")]
    assert pairs(made.writes, "pdfs") == ["a -> c", "b -> c", "c -> a", "c -> b"]
    assert pairs(made.writes, "x") == MESH_OF_THREE
    assert made.deletes == []


def test_the_links_of_a_node_that_is_not_configured_any_more_go_and_nothing_else() -> None:
    observed = nodes("a", "b", databases="pdfs", links=linked("pdfs", *MESH_OF_THREE))

    made = plan(wish(("a", "b")), observed)

    assert deleted(made) == dict.fromkeys(["nbr:c:a:pdfs", "nbr:c:b:pdfs"], "c: not a configured node any more")
    assert made.links_kept == 2


def test_links_to_a_node_that_is_away_wait_and_nothing_of_it_is_deleted() -> None:
    observed = nodes("a", "b", databases="pdfs", links=linked("pdfs", "a -> b", "c -> a"))

    made = plan(wish(), observed)

    assert pairs(made.writes) == ["b -> a", "c -> b"]
    assert made.unwritten == [("a", "c", ["pdfs"]), ("b", "c", ["pdfs"])]
    assert made.deletes == []
    assert made.creates == []


def test_the_primarys_absence_makes_no_other_node_the_hub() -> None:
    made = plan(wish(rules=rules(topology=Topology.STAR)), nodes("b", "c", databases="pdfs"))

    assert pairs(made.writes) == ["a -> b", "a -> c"]


def test_links_of_a_database_that_may_be_on_the_node_that_is_away_are_left_alone() -> None:
    links = linked("pdfs", "a -> b", "c -> b")

    assert plan(wish(), nodes("a", "b", links=links)).deletes == []
    assert len(plan(wish(), nodes("a", "b", "c", links=links)).deletes) == 2


def test_links_of_a_database_that_is_made_now_go_also_while_a_node_is_away() -> None:
    """Else the next plan would have to take them away."""
    links = linked("pdfs", "a -> b")

    made = plan(wish(only=frozenset({"pdfs"}), rules=rules(mode=Mode.ON_CHANGE)), nodes("b", "c", links=links))

    assert set(deleted(made)) == {"nbr:a:b:pdfs"}


def test_links_of_a_former_node_go_also_while_another_is_away() -> None:
    links = {"b": linked("pdfs", "z -> b")["b"]}

    assert len(plan(wish(), nodes("a", "b", links=links)).deletes) == 1


# --- single links


def test_documents_of_other_people_are_left_alone() -> None:
    theirs = {name: FoundLink("1-x", "whatever") for name in ("theirs", "nbr", "nbr:A:b:pdfs", "nbr:a:b:", "nbr:a")}

    assert plan(wish(("a", "b")), nodes("a", "b", databases="pdfs", links={"a": theirs, "b": theirs})).deletes == []


def test_a_link_that_says_something_else_is_rewritten() -> None:
    links = linked("pdfs", "a -> b", shape="other") | linked("pdfs", "b -> a")

    made = plan(wish(("a", "b")), nodes("a", "b", databases="pdfs", links=links))

    assert made.writes == [WriteLink(Link("pdfs", "a", "b"), "1-x", "changed")]


def test_a_link_that_couchdb_has_given_up_is_rewritten() -> None:
    links = linked("pdfs", "a -> b", "b -> a")
    links["b"]["nbr:a:b:pdfs"] = replace(links["b"]["nbr:a:b:pdfs"], failed=True)

    made = plan(wish(("a", "b")), nodes("a", "b", databases="pdfs", links=links))

    assert made.writes == [WriteLink(Link("pdfs", "a", "b"), "1-x", "failed")]


def test_a_link_that_is_to_be_kicked_is_made_anew_unless_it_is_rewritten_anyway() -> None:
    links = linked("pdfs", "a -> b", "b -> a") | {}
    kicks = frozenset({"nbr:a:b:pdfs", "nbr:b:a:gone"})
    observed = nodes("a", "b", databases="pdfs", links=links)

    made = plan(wish(("a", "b"), kicks=kicks), observed)
    assert (made.kicks, made.writes) == ([KickLink(Link("pdfs", "a", "b"), "1-x")], [])

    links["b"]["nbr:a:b:pdfs"] = replace(links["b"]["nbr:a:b:pdfs"], shape="other")
    made = plan(wish(("a", "b"), kicks=kicks), nodes("a", "b", databases="pdfs", links=links))
    assert (made.kicks, [step.why for step in made.writes]) == ([], ["changed"])


# --- topology, direction, mode


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (Rule(), MESH_OF_THREE),
        (Rule(topology=Topology.STAR), ["a -> b", "a -> c", "b -> a", "c -> a"]),
        (Rule(topology=Topology.RING, direction=Direction.ONE_WAY), ["a -> b", "b -> c", "c -> a"]),
        (Rule(direction=Direction.ONE_WAY), ["a -> b", "a -> c"]),
        (Rule(topology=Topology.STAR, direction=Direction.ONE_WAY), ["a -> b", "a -> c"]),
        (Rule(topology=Topology.RING), MESH_OF_THREE),
    ],
)
def test_links_are_those_of_the_rules_topology_and_direction(rule: Rule, wanted: list[str]) -> None:
    observed = nodes(*ABC, databases="pdfs", links=linked("pdfs", *MESH_OF_THREE))

    assert pairs(plan(wish(rules=Rules(default=rule)), nodes(*ABC, databases="pdfs")).writes) == wanted
    made = plan(wish(rules=Rules(default=rule)), observed)
    assert len(made.deletes) == 6 - len(wanted)
    assert (made.writes, made.links_kept) == ([], len(wanted))


def test_a_database_that_was_set_up_one_way_is_linked_one_way() -> None:
    observed = nodes(*ABC, databases="pdfs x")

    made = plan(wish(narrowed=frozenset({"pdfs"})), observed)

    assert pairs(made.writes, "pdfs") == ["a -> b", "a -> c"]
    assert pairs(made.writes, "x") == MESH_OF_THREE


def test_each_database_goes_by_its_own_rule() -> None:
    """Also databases with other rules, which are linked in groups."""
    own = Rules(
        (
            Rule(("notes-*",), topology=Topology.STAR, selector={"type": "note"}),
            Rule(("many-*",), mode=Mode.ON_CHANGE),
            Rule(("off-*",), mode=Mode.OFF),
        )
    )

    made = plan(wish(rules=own), nodes(*ABC, databases="notes-1 many-1 off-1 pdfs notes-2"))

    assert pairs(made.writes, "notes-1") == pairs(made.writes, "notes-2") == ["a -> b", "a -> c", "b -> a", "c -> a"]
    assert pairs(made.writes, "pdfs") == MESH_OF_THREE
    assert made.modes == {
        "notes-1": Mode.CONTINUOUS,
        "notes-2": Mode.CONTINUOUS,
        "many-1": Mode.ON_CHANGE,
        "pdfs": Mode.CONTINUOUS,
    }


def test_the_links_of_a_database_that_travels_on_change_go() -> None:
    observed = nodes("a", "b", databases="pdfs", links=linked("pdfs", "a -> b", "b -> a"))

    made = plan(wish(("a", "b"), rules(mode=Mode.ON_CHANGE)), observed)

    assert set(deleted(made).values()) == {"the database travels by on-change"}
    assert len(made.deletes) == 2
    assert plan(wish(("a", "b"), rules(mode=Mode.ON_CHANGE)), nodes("a", "b", databases="pdfs")).steps == 0


def test_what_is_automatic_turns_on_change_where_links_are_too_many() -> None:
    names = " ".join(f"db-{number}" for number in range(251))
    observed = nodes("a", "b", databases=names)

    few, many = plan(wish(("a", "b"), Rules(exclude=("db-0",))), observed), plan(wish(("a", "b")), observed)

    assert (few.automatic, len(few.writes)) == (Mode.CONTINUOUS, 500)
    assert (many.automatic, many.steps) == (Mode.ON_CHANGE, 0)
    assert set(many.modes.values()) == {Mode.ON_CHANGE}


def test_all_databases_count_for_the_automatic_mode_also_where_one_was_asked_for() -> None:
    names = " ".join(f"db-{number}" for number in range(251))

    made = plan(wish(("a", "b"), only=frozenset({"db-1"}), asked=True), nodes("a", "b", databases=names))

    assert (made.automatic, made.modes) == (Mode.ON_CHANGE, {"db-1": Mode.ON_CHANGE})


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.CONTINUOUS])
def test_nodes_without_a_scheduler_get_databases_but_no_links(mode: Mode) -> None:
    observed = {"a": NodeFound(frozenset({"pdfs"}), scheduler=False), "b": NodeFound(frozenset(), scheduler=False)}

    made = plan(wish(("a", "b"), rules(mode=mode)), observed)

    assert made.creates == [CreateDatabase("b", "pdfs", "a")]
    assert (made.writes, made.modes) == ([], {"pdfs": Mode.ON_CHANGE})


def test_where_links_are_not_wanted_none_is_made_or_deleted() -> None:
    observed = nodes("a", "b", databases="pdfs", links=linked("pdfs", "z -> b") | linked("other", "b -> a"))

    made = plan(wish(("a", "b"), linked=False), observed)

    assert made.steps == 0


# --- what is ours, and what was asked for


def test_only_what_was_asked_for_is_touched() -> None:
    links = linked("pdfs", "z -> a") | {"b": {**linked("other", "z -> b")["b"], **linked("x", "a -> b")["b"]}}
    observed = {
        **nodes("a", "b", databases="pdfs other", links=links),
        "c": NodeFound(frozenset(), ledger=frozenset({"other"})),
    }

    made = plan(wish(only=frozenset({"pdfs"}), asked=True), observed)

    assert {step.database for step in made.creates} == {"pdfs"}
    assert {step.link.database for step in made.writes} == {"pdfs"}
    assert set(deleted(made)) == {"nbr:z:a:pdfs"}
    assert (made.removed, list(made.modes)) == ({}, ["pdfs"])


def test_our_own_database_is_made_everywhere_and_goes_by_no_rule_for_users_databases() -> None:
    theirs = Rules((Rule(("*",), direction=Direction.ONE_WAY, selector={"type": "note"}),))

    made = plan(wish(("a", "b"), theirs, own=frozenset({OWN_DATABASE})), nodes("a", "b"))

    assert {step.node for step in made.creates} == {"a", "b"}
    assert pairs(made.writes) == ["a -> b", "b -> a"]
    assert theirs.of(OWN_DATABASE) == theirs.default  # whoever writes the links must see it alike


def test_each_node_has_the_links_that_it_pulls() -> None:
    made = plan(wish(("a", "b")), nodes("a", "b", databases="pdfs x"))

    assert Counter(step.link.target for step in made.writes) == {"a": 2, "b": 2}


# --- properties


@dataclass
class SimulatedNode:
    databases: set[str]
    links: dict[str, FoundLink]
    ledger: set[str]


Step = CreateDatabase | DeleteLink | WriteLink | tuple[str, KickLink]


@dataclass
class World:
    """Nodes that do what they are told. `away` ones are not seen, and nothing may be done on them."""

    nodes: dict[str, SimulatedNode]
    away: frozenset[str]
    max_jobs: int
    revisions: Iterator[int] = field(default_factory=lambda: count(1))

    def copy(self) -> World:
        copied = {n: SimulatedNode(set(v.databases), dict(v.links), set(v.ledger)) for n, v in self.nodes.items()}
        return World(copied, self.away, self.max_jobs)

    def observed(self) -> Observed:
        return {
            name: NodeFound(frozenset(node.databases), dict(node.links), frozenset(node.ledger), True, self.max_jobs)
            for name, node in self.nodes.items()
            if name not in self.away
        }

    def facts(self) -> Any:
        return {
            name: (node.databases, {key: (found.shape, found.failed) for key, found in node.links.items()})
            for name, node in self.nodes.items()
        }

    def take(self, step: Step, desired: Desired) -> None:
        match step:
            case CreateDatabase(node, database, like):
                assert like is None or database in self.nodes[like].databases
                self._at(node).databases.add(database)
            case DeleteLink(node, document, revision, _):
                assert self._at(node).links.pop(document).revision == revision
            case WriteLink(link, revision, _):
                self._write(link, revision, desired)
            case ("delete", KickLink(link, revision)):
                assert self._at(link.target).links.pop(_id(link)).revision == revision
            case ("write", KickLink(link, _)):
                self._write(link, None, desired)

    def _write(self, link: Link, revision: str | None, desired: Desired) -> None:
        node, document = self._at(link.target), _id(link)
        found = node.links.get(document)
        assert (found.revision if found else None) == revision
        rule = desired.rules.of(link.database)
        node.links[document] = FoundLink(f"{next(self.revisions)}-new", shape(link.source, link.target, rule))

    def _at(self, name: str) -> SimulatedNode:
        assert name not in self.away
        return self.nodes[name]


def _id(link: Link) -> str:
    return replication_document_id(link.database, link.source, link.target)


def steps(made: Plan) -> list[Step]:
    kicks: list[Step] = [(part, kick) for kick in made.kicks for part in ("delete", "write")]
    return [*made.creates, *made.deletes, *made.writes, *kicks]


NAMES = ["pdfs", "notes", "old", "_users", OWN_DATABASE]
modes = st.sampled_from([Mode.AUTO, Mode.CONTINUOUS, Mode.ON_CHANGE, Mode.OFF])
a_rule = st.builds(
    Rule,
    databases=st.sampled_from([("*",), ("pdfs",), ("n*",), ("old", "pdfs")]),
    topology=st.sampled_from(list(Topology)),
    direction=st.sampled_from(list(Direction)),
    mode=modes,
    selector=st.sampled_from([None, {"type": "note"}]),
)
some_rules = st.builds(
    Rules,
    rules=st.lists(a_rule, max_size=2).map(tuple),
    exclude=st.sampled_from([(), ("old",)]),
    users=st.booleans(),
    default=st.builds(Rule, topology=st.sampled_from(list(Topology)), mode=st.sampled_from(list(Mode)[:3])),
)
subsets = st.sets(st.sampled_from(NAMES))
some_links = st.dictionaries(
    st.tuples(st.sampled_from("abcdz"), st.sampled_from("abcd"), st.sampled_from(NAMES)),
    st.builds(FoundLink, st.just("1-x"), st.sampled_from(["a b None", "b a None", "other"]), st.booleans()),
    max_size=8,
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Desired, World]:
    names = tuple("abcd"[: draw(st.integers(2, 4))])
    links = draw(some_links)
    world = World(
        nodes={
            name: SimulatedNode(
                draw(subsets),
                {
                    replication_document_id(database, source, target): found
                    for (source, target, database), found in links.items()
                    if target == name
                }
                | {"theirs": FoundLink("1-x", "theirs")},
                draw(subsets),
            )
            for name in names
        },
        away=frozenset(draw(st.sets(st.sampled_from(names), max_size=len(names) - 2))),
        max_jobs=draw(st.sampled_from([2, 6, 500])),
    )
    documents = [key for node in world.nodes.values() for key in node.links if key != "theirs"]
    desired = Desired(
        nodes=names,
        rules=draw(some_rules),
        shape=shape,
        only=draw(st.none() | st.frozensets(st.sampled_from(NAMES[:4]), min_size=1)),
        own=draw(st.sampled_from([frozenset(), frozenset({OWN_DATABASE})])),
        asked=draw(st.booleans()),
        narrowed=draw(st.frozensets(st.sampled_from(NAMES[:3]))),
        kicks=frozenset(draw(st.sets(st.sampled_from(documents)))) if documents else frozenset(),
        earlier=draw(st.sampled_from([None, Mode.CONTINUOUS, Mode.ON_CHANGE])),
        linked=draw(st.booleans()),
    )
    return desired, world


def carry_out(world: World, desired: Desired, most: int | None = None) -> Plan:
    made = plan(desired, world.observed())
    for step in steps(made)[:most]:
        world.take(step, desired)
    return made


@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(case: tuple[Desired, World]) -> None:
    desired, world = case
    made = carry_out(world, desired)

    again = plan(replace(desired, kicks=frozenset(), earlier=made.automatic), world.observed())

    assert steps(again) == []
    assert again.modes == made.modes


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(0, 30), st.integers(0, 30))
def test_a_plan_that_was_broken_off_anywhere_ends_where_a_whole_one_does(
    case: tuple[Desired, World], first: int, second: int
) -> None:
    desired, world = case
    whole = world.copy()
    carry_out(whole, desired)

    carry_out(world, desired, first)
    carry_out(world, desired, second)
    carry_out(world, desired)

    assert world.facts() == whole.facts()


@settings(max_examples=100, deadline=None)
@given(cases())
def test_what_is_not_ours_and_databases_that_exist_are_never_taken_away(case: tuple[Desired, World]) -> None:
    desired, world = case
    before = world.copy()
    carry_out(world, desired)

    for name, node in world.nodes.items():
        assert node.databases >= before.nodes[name].databases
        assert node.links["theirs"] == FoundLink("1-x", "theirs")
        for document in before.nodes[name].links.keys() - node.links.keys():
            parsed = parse_replication_document_id(document)
            assert parsed is not None
            assert desired.only is None or parsed[2] in desired.only


@settings(max_examples=100, deadline=None)
@given(cases())
def test_no_link_is_made_between_nodes_of_which_one_is_to_lack_the_database(case: tuple[Desired, World]) -> None:
    desired, world = case
    made = carry_out(world, desired)

    for step in made.writes:
        assert step.link.database in world.nodes[step.link.target].databases
        if step.link.source not in world.away:
            assert step.link.database in world.nodes[step.link.source].databases
