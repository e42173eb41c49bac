"""Make replication what it should be on every node that answers; run twice, it changes nothing.

    observe    who answers; which databases, links and ledgers are where
    plan       what is missing, what is wrong, what is too much (worker.core.plan, pure)
    create     databases where they are missing, with the shape they have elsewhere
    security   `_security` for databases that have none of their own
    link       the continuous links' documents, each in the `_replicator` of its target
    remember   what each node has now, so that a later deletion is seen as one

The same for a person who names databases, for one who asks for all, and for the schedule (`asked` false), which makes
no database again that somebody deleted on a node. Links are planned over all configured nodes, not over those that
answer just now: the primary's absence must not make another node the hub of a star.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from worker.core.errors import ReplicationError, Unsupported
from worker.core.model import Link
from worker.core.names import OWN_DATABASE
from worker.core.plan import Desired, Plan, Shape, plan
from worker.core.replication import link_document, shape
from worker.core.rules import Direction, Mode, Rule, Rules
from worker.couch.cluster import Cluster
from worker.ops import choices, ledger, tuning
from worker.ops.apply import Applied, apply
from worker.ops.choices import Choice
from worker.ops.control import Control
from worker.ops.look import reason, require_any, require_two
from worker.ops.observe import Found, observe
from worker.ops.own import ensure_own_database, prepare
from worker.ops.parallel import each
from worker.ops.setup_result import SetupResult


@dataclass(frozen=True)
class Wanted:
    """What is to be made.

    `databases` None: all that the rules select. `bidirectional` false: these databases are linked one way from now on.
    `asked`: a person wants it (see above). `continuous` false: no links are wanted, and those there are go when
    somebody asks. `canary`: our own database is replicated too. `kicks`: ids of link documents to be started anew.
    `earlier`: the automatic mode until now. `tune`: set the replicator's options on the nodes (worker.ops.tuning).
    `dry_run`: only say what would be done.
    """

    databases: Sequence[str] | None
    bidirectional: bool = True
    rules: Rules = field(default_factory=Rules)
    continuous: bool = True
    asked: bool = True
    canary: bool = False
    kicks: frozenset[str] = frozenset()
    earlier: Mode | None = None
    tune: bool = False
    dry_run: bool = False


def setup(cluster: Cluster, wanted: Wanted, control: Control) -> SetupResult:
    """Raises NotEnoughNodes, OneNodeOnly, MixedNodeKinds, SameNodeTwice, Unsupported (a rule that this kind of node
    cannot follow), and what all nodes failed with."""
    found, planned = look(cluster, wanted, control)
    names = list(found.nodes)
    decided = _decided(wanted, found)
    turned = _turned(wanted, found, decided)
    result = SetupResult(names, found.skipped, planned, wanted.databases, turned=turned)
    if wanted.dry_run:
        result.dry_run = True
        result.tuned = tuning.would(cluster, names, found.configuration) if wanted.tune else []
        return result
    control.check()
    done = result.applied
    for name, error in prepare(cluster, names).items():
        done.fail(f"our own database could not be made on {name}: {reason(error)}")
    # before any database is made: a sync of what changed must not be quicker than the choice
    unnoted = _choose(cluster, decided, not wanted.bidirectional, found)
    for name, error in unnoted.items():
        done.fail(f"the direction could not be noted on {name}: {reason(error)}")
    if len(unnoted) == len(names):
        result.turned = {}
    if wanted.tune:
        result.tuned, failed = tuning.tune(cluster, names, found.configuration)
        for what in failed:
            done.fail(what)
    apply(cluster, planned, wanted.rules, wanted.databases or (), done, control)
    for trouble in remember(cluster, wanted, found, planned, done):
        done.fail(trouble)
    return result


def look(cluster: Cluster, wanted: Wanted, control: Control) -> tuple[Found, Plan]:
    """What there is, and what would have to be done. Changes nothing."""
    control.report("observe")
    found = observe(cluster, control)
    names = list(found.nodes)
    require_any(names, found.skipped)
    cluster.refuse_unfit(names)
    if wanted.asked or len(cluster.names) > 1:  # of a single node, the links from those that were removed have to go
        require_two(cluster, names, found.skipped)
    _refuse_selectors(cluster, wanted.rules, names)
    control.report("plan")
    return found, plan(_desired(cluster, wanted, found), found.nodes)


def _desired(cluster: Cluster, wanted: Wanted, found: Found) -> Desired:
    named = frozenset(wanted.databases) if wanted.databases is not None else None
    narrowed = found.narrowed - (named or frozenset())
    if not wanted.bidirectional:
        narrowed |= _meant(wanted, found)
    return Desired(
        nodes=tuple(cluster.names),
        rules=wanted.rules,
        shape=_shapes(cluster),
        only=named,
        own=frozenset({OWN_DATABASE}) if wanted.canary else frozenset(),
        asked=wanted.asked,
        narrowed=narrowed if wanted.asked else found.narrowed,
        kicks=wanted.kicks,
        earlier=wanted.earlier,
        linked=wanted.continuous or wanted.asked,
        off=not wanted.continuous,
    )


def _meant(wanted: Wanted, found: Found) -> frozenset[str]:
    """The databases that were named, else all that the rules select."""
    if wanted.databases is not None:
        return frozenset(wanted.databases)
    everywhere = frozenset().union(*(node.databases for node in found.nodes.values()))
    return frozenset(name for name in everywhere if wanted.rules.selected(name))


def _shapes(cluster: Cluster) -> Shape:
    """The shape that the documents of a pair should have, worked out once a pair and rule."""

    @cache
    def wanted(source: str, target: str, rule: Rule) -> str:
        link = Link("database", source, target)
        document = link_document(link, cluster[source].node, cluster[target].node, selector=rule.selector)
        return shape(document, link.database)

    return wanted


def _refuse_selectors(cluster: Cluster, rules: Rules, names: Sequence[str]) -> None:
    if any(rule.selector is not None for rule in rules.rules) and not all(
        cluster[name].capabilities().scheduler for name in names
    ):
        raise Unsupported("this kind of node cannot replicate by a selector: take it out of REPLICATION_RULES")


def _decided(wanted: Wanted, found: Found) -> frozenset[str]:
    """The databases whose direction is to be noted. Who asks for all without a word of the direction leaves those that
    somebody set up one way as they are."""
    if not wanted.asked or (wanted.databases is None and wanted.bidirectional):
        return frozenset()
    # both ways is what goes without saying: it is only noted where it overrules
    return _meant(wanted, found) if not wanted.bidirectional else _meant(wanted, found) & found.narrowed


def _turned(wanted: Wanted, found: Found, decided: frozenset[str]) -> dict[str, bool]:
    """Database -> whether it goes one way from now on, of those that went otherwise: not those that go so by rule."""
    one_way = not wanted.bidirectional

    def turns(name: str) -> bool:
        return (name in found.narrowed) is not one_way and wanted.rules.of(name).direction is Direction.BOTH

    return {name: one_way for name in sorted(decided) if turns(name)}


def _choose(cluster: Cluster, names: frozenset[str], one_way: bool, found: Found) -> dict[str, ReplicationError]:
    """Note on each node which way these databases go, and in `found`; returns node -> why it could not be noted."""
    if not names:
        return {}
    decided = dict.fromkeys(names, Choice(time.time(), one_way=one_way))
    outcomes = each(found.nodes, lambda name: choices.write(cluster[name], decided))
    for name, outcome in outcomes.items():
        if outcome.error is None:
            found.choices[name].update(decided)
    return {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}


def remember(cluster: Cluster, wanted: Wanted, found: Found, planned: Plan, done: Applied | None = None) -> list[str]:
    """Write each node's ledger, and the choices that it missed while it was away. Returns what could not be written, in
    words: the next reconcile writes it."""
    everywhere = frozenset().union(*(node.databases for node in found.nodes.values()), planned.modes)
    chosen = {name for name in everywhere if wanted.rules.selected(name) or name in planned.modes}
    created = done.created if done else {}
    newest = found.newest

    def note(name: str) -> None:
        node = found.nodes[name]
        made = {database for database, nodes in created.items() if name in nodes}
        # what is gone everywhere is forgotten: made anew on one node, it is to travel again. While a node is away
        # nobody knows that: it must not bring back what was deleted meanwhile
        known = node.ledger & everywhere if len(found.nodes) == len(cluster.names) else node.ledger
        now = ((node.databases | made) & chosen) | known
        missed = {
            database: choice for database, choice in newest.items() if found.choices[name].get(database) != choice
        }
        if now != node.ledger or missed:
            ensure_own_database(cluster[name])
        if now != node.ledger:
            ledger.write(cluster[name], now, node.ledger)
        if missed:
            choices.write(cluster[name], missed)

    outcomes = each(found.nodes, note)
    return [
        f"what {name} has could not be noted there: {reason(outcome.error)}"
        for name, outcome in outcomes.items()
        if outcome.error is not None
    ]
