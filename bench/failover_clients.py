"""Clients with a steady mixed load, for bench/failover.py: each on one connection that is kept, one request at a time.

In turn, for one database after the other: read back the own last write there, write (a new document, every third time
the last one again), read it back at once, and every fourth time list ten documents. The own last write in a database is
as old as a round over all databases takes, so it may have been made on a node that is dead by now.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.failover_figures import Asked
from embedded.ports import LOOPBACK

PATIENCE = 30.0  # seconds
TEXT = "x" * 200


@dataclass(frozen=True)
class Own:
    """The last write of this client in a database that was acknowledged."""

    document: str
    revision: str
    at: float


class Client:
    """`authorization`: the header. `rate`: requests a second at most."""

    def __init__(self, name: str, port: int, databases: Sequence[str], authorization: str, rate: float) -> None:
        self.name = name
        self.asked: list[Asked] = []
        self._port = port
        self._databases = random.Random(name).sample(databases, len(databases))
        self._headers = {"Authorization": authorization, "Content-Type": "application/json"}
        self._pause = 1.0 / rate
        self._own: dict[str, Own] = {}
        self._over = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def join(self) -> None:
        self._thread.join(PATIENCE * 2)

    def _run(self) -> None:
        next_at = time.monotonic()
        for request in self._requests():
            request()
            next_at = max(next_at + self._pause, time.monotonic())
            if self._over.wait(next_at - time.monotonic()):
                break
        self._hang_up()

    def _requests(self) -> Iterator[Callable[[], None]]:
        turn = 0
        while True:
            for database in self._databases:
                turn += 1
                if database in self._own:
                    yield partial(self._read, database)
                yield partial(self._write, database, again=turn % 3 == 0)
                if database in self._own:
                    yield partial(self._read, database)
                if turn % 4 == 0:
                    yield partial(self._list, database)

    def _read(self, database: str) -> None:
        own = self._own[database]
        began, status, body, trouble = self._ask("GET", f"/{database}/{own.document}?")
        result = _result(status)
        if status == 404 or (status == 200 and _older(str(body.get("_rev")), own.revision)):
            result = "stale"
        self._note("read", database, own.document, began, result, trouble or str(status), age=began - own.at)

    def _write(self, database: str, *, again: bool) -> None:
        own = self._own.get(database) if again else None
        document = own.document if own else f"{self.name}-{len(self.asked):06}"
        revision = {"_rev": own.revision} if own else {}
        said = {**revision, "by": self.name, "text": TEXT}
        began, status, body, trouble = self._ask("PUT", f"/{database}/{document}?", said)
        acknowledged = str(body["rev"]) if status in {201, 202} else None
        kind = "update" if own else "new"
        self._note(kind, database, document, began, _result(status), trouble or str(status), revision=acknowledged)
        if acknowledged:
            self._own[database] = Own(document, acknowledged, time.time())

    def _list(self, database: str) -> None:
        began, status, _, trouble = self._ask("GET", f"/{database}/_all_docs?limit=10&")
        self._note("list", database, "", began, _result(status), trouble or str(status))

    def _ask(self, method: str, path: str, said: object = None) -> tuple[float, int, dict[str, object], str | None]:
        """When it began, the status (0: no answer), the body, and what went wrong."""
        data = None if said is None else json.dumps(said)
        began = time.time()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=PATIENCE)
            self._connection.request(method, f"{path}n={self._number()}", data, self._headers)
            answer = self._connection.getresponse()
            body = answer.read()
            return began, answer.status, json.loads(body) if body else {}, None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._hang_up()
            return began, 0, {}, repr(error)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _number(self) -> str:
        return f"{self.name}-{len(self.asked)}"

    def _note(
        self,
        kind: str,
        database: str,
        document: str,
        began: float,
        result: str,
        detail: str,
        *,
        revision: str | None = None,
        age: float | None = None,
    ) -> None:
        number, ended = self._number(), time.time()
        self.asked.append(Asked(number, kind, database, document, began, ended, result, detail, revision, age))


def _result(status: int) -> str:
    if status == 409:
        return "refused"
    return "ok" if 200 <= status < 300 else "failed"


def _older(found: str, own: str) -> bool:
    """Whether it is not what was written, nor anything after it."""
    return found != own and int(found.partition("-")[0]) <= int(own.partition("-")[0])
