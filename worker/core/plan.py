"""What has to be done so that what exists is what should exist. Pure: (desired, observed) -> steps in order.

Compared in bulk, a pair of nodes at a time and not a database at a time, because there may be 100,000 of them. A plan
that was carried out leaves nothing for the next one. What cannot be seen is left alone: links on a node that does not
answer, documents that are not ours, and links of databases that may exist on a node that is away.

A database that a node is known to have had and lacks now was deleted there by somebody. It is not deleted elsewhere and
not made again, unless `asked`; its links to and from that node go, because they could only crash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from worker.core.model import Link
from worker.core.modes import Load, Wish, automatic
from worker.core.names import parse_replication_document_id, replication_document_prefix
from worker.core.observed import FoundLink, Observed
from worker.core.rules import Direction, Mode, Rule, Rules
from worker.core.topology import Topology, links

Shape = Callable[[str, str, Rule], str]  # (source, target, rule) -> the shape its documents should have


@dataclass(frozen=True)
class Desired:
    """What should be.

    `nodes` in configured order. `only`: the databases that somebody named (None: all that the rules select, and `own`,
    which is ours and exists on every node). `asked`:
    a person wants it now: databases are made where they are missing, whatever was deleted there. `narrowed`: databases
    that were set up one way. `kicks`: ids of documents to be deleted and made again. `earlier`: the automatic mode at
    the last look. `linked` false: links are left as they are. `off`: nothing travels by itself, so no links are wanted.
    """

    nodes: tuple[str, ...]
    rules: Rules
    shape: Shape
    only: frozenset[str] | None = None
    own: frozenset[str] = frozenset()
    asked: bool = False
    narrowed: frozenset[str] = frozenset()
    kicks: frozenset[str] = frozenset()
    earlier: Mode | None = None
    linked: bool = True
    off: bool = False


@dataclass(frozen=True)
class CreateDatabase:
    """`like`: a node whose shape it gets; None where no node has it."""

    node: str
    database: str
    like: str | None


@dataclass(frozen=True)
class DeleteLink:
    node: str
    document: str
    revision: str
    why: str


@dataclass(frozen=True)
class WriteLink:
    """Create it, or where there is a `revision` rewrite it. `why`: missing, changed, or failed."""

    link: Link
    revision: str | None
    why: str


@dataclass(frozen=True)
class KickLink:
    """Delete and make again: CouchDB has no other way to start a link anew."""

    link: Link
    revision: str


@dataclass
class Plan:
    """Steps in the order in which they are to be taken, and what was seen on the way.

    `removed`: database -> nodes on which somebody deleted it. `modes`: database -> how it travels. `kept`: links that
    are as they should be. `unwritten`: links whose target did not answer. `load`: what decided the automatic mode.
    """

    creates: list[CreateDatabase] = field(default_factory=list)
    deletes: list[DeleteLink] = field(default_factory=list)
    writes: list[WriteLink] = field(default_factory=list)
    kicks: list[KickLink] = field(default_factory=list)
    removed: dict[str, list[str]] = field(default_factory=dict)
    modes: dict[str, Mode] = field(default_factory=dict)
    kept: list[tuple[str, str, list[str]]] = field(default_factory=list)
    unwritten: list[tuple[str, str, list[str]]] = field(default_factory=list)
    automatic: Mode = Mode.ON_CHANGE
    load: Load | None = None

    @property
    def steps(self) -> int:
        return len(self.creates) + len(self.deletes) + len(self.writes) + len(self.kicks)

    @property
    def digest(self) -> str:
        """Equal for plans of the same steps, whatever revision they start from: a link that somebody changes back
        again and again is the same plan each time."""
        told = hashlib.blake2b(digest_size=16)
        for create in self.creates:
            told.update(f"create {create.node} {create.database}\n".encode())
        for gone in self.deletes:
            told.update(f"delete {gone.node} {gone.document}\n".encode())
        for link in (*(step.link for step in self.writes), *(step.link for step in self.kicks)):
            told.update(f"write {link} {link.database}\n".encode())
        return told.hexdigest()

    @property
    def links_kept(self) -> int:
        return sum(len(names) for _, _, names in self.kept)


@dataclass(frozen=True)
class _Group:
    """Databases that are linked alike: one rule, the same nodes that lost them."""

    rule: Rule
    bidirectional: bool
    absent: tuple[str, ...]
    names: list[str]


def plan(desired: Desired, observed: Observed) -> Plan:
    """`observed` has the nodes that answered."""
    made = Plan()
    everywhere = set().union(*(found.databases for found in observed.values()))
    chosen = _chosen(desired, everywhere)
    _plan_databases(desired, observed, chosen, made)
    groups = list(_groups(desired, chosen, made.removed))
    # all databases count for the automatic mode, also where only one was asked for
    whole = groups if desired.only is None else _groups(desired, [*_selected(desired, everywhere, desired.only)], {})
    wishes = [Wish(group.rule.mode, group.rule.topology, group.bidirectional, len(group.names)) for group in whole]
    made.automatic, made.load = automatic(wishes, desired.nodes, observed, earlier=desired.earlier)
    for group in groups:
        mode = Mode.OFF if desired.off else _mode(group.rule, made.automatic, observed)
        made.modes.update(dict.fromkeys(group.names, mode))
    if desired.linked:
        _plan_links(desired, observed, groups, everywhere, made)
    return made


def _chosen(desired: Desired, everywhere: Iterable[str]) -> list[str]:
    return sorted(_selected(desired, everywhere) if desired.only is None else desired.only)


def _selected(desired: Desired, everywhere: Iterable[str], more: Iterable[str] = ()) -> set[str]:
    return {name for name in everywhere if desired.rules.selected(name)}.union(desired.own, more)


def _plan_databases(desired: Desired, observed: Observed, chosen: list[str], made: Plan) -> None:
    wanted = set(chosen)
    for name in desired.nodes:
        if name not in observed:
            continue
        lacking = wanted - observed[name].databases
        gone = frozenset() if desired.asked else lacking & observed[name].ledger
        for database in gone:
            made.removed.setdefault(database, []).append(name)
        for database in sorted(lacking - gone):
            like = next((node for node in desired.nodes if database in _databases(observed, node)), None)
            made.creates.append(CreateDatabase(name, database, like))


def _databases(observed: Observed, node: str) -> frozenset[str]:
    return observed[node].databases if node in observed else frozenset()


def _groups(desired: Desired, chosen: list[str], removed: Mapping[str, list[str]]) -> Iterable[_Group]:
    found: dict[tuple[int, bool, tuple[str, ...]], _Group] = {}
    for name in chosen:
        rule = desired.rules.of(name)
        both = rule.direction is Direction.BOTH and name not in desired.narrowed
        absent = tuple(removed[name]) if name in removed else ()
        group = found.get((id(rule), both, absent))
        if group is None:
            group = found[(id(rule), both, absent)] = _Group(rule, both, absent, [])
        group.names.append(name)
    return found.values()


def _mode(rule: Rule, resolved: Mode, observed: Observed) -> Mode:
    if rule.mode is Mode.AUTO:
        return resolved
    if rule.mode is Mode.CONTINUOUS and not all(found.scheduler for found in observed.values()):
        return Mode.ON_CHANGE  # the nodes have no scheduler that could run links
    return rule.mode


def _plan_links(desired: Desired, observed: Observed, groups: list[_Group], everywhere: set[str], made: Plan) -> None:
    left = {node: dict(found.links) for node, found in observed.items()}
    for group in groups:
        if desired.off or _mode(group.rule, made.automatic, observed) is not Mode.CONTINUOUS:
            continue
        for pair in _pairs(desired.nodes, group):
            if pair.target in left:
                _plan_pair(desired, pair.source, pair.target, group, left[pair.target], made)
            else:
                made.unwritten.append((pair.source, pair.target, group.names))
    for node, links_left in left.items():
        made.deletes += _unwanted(desired, observed, node, links_left, everywhere, made.modes)


def _pairs(nodes: Sequence[str], group: _Group) -> list[Link]:
    """The links of a group, each with an empty database."""
    left = [node for node in nodes if node not in group.absent]
    goes_out = not group.bidirectional and not (group.rule.topology is Topology.RING and len(left) > 2)
    if len(left) < 2 or (goes_out and nodes[0] in group.absent):
        return []  # what goes out from the primary has no other source
    return links("", left, group.rule.topology, bidirectional=group.bidirectional)


def _plan_pair(
    desired: Desired, source: str, target: str, group: _Group, left: dict[str, FoundLink], made: Plan
) -> None:
    """Compare the links of one pair; what is found is taken out of `left`, where the unwanted ones stay."""
    wanted = desired.shape(source, target, group.rule)
    prefix, kicks = replication_document_prefix(source, target), desired.kicks
    kept: list[str] = []
    for name in group.names:  # two million times where there are 100,000 databases
        document = prefix + name
        found = left.pop(document, None)
        if found is None:
            made.writes.append(WriteLink(Link(name, source, target), None, "missing"))
        elif found.shape != wanted:
            made.writes.append(WriteLink(Link(name, source, target), found.revision, "changed"))
        elif found.failed:
            made.writes.append(WriteLink(Link(name, source, target), found.revision, "failed"))
        elif document in kicks:
            made.kicks.append(KickLink(Link(name, source, target), found.revision))
        else:
            kept.append(name)
    if kept:
        made.kept.append((source, target, kept))


def _unwanted(
    desired: Desired,
    observed: Observed,
    node: str,
    left: Mapping[str, FoundLink],
    everywhere: set[str],
    modes: Mapping[str, Mode],
) -> Iterator[DeleteLink]:
    all_answered = len(observed) == len(desired.nodes)
    for document, found in left.items():
        parsed = parse_replication_document_id(document)
        if parsed is None:
            continue  # not ours
        source, target, database = parsed
        if desired.only is not None and database not in desired.only:
            continue
        known = database in everywhere or database in modes
        if source in desired.nodes and target in desired.nodes and not known and not all_answered:
            continue  # it may be on the node that is away
        yield DeleteLink(node, document, found.revision, _why_unwanted(desired, source, target, database, modes))


def _why_unwanted(desired: Desired, source: str, target: str, database: str, modes: Mapping[str, Mode]) -> str:
    strangers = [node for node in (source, target) if node not in desired.nodes]
    if strangers:
        return f"{' and '.join(strangers)}: not a configured node any more"
    if database not in modes:
        return "the database is gone, or not selected any more"
    if modes[database] is not Mode.CONTINUOUS:
        return f"the database travels by {modes[database].value}"
    return "not in the topology any more, or the database was deleted on one of its nodes"
