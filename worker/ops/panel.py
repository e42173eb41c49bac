"""The nodes that a verify compares, asked all at once. One that fails is dropped and named; the others go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any, TypeVar

from worker.core.difference import Differing, all_leaves, behind, differing, standing
from worker.core.model import DatabaseInfo, Leaves, Row
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.check import BATCH
from worker.ops.control import Control
from worker.ops.look import answers, require_two
from worker.ops.parallel import ahead, batches, each

PAGE = 10_000  # rows of a feed in one answer: a megabyte or two
A_LOOK_UP = 20  # rows of a feed that cost CouchDB as much as looking up one id

Value = TypeVar("Value")


class Panel:
    """`infos`: the nodes, with what they say of the database. `skipped` grows by those that fail on the way."""

    def __init__(
        self,
        cluster: Cluster,
        infos: Mapping[str, DatabaseInfo],
        skipped: dict[str, str],
        selector: Mapping[str, Any] | None,
        control: Control,
    ) -> None:
        self.cluster = cluster
        self.names = list(infos)
        self.skipped = skipped
        self.selector = selector
        self.control = control
        self._database = next(iter(infos.values())).name
        self._sizes = {name: info.doc_count + info.doc_del_count for name, info in infos.items()}

    def __getitem__(self, name: str) -> Database:
        return Database(self.cluster[name], self._database)

    @property
    def database(self) -> str:
        return self._database

    def ask(self, work: Callable[[str], Value], control: Control | None = None) -> dict[str, Value]:
        """`work` for every node at once; what each said. Raises NotEnoughNodes where fewer than two are left, and
        what all failed with."""
        answered, failed = answers(self.cluster, each(self.names, work, control or self.control))
        self.drop(failed)
        return answered

    def drop(self, reasons: Mapping[str, str]) -> None:
        """Go on without these nodes. Raises NotEnoughNodes."""
        self.skipped.update({name: f"lost in mid-verify: {why}" for name, why in reasons.items()})
        self.names = [name for name in self.names if name not in reasons]
        require_two(self.cluster, self.names, self.skipped)

    def read(self, phase: str, take: Callable[[str, list[Row]], None]) -> dict[str, int]:
        """Every node's whole feed, page by page: `take(node, rows)`, in a thread a node. Returns node -> rows."""
        done = dict.fromkeys(self.names, 0)
        stopped = threading.Event()

        def drain(name: str) -> None:
            with closing(ahead(self[name].pages(PAGE, selector=self.selector))) as pages:
                for rows in pages:
                    if stopped.is_set():
                        return
                    take(name, rows)
                    done[name] += len(rows)

        def tell() -> None:
            count = sum(done.values())
            # how many match a selector is not known before
            total = max(count, sum(self._sizes[name] for name in self.names)) if self.selector is None else None
            self.control.report(phase, count, total, "documents")

        tell()
        try:
            self.ask(drain, _Telling(self.control, tell))
        finally:
            stopped.set()
        return {name: done[name] for name in self.names}

    def second_look(self, first: Differing, phase: str) -> Differing:
        """Those of the differences that stand. Leaves are read anew only of documents of which nobody lacks
        anything: mostly none, and never all of a database that is different as a whole."""
        found = behind(self.lacking({key: all_leaves(at) for key, at in first.items()}, phase))
        rest = [key for key in first if key not in found]
        others = differing(self.leaves_of(rest, phase)) if rest else {}
        return standing(first, found, others)

    def leaves_of(self, ids: list[str], phase: str) -> dict[str, dict[str, Leaves]]:
        """Node -> id -> leaves now: looked up where these documents are few, else sifted from the whole feed."""
        found: dict[str, dict[str, Leaves]] = {name: {} for name in self.names}
        if self.selector is not None or len(ids) * A_LOOK_UP > max(self._sizes.values()):
            wanted = frozenset(ids)
            self.read(phase, lambda name, rows: found[name].update(row for row in rows if row[0] in wanted))
        else:
            self._in_batches(ids, phase, found, lambda name, batch: self[name].leaves_of(batch))
        return {name: found[name] for name in self.names}

    def lacking(self, leaves: Mapping[str, Iterable[str]], phase: str) -> dict[str, dict[str, list[str]]]:
        """Node -> id -> which of these revisions it never had, not even as ancestors."""
        found: dict[str, dict[str, list[str]]] = {name: {} for name in self.names}

        def ask(name: str, batch: list[str]) -> dict[str, list[str]]:
            return self[name].missing({document_id: list(leaves[document_id]) for document_id in batch})

        self._in_batches(list(leaves), phase, found, ask)
        return {name: found[name] for name in self.names}

    def _in_batches(
        self,
        ids: list[str],
        phase: str,
        found: dict[str, dict[str, Value]],
        ask: Callable[[str, list[str]], Mapping[str, Value]],
    ) -> None:
        for number, batch in enumerate(batches(ids, BATCH)):
            self.control.check()
            self.control.report(phase, number * BATCH, len(ids), "documents")
            for name, said in self.ask(lambda name, batch=batch: ask(name, batch)).items():  # type: ignore[misc]
                found[name].update(said)


class _Telling:
    """A control that tells how far the work is whenever it is asked whether to go on."""

    def __init__(self, control: Control, tell: Callable[[], None]) -> None:
        self.report = control.report
        self._check = control.check
        self._tell = tell

    def check(self) -> None:
        self._tell()
        self._check()
