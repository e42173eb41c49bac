"""The rules file: what it takes, and that its writer is told all that is wrong, where, and what would be right."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.rules import KEYS, RuleSetting, read_rules
from config.settings import SettingsError, build, load

EXAMPLE = Path(__file__).parents[3] / "docs" / "replication-rules.example.yml"
RULES = Path(__file__).parents[3] / "docs" / "rules.md"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.yml"


def read(file: Path, text: str) -> tuple[RuleSetting, ...]:
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return read_rules(file)


def refusal(file: Path, text: str) -> list[str]:
    """The lines of the refusal, without the file's name."""
    with pytest.raises(ValueError, match=r"rules\.yml") as refused:
        read(file, text)
    return [told.removeprefix(f"{file}:") for told in str(refused.value).splitlines()]


def one_refusal(file: Path, text: str) -> str:
    (told,) = refusal(file, text)
    return told


# --- what it takes


def test_a_rule_has_all_that_it_says(file: Path) -> None:
    (rule,) = read(
        file,
        """\
        # a comment
        rules:
          - databases: "pdfs"
            topology: star
            direction: one-way
            mode: continuous
            selector: {"type": "note"}
        """,
    )
    assert rule == RuleSetting(("pdfs",), "star", "one-way", "continuous", {"type": "note"}, line=3)


def test_what_is_left_out_is_left_to_the_settings(file: Path) -> None:
    (rule,) = read(file, 'rules: [{databases: ["pdf*", "a?[bc]"]}]')
    assert rule == RuleSetting(("pdf*", "a?[bc]"), None, "both", None, None, line=1)


@pytest.mark.parametrize("written", ["off", '"off"', "'off'"])
def test_off_is_a_word_and_no_boolean(file: Path, written: str) -> None:
    (rule,) = read(file, f"rules: [{{databases: pdfs, mode: {written}}}]")
    assert rule.mode == "off"


def test_an_empty_list_of_rules_is_none(file: Path) -> None:
    assert read(file, "rules: []") == ()


def test_anchors_are_followed(file: Path) -> None:
    rules = read(
        file,
        """\
        rules:
          - {databases: a, selector: &notes {type: note}}
          - {databases: b, selector: *notes}
        """,
    )
    assert [rule.selector for rule in rules] == [{"type": "note"}] * 2


def test_the_example_is_taken_and_shows_every_key() -> None:
    rules = read_rules(EXAMPLE)
    assert len(rules) == 4
    assert {key for item in yaml.safe_load(EXAMPLE.read_text())["rules"] for key in item} == set(KEYS)
    assert [rule.mode for rule in rules] == ["continuous", "on-change", "off", None]


def test_the_page_shows_a_file_that_is_taken(file: Path) -> None:
    block = RULES.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (rule,) = read(file, block)
    assert rule.selector == {"type": "note"}


# --- what it refuses


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(file: Path) -> None:
    told = refusal(
        file,
        """\
        rules:
          - databases: pdfs
            topologie: star
            mode: continuos
          - direction: one-way
            selector: {$an: []}
        extra: 1
        """,
    )
    assert [line.split(": ")[0] for line in told] == ["3:5", "4:11", "5:5", "6:16", "7:1"]
    assert told[0] == "3:5: 'topologie' is no key here; did you mean topology?"
    assert told[1].endswith("not 'continuos'; did you mean continuous?")
    assert "needs databases" in told[2]
    assert "did you mean $and?" in told[3]


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("topology: tree", 15, "topology must be one of mesh, star, ring, not 'tree'"),
        ("topology:", 14, "topology must be one of"),
        ("topology: [mesh]", 15, "topology must be one of"),
        ("direction: oneway", 16, "did you mean one-way?"),
        ("mode: on", 11, "auto, continuous, on-change, off"),
        ("mode: OFF", 11, "did you mean off?"),
        ("databases: b", 5, "'databases' is here a second time; the first is in line 2"),
        ("unlike: 1", 5, "there is databases, topology"),
        ("1: 2", 5, "must be text"),
        ("<<: {mode: off}", 5, "repeat the lines"),
        ("selector: {}", 15, "would select everything"),
        ("selector:", 14, "must be a mapping"),
        ("selector: [a]", 15, "must be a mapping"),
        ("selector: !!python/object:os.system {a: 1}", 15, "has no meaning here"),
    ],
)
def test_a_bad_line_is_told_with_what_would_be_right(file: Path, line: str, column: int, says: str) -> None:
    told = one_refusal(file, f"rules:\n  - databases: a\n    {line}\n")
    assert told.startswith(f"3:{column}: ")
    assert says in told


@pytest.mark.parametrize("glob", ["Pdf*", "pdf.s", "1a", "-a", "a, b", "a b", "[", "a[b", "", "ä*", "%"])
def test_a_glob_that_no_name_can_match_is_refused(file: Path, glob: str) -> None:
    told = one_refusal(file, f"rules:\n  - databases: [ok, {glob!r}]\n")
    assert told.startswith("2:21: ")
    assert "lowercase letters" in told


@pytest.mark.parametrize("globs", ["7", "null", "true", "{a: b}", "[[a]]"])
def test_globs_are_text(file: Path, globs: str) -> None:
    assert any("database names" in told for told in refusal(file, f"rules: [{{databases: {globs}}}]"))


def test_of_couchdbs_own_databases_only_users_can_have_a_rule(file: Path) -> None:
    assert read(file, "rules: [{databases: _users}]")[0].databases == ("_users",)
    assert "_users" in one_refusal(file, "rules: [{databases: _replicator}]")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("rules: [{databases: []}]", "1:21"),
        ("rules: [pdfs]", "1:9"),
        ("rules: pdfs", "1:8"),
        ("rules:", "1:7"),
        ("- databases: pdfs", "1:1"),
        ("rule: []", "1:1"),
        ("rules: [", "1:9"),
        ("rules:\n\t- databases: a", "2:1"),
        ("rules: [{databases: *}]", "1:22"),
        ("rules: []\n---\nrules: []", "2:1"),
        ("rules: [{databases: *pdfs}]", "1:21"),
    ],
)
def test_what_has_another_shape_is_refused_with_its_place(file: Path, text: str, place: str) -> None:
    assert refusal(file, text)[0].startswith(f"{place}: ")


def test_a_star_without_quotes_is_explained(file: Path) -> None:
    assert "needs quotes" in one_refusal(file, "rules: [{databases: *}]")


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_a_mistake(file: Path, text: str) -> None:
    assert "is empty" in refusal(file, text)[0]


def test_what_cannot_be_read_is_told(file: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_rules(file)
    file.write_bytes(b"rules: \xff")
    with pytest.raises(ValueError, match="UTF-8"):
        read_rules(file)
    file.write_text("rules: \x07")
    with pytest.raises(ValueError, match="no YAML"):
        read_rules(file)


@pytest.mark.parametrize("selector", ["&a {a: {b: *a}}", "{a: " * 2_000 + "1" + "}" * 2_000])
def test_a_file_without_a_bottom_is_refused(file: Path, selector: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        read(file, f"rules: [{{databases: a, selector: {selector}}}]")


# --- rules that cannot be reached


@pytest.mark.parametrize(
    ("first", "later", "reached"),
    [
        ("pdfs", "pdfs", False),
        ("pdf*", "pdf*", False),
        ("pdf*", "pdfs", False),
        ("'*'", "anything", False),
        ("'**'", "'*'", False),
        ("'*'", "[a, 'b*']", False),
        ("[a, b]", "[b, a]", False),
        ("pdfs", "pdf*", True),
        ("pdf*", "'*'", True),
        ("a", "[a, b]", True),
        ("'*'", "_users", True),
        ("_users", "_users", False),
        ("'*'", "[_users, a]", True),
    ],
)
def test_a_rule_that_no_database_reaches_is_a_mistake(file: Path, first: str, later: str, reached: bool) -> None:
    text = f"rules:\n  - databases: {first}\n  - databases: {later}\n"
    if reached:
        assert len(read(file, text)) == 2
    else:
        assert one_refusal(file, text).startswith("3:5: this rule is never reached")
        assert "line 2" in one_refusal(file, text)


def test_several_rules_may_take_all_of_one(file: Path) -> None:
    assert one_refusal(file, "rules:\n- databases: a\n- databases: b\n- databases: [b, a]\n").endswith("in line 2 or 3")


# --- through the settings


def test_without_a_file_there_are_no_rules() -> None:
    assert build({}).rules == ()


def test_the_settings_have_the_rules_as_they_were_at_the_start(file: Path) -> None:
    file.write_text("rules: [{databases: pdfs, mode: off}]")
    settings = load(environ={"REPLICATION_RULES": str(file)}, env_file=file.with_name("none"))
    file.write_text("something else")
    assert [rule.mode for rule in settings.rules] == ["off"]


def test_a_bad_file_stops_the_start_with_the_variables_name(file: Path) -> None:
    file.write_text("rules: [{databases: pdfs, mode: of}]")
    with pytest.raises(SettingsError) as refused:
        build({"replication_rules": file, "result_ttl": 1})
    assert f"REPLICATION_RULES: {file}:1:33: mode must be one of" in str(refused.value)
    assert "RESULT_TTL: " in str(refused.value)


# --- whatever is written


@given(st.text(max_size=60))
def test_any_text_is_refused_in_words(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("any") / "rules.yml"
    file.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(ValueError, match=r"rules\.yml"):
        read_rules(file)
