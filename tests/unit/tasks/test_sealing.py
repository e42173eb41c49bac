from __future__ import annotations

import pytest

from tasks.sealing import seal, unseal
from worker.core.errors import WrongSecretKey

OLD, NEW = "old-secret-key-of-thirty-two-characters", "new-secret-key-of-thirty-two-characters"


def test_what_was_sealed_is_opened_by_the_same_key_alone() -> None:
    sealed = seal([OLD], b"sesame")

    assert "sesame" not in sealed
    assert seal([OLD], b"sesame") != sealed, "equal ones do not show that they are"
    assert unseal([OLD], sealed) == b"sesame"
    with pytest.raises(WrongSecretKey, match="not in SECRET_KEY any more") as refused:
        unseal([NEW], sealed)
    assert OLD not in f"{refused.value}{refused.value.__cause__}"
    with pytest.raises(WrongSecretKey, match="SECRET_KEY is not set here"):
        unseal([], sealed)


def test_while_a_key_is_being_changed_both_open_and_the_new_one_seals() -> None:
    assert unseal([NEW, OLD], seal([OLD], b"sesame")) == b"sesame"
    assert unseal([NEW], seal([NEW, OLD], b"sesame")) == b"sesame"


@pytest.mark.parametrize("broken", ["", "sesame", "gAAAAA==", "\N{SNOWMAN}"])
def test_what_is_broken_is_told_as_such(broken: str) -> None:
    with pytest.raises(WrongSecretKey):
        unseal([NEW], broken)
