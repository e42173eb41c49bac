"""Where HAProxy is found, and that a machine without it loses some tests and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from embedded import haproxy, haproxy_download
from embedded.haproxy import EmbeddedHaproxy, find_haproxy
from embedded.haproxy_download import apt, download, why
from embedded.process import StartError

APT = """\
#!/bin/sh
case "$*" in
  *" update") exit 0;;
  *install*) : > "{folder}/cache/archives/haproxy.deb"; exit 0;;
esac
exit 1
"""
DPKG = """\
#!/bin/sh
mkdir -p "$3/usr/sbin" "$3/usr/lib/some" && : > "$3/usr/lib/some/liblua.so.0"
printf '#!/bin/sh\\necho "$LD_LIBRARY_PATH"\\n' > "$3/usr/sbin/haproxy" && chmod +x "$3/usr/sbin/haproxy"
"""
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


def test_debians_package_is_unpacked_and_runs_with_its_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in a folder"
    program(tmp_path / "bin" / "apt-get", APT.format(folder=folder))
    program(tmp_path / "bin" / "dpkg", DPKG)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    starter = download(folder)
    said = subprocess.run([str(starter)], capture_output=True, text=True, timeout=10, check=True).stdout
    assert said.strip() == str(folder / "root" / "usr" / "lib" / "some")


def test_apt_keeps_everything_in_our_folder(tmp_path: Path) -> None:
    options = [word for word in apt(tmp_path, "update") if "=" in word]
    for part in ("Dir::State=", "Dir::Cache=", "Dir::Log="):
        assert any(option.startswith(f"{part}{tmp_path}") for option in options)


def test_a_package_that_cannot_be_had_is_told_in_one_line_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("apt-get", "dpkg"):
        program(tmp_path / "bin" / name, BROKEN)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(haproxy_download, "FOLDER", tmp_path / "var")
    monkeypatch.setattr(haproxy_download, "DOWNLOADED", tmp_path / "var" / "haproxy")
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


def test_an_error_without_words_still_has_a_name() -> None:
    assert why(OSError()) == "OSError"
    assert "timed out" in why(subprocess.TimeoutExpired("apt-get", 120))


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
