"""Where HAProxy is found, and that a machine without it loses some tests and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded import haproxy, haproxy_download
from embedded.haproxy import EmbeddedHaproxy, find_haproxy
from embedded.process import StartError

BROKEN = "#!/bin/sh\necho 'W: something' >&2\necho 'E: no network here' >&2\nexit 100\n"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o700)
    return path


def test_the_one_that_is_named_has_to_be_a_program(tmp_path: Path) -> None:
    named = program(tmp_path / "haproxy", "")
    assert find_haproxy({"HAPROXY_BIN": str(named)}) == named
    with pytest.raises(StartError, match="HAPROXY_BIN="):
        find_haproxy({"HAPROXY_BIN": str(tmp_path / "nothing")})


def test_it_is_found_on_the_path(tmp_path: Path) -> None:
    assert find_haproxy({"PATH": str(program(tmp_path / "haproxy", "").parent)}) == tmp_path / "haproxy"


def test_a_package_that_cannot_be_had_is_told_in_one_line_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("apt-get", "dpkg"):
        program(tmp_path / "bin" / name, BROKEN)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(haproxy_download, "FOLDER", tmp_path / "var")
    monkeypatch.setattr(haproxy_download, "find_haproxy", lambda: None)
    assert haproxy_download.main() == 0
    assert "could not be fetched (E: no network here)" in capsys.readouterr().out


def test_without_apt_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(haproxy_download, "find_haproxy", lambda: None)
    assert haproxy_download.main() == 0
    assert "brew install haproxy" in capsys.readouterr().out


def test_the_generated_file_is_the_shipped_one_on_other_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "find_haproxy", lambda: tmp_path / "haproxy")
    for file in ("haproxy.cfg", "one-primary.cfg", "ready-url.cfg"):
        EmbeddedHaproxy(tmp_path / "made", {"primary": 1234}, 4321, file)
        made = (tmp_path / "made" / file).read_text().splitlines()
        shipped = (haproxy.SHIPPED / file).read_text().splitlines()
        assert "    server primary 127.0.0.1:1234" in "\n".join(made)
        assert "bind :" not in "\n".join(made), "nothing but loopback"
        same = set(made) & set(shipped)
        others = [line.split()[0] for line in shipped if line not in same]
        assert set(others) <= {"bind", "server", "default-server", "http-check"}
    with pytest.raises(StartError, match="no 'no such line' any more"):
        EmbeddedHaproxy(tmp_path / "made", {"primary": 1234}, 4321, other={"no such line": ""})
