"""Reads requests: body, query, Idempotency-Key and Prefer. Whatever is wrong becomes a Problem that says what.

Our own JSON reading instead of `request.get_json()`: that takes NaN and repeated keys, and its errors do
not say where the slip is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from api.errors import Problem, invalid

LONGEST_WAIT = 60  # seconds
DEFAULT_WAIT = 30

_Model = TypeVar("_Model", bound=BaseModel)
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_WAIT = re.compile(r'^wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?$', re.IGNORECASE)
# pydantic's error type -> our words, where its own speak of Python
_WORDS = {
    "missing": "is missing",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "uuid": "must be a cursor from an earlier answer",
    "string_pattern_mismatch": "must be a cursor from an earlier answer",
    "string_too_short": "must not be empty",
}


class _Refused(ValueError):
    """JSON that Python would take and we do not."""


def body(model: type[_Model]) -> _Model:
    """The request's JSON body as `model`. Raises Problem: 400, 413 (by Flask), 415 or 422."""
    _require_json()
    value = _parse(_raw())
    if not isinstance(value, dict):
        raise invalid([{"field": "", "message": "the body must be a JSON object"}])
    return _validated(model, value)


def optional_body(model: type[_Model]) -> _Model:
    """The same, where a request without any body means the defaults."""
    return body(model) if request.content_length or request.mimetype else model()


def query(model: type[_Model], *, form: bool = False) -> _Model:
    """The query parameters as `model`. `form`: of a page's form, where a field that was left empty is none.
    Raises Problem 422."""
    if not request.query_string:
        return model()
    values: dict[str, str] = {}
    for name, given in request.args.lists():
        if len(given) > 1:
            raise invalid([{"field": name, "message": "is given more than once"}])
        if given[0] or not form:
            values[name] = given[0]
    return _validated(model, values)


def idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise Problem("bad-idempotency-key", "it must be 1 to 255 printable ASCII characters")
    return key


def preferred_wait() -> int | None:
    """N of `Prefer: wait=N` (RFC 7240), at most LONGEST_WAIT; None without one that can be understood."""
    for preference in request.headers.get("Prefer", "").split(","):
        match = _WAIT.match(preference.strip())
        if match:  # the first of several counts
            return min(int(match[1]), LONGEST_WAIT)
    return None


def _require_json() -> None:
    kind = request.mimetype
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        said = f"not {kind}" if kind else "and the request has no Content-Type"
        raise Problem("not-json", f"send a JSON object with Content-Type: application/json, {said}")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise Problem("not-json", f"JSON is UTF-8 (RFC 8259), not {charset}")


def _raw() -> bytes:
    most = request.max_content_length or 0
    if request.content_length is not None:
        fits = request.content_length <= most
        return request.get_data(cache=False) if fits else _too_large(most)
    # sent in chunks: werkzeug stops reading at the bound, without a word that there was more
    raw = request.get_data(cache=False)
    return raw if len(raw) < most else _too_large(most)


def _too_large(most: int) -> NoReturn:
    raise Problem("body-too-large", f"at most {most} bytes (API_MAX_BODY_BYTES)")


def _parse(raw: bytes) -> Any:
    if not raw:
        raise Problem("malformed-json", "the body is empty: send a JSON object, at least {}")
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_no_twins, parse_constant=_no_constants)
    except json.JSONDecodeError as error:
        detail = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        detail = f"byte {error.start} is not UTF-8"
    except RecursionError:
        detail = "it is nested too deeply"
    except _Refused as error:
        detail = str(error)
    except ValueError:  # Python's bound on the digits of a number
        detail = "it has a number that is too long"
    raise Problem("malformed-json", detail)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _Refused(f"the key {twice!r} is there twice")
    return value


def _no_constants(name: str) -> NoReturn:
    raise _Refused(f"{name} is not JSON")


def _validated(model: type[_Model], value: Mapping[str, Any]) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        items = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid([_explained(model, item) for item in items]) from None


def _explained(model: type[BaseModel], item: Any) -> dict[str, str]:
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = ", ".join(field.alias or name for name, field in model.model_fields.items())
        return {"field": field, "message": f"is unknown here; known: {known}" if known else "is unknown here"}
    return {"field": field, "message": _WORDS.get(item["type"], item["msg"])}
