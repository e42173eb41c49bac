"""The wanted port where it is free; else another, and it is said."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from embedded import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((ports.LOOPBACK, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_free_port_is_taken_without_a_word() -> None:
    said: list[str] = []
    wanted = ports.any_free()

    assert ports.choose("primary", wanted, said.append) == wanted
    assert said == []


def test_a_taken_port_is_replaced_and_the_change_is_said(taken: int) -> None:
    said: list[str] = []

    chosen = ports.choose("primary", taken, said.append)

    assert chosen != taken
    assert ports.is_free(chosen)
    assert said == [f"port {taken} is taken, primary listens on {chosen}"]


def test_a_port_bound_to_all_addresses_counts_as_taken() -> None:
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        assert not ports.is_free(listener.getsockname()[1])


def test_two_of_one_run_never_get_the_same_port() -> None:
    first = ports.any_free()

    assert ports.choose("replica1", first, lambda _: None, exclude=[first]) != first
