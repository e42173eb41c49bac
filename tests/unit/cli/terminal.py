"""A terminal in front of an API that answers what a test has put down, at the HTTP seam: requests itself runs."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests
from click.testing import CliRunner, Result
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse

from cli.__main__ import nbr
from cli.options import Surroundings
from tests.unit.cli.bodies import NOW

URL = "http://127.0.0.1:5000"
TOKEN = "nbr_a-token-that-nobody-may-see"


@dataclass(frozen=True)
class Reply:
    """`body`: JSON where it is no text."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """Server-sent events, in these pieces; `broken`: the connection is reset after the last."""

    pieces: Sequence[str]
    broken: bool = False


@dataclass(frozen=True)
class Request:
    call: str  # `GET /api/jobs`
    query: dict[str, list[str]]
    body: Any
    headers: Mapping[str, str]
    options: Mapping[str, Any]


def problem(status: int, name: str, **more: Any) -> Reply:
    kind = f"urn:notebook-replication:problem:{name}"
    body = {"type": kind, "title": name.replace("-", " ").capitalize(), "status": status, **more}
    return Reply(status, body, {"Content-Type": "application/problem+json"})


def told(*jobs: Mapping[str, Any]) -> str:
    return "".join(f"event: job\ndata: {json.dumps(job, ensure_ascii=False)}\n\n" for job in jobs)


class FakeApi(BaseAdapter):
    """Each call gets its answers in their order, and the last one for ever: a JSON object, a Reply, a Stream, or an
    exception that requests would raise."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Request] = []
        self._answers: dict[str, list[Any]] = {}

    def on(self, call: str, *answers: Any) -> None:
        self._answers[call] = list(answers)

    def calls(self) -> list[str]:
        return [one.call for one in self.asked]

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        parts = urlsplit(request.url or "")
        call = f"{request.method} {unquote(str(parts.path))}"
        body = json.loads(request.body) if request.body else None
        self.asked.append(Request(call, parse_qs(str(parts.query)), body, dict(request.headers), options))
        answers = self._answers.get(call) or [problem(404, "not-found", detail=f"nothing is at {call}")]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return _response(request, answer)

    def close(self) -> None:
        pass


class Terminal:
    """`nbr` with no environment but what a test gives it."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.pauses: list[float] = []
        self.on_pause = lambda: None

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Result:
        around = Surroundings(
            environ={"NBR_URL": URL, "NBR_TOKEN": TOKEN} if environ is None else environ,
            env_file=Path(os.devnull),
            adapter=self.api,
            pause=self._pause,
            clock=lambda: NOW,
        )
        done = CliRunner().invoke(nbr, arguments, obj=around, prog_name="nbr")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert TOKEN not in done.output
        return done

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        """Each line of stdout; anything else on it fails."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.on_pause()


class _Pieces(io.BytesIO):
    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._left = [piece.encode() for piece in stream.pieces]
        self._broken = stream.broken

    def read1(self, size: int | None = -1, /) -> bytes:
        if self._left:
            return self._left.pop(0)
        if self._broken:
            raise ConnectionResetError
        return b""


def _response(request: requests.PreparedRequest, answer: Any) -> requests.Response:
    if isinstance(answer, Stream):
        status, media, more, content = 200, "text/event-stream", {}, _Pieces(answer)
    else:
        reply = answer if isinstance(answer, Reply) else Reply(body=answer)
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        status, media, more, content = reply.status, "application/json", reply.headers, io.BytesIO(text.encode())
    headers = CaseInsensitiveDict({"Content-Type": media, **more})
    response = requests.Response()
    response.status_code, response.headers, response.request = status, headers, request
    response.url, response.reason = request.url or "", "Reason"
    response.raw = HTTPResponse(content, status=status, headers=dict(headers), preload_content=False)
    return response
