"""Where a browser is found, and that a machine without one loses some tests and nothing else."""

from __future__ import annotations

import subprocess
import urllib.error
from pathlib import Path

import pytest

from embedded import chromium, debian
from embedded.chromium import find_chromium
from embedded.process import StartError

BROWSER = "#!/bin/sh\necho 'Chromium 156.0'\n"
STUB = "#!/bin/sh\necho 'install the snap' >&2\nexit 10\n"
CACHES = {
    "whole": "chromium-1255/chrome-linux64/chrome",
    "older": "chromium-1100/chrome-linux/chrome",
    "headless": "chromium_headless_shell-1255/chrome-headless-shell-linux64/chrome-headless-shell",
    "older headless": "chromium_headless_shell-1155/chrome-linux/headless_shell",
}


@pytest.fixture(autouse=True)
def _nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "FOLDER", tmp_path / "var")
    monkeypatch.setattr(chromium, "APPLICATION", tmp_path / "no such application")
    for name in ("CHROMIUM_BIN", "PLAYWRIGHT_BROWSERS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def program(path: Path, text: str = BROWSER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o700)
    return path


def test_the_one_that_is_named_has_to_be_one(tmp_path: Path) -> None:
    named = program(tmp_path / "mine")
    assert find_chromium({"CHROMIUM_BIN": str(named)}) == named
    for wrong in (tmp_path / "nothing", program(tmp_path / "stub", STUB)):
        with pytest.raises(StartError, match="CHROMIUM_BIN="):
            find_chromium({"CHROMIUM_BIN": str(wrong)})


@pytest.mark.parametrize("name", chromium.NAMES)
def test_it_is_found_on_the_path(tmp_path: Path, name: str) -> None:
    assert find_chromium() is None
    assert find_chromium({"PATH": str(program(tmp_path / "bin" / name).parent)}) == tmp_path / "bin" / name


def test_a_script_that_only_tells_where_to_get_one_is_none(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "chromium-browser", STUB)
    assert find_chromium() is None
    chrome = program(tmp_path / "bin" / "google-chrome")
    assert find_chromium() == chrome


@pytest.mark.parametrize("place", CACHES.values(), ids=CACHES.keys())
def test_what_playwright_installed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "cache"))
    there = program(tmp_path / "cache" / place)
    assert find_chromium() == there


def test_the_fetched_one_is_the_last(tmp_path: Path) -> None:
    fetched = program(tmp_path / "var" / "chromium")
    assert find_chromium() == fetched
    installed = program(tmp_path / "bin" / "chromium")
    assert find_chromium() == installed


def test_playwrights_installer_is_not_started_where_its_host_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[object] = []
    monkeypatch.setattr(debian, "run", lambda command, seconds: ran.append(command))
    monkeypatch.setenv("PLAYWRIGHT_DOWNLOAD_HOST", "http://127.0.0.1:1")
    assert chromium.main() == 0
    assert not ran
    said = capsys.readouterr().out
    assert "Playwright's could not be fetched" in said
    assert "apt install chromium" in said


def test_one_that_playwright_fetched_and_that_does_not_start_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answers(url: str, timeout: float) -> None:
        raise urllib.error.HTTPError(url, 404, "no page here, but a host", {}, None)  # type: ignore[arg-type]

    monkeypatch.setattr("urllib.request.urlopen", answers)
    place = tmp_path / ".cache" / "ms-playwright" / CACHES["headless"]
    monkeypatch.setattr(debian, "run", lambda command, seconds: program(place, "#!/bin/sh\nexit 127\n"))
    assert chromium.main() == 0
    assert "Playwright's does not start" in capsys.readouterr().out
    monkeypatch.setattr(debian, "run", lambda command, seconds: program(place))
    assert chromium.main() == 0
    assert str(place) in capsys.readouterr().out


def test_a_package_that_cannot_be_had_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(*_: object, **__: object) -> Path:
        raise subprocess.CalledProcessError(100, "apt-get", stderr="W: something\nE: no network here\n")

    monkeypatch.setenv("PLAYWRIGHT_DOWNLOAD_HOST", "http://127.0.0.1:1")
    monkeypatch.setattr(debian, "available", lambda: True)
    monkeypatch.setattr(debian, "fetch", nothing)
    assert chromium.main() == 0
    assert "Debian's could not be fetched (E: no network here). Tests" in capsys.readouterr().out
