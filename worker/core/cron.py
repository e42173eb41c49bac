"""When a cron expression is due, in UTC. Pure: (expression, now) -> moments. The only place that knows croniter.

The library takes more than cron does: a sixth field with seconds, fields drawn at random at each look, `5-5` for every
value there is. Whoever writes these means something else, so `check` refuses them; the other functions trust it.
"""

from __future__ import annotations

import re

from croniter import croniter

MINUTE = 60.0  # seconds
_FIELDS = (
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of the month", "1-31, L for the last"),
    ("month", "1-12 or jan-dec"),
    ("day of the week", "0-7 or sun-sat; 0 and 7 are Sunday"),
)
_RIGHT = (
    f"five fields are asked for: {', '.join(name for name, _ in _FIELDS)}; each is *, a number, a range 1-5, "
    'a step */15 or 8-18/2, or a list 1,15, as in "30 2 * * mon-fri"'
)
_DRAWN = re.compile(r"[hr]\b", re.IGNORECASE)
_SAME_ENDS = re.compile(r"0*(\w+)-0*\1(/.*)?", re.IGNORECASE)
_SOME_MOMENT = 0.0  # what is ever due is so within 40 years of any


def check(expression: str) -> None:
    """ValueError, in words for whoever wrote it, where this is not five fields that make sense, or is never due."""
    fields = re.findall(r"\S+", expression, re.ASCII)  # a no-break space divides nothing, to croniter either
    if len(fields) != len(_FIELDS):
        raise ValueError(f'cron "{expression}" has {len(fields)} field{"s" * (len(fields) != 1)}: {_RIGHT}')
    for position, field in enumerate(fields):
        _check_field(expression, position, field)
    try:
        next_due(expression, _SOME_MOMENT)
    except ValueError as error:
        raise ValueError(f'cron "{expression}" is never due: there is no such day') from error


def last_due(expression: str, now: float) -> float:
    """The newest moment at which it was due, `now` included; seconds since the epoch, as `now` is."""
    # the library looks for what is before the moment it is given, and this minute counts
    return float(croniter(expression, (now // MINUTE + 1) * MINUTE).get_prev(float))


def next_due(expression: str, now: float) -> float:
    """The first moment after `now` at which it is due."""
    return float(croniter(expression, now).get_next(float))


def is_due(expression: str, last_started: float | None, now: float) -> bool:
    """Whether it was due since `last_started` (None: it never ran, which makes it due). Times that were missed, however
    many, make it due once. A start later than `now` (a clock that was wrong) leaves it at rest until its time comes."""
    return last_started is None or last_due(expression, now) > last_started


def _check_field(expression: str, position: int, field: str) -> None:
    name, values = _FIELDS[position]
    wrong = f'cron "{expression}": the {name} "{field}"'
    if _DRAWN.match(field):
        raise ValueError(f"{wrong} would be drawn by chance: write the {name} that is meant ({values})")
    for item in field.split(","):
        if _SAME_ENDS.fullmatch(item):
            raise ValueError(f"{wrong} has a range that ends where it begins: write one value, or *")
    alone = ["*"] * len(_FIELDS)
    alone[position] = field
    if not croniter.is_valid(" ".join(alone)):
        raise ValueError(f"{wrong} is not understood: {values}; {_RIGHT}")
