from __future__ import annotations

import inspect

import pytest

from worker.core import errors
from worker.core.model import Credentials, Node

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
FAILURES = [kind for kind in CLASSES if issubclass(kind, errors.ReplicationError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_drawn_in_the_tree(kind: type[Exception]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


def test_every_failure_has_a_slug_of_its_own() -> None:
    slugs = [kind.slug for kind in FAILURES]

    assert len(set(slugs)) == len(slugs)


@pytest.mark.parametrize("kind", [kind for kind in FAILURES if not kind.__subclasses__()])
def test_every_failure_is_either_transient_or_permanent(kind: type[errors.ReplicationError]) -> None:
    assert issubclass(kind, errors.Transient) != issubclass(kind, errors.Permanent)


def test_an_order_to_stop_is_no_failure() -> None:
    for kind in (errors.Cancelled, errors.LeaseLost, errors.HandedBack):
        assert issubclass(kind, errors.Interrupted)
        assert not issubclass(kind, errors.ReplicationError)


def test_an_error_names_its_node() -> None:
    assert str(errors.NotFound("no such thing", node="replica1")) == "replica1: no such thing"
    assert str(errors.NotFound("no such thing")) == "no such thing"


def test_credentials_show_no_password() -> None:
    user = Credentials("admin", "hunter2-secret")
    node = Node("a", "http://a", "http://a", user, user)

    assert "hunter2" not in f"{user!r} {user} {node!r} {node}"
