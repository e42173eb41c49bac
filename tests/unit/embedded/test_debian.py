"""A program of Debian's in a folder of ours: complete or not there, and nothing of the machine is written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from embedded.debian import apt, fetch, why

APT = """\
#!/bin/sh
case "$*" in
  *" update") exit 0;;
  *"install some and-its-font") : > "{folder}/cache/archives/some.deb"; exit 0;;
esac
exit 1
"""
DPKG = """\
#!/bin/sh
mkdir -p "$3/usr/sbin" "$3/usr/lib/some" && : > "$3/usr/lib/some/liblua.so.0"
printf '#!/bin/sh\\necho "$LD_LIBRARY_PATH|$FONTS"; test "$1" != -v\\n' > "$3/usr/sbin/some"
chmod +x "$3/usr/sbin/some"
"""
PACKAGES = ["some", "and-its-font"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to fetch to, on a machine with Debian's tools."""
    folder = tmp_path / "in a folder"
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in {"apt-get": APT.format(folder=folder), "dpkg": DPKG}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o700)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    return folder


def test_a_package_is_unpacked_and_its_program_runs_with_its_libraries(folder: Path) -> None:
    starter = fetch(PACKAGES, "usr/sbin/some", folder, environ={"FONTS": "/in $HOME"})
    said = subprocess.run([str(starter)], capture_output=True, text=True, timeout=10, check=True).stdout
    assert said.strip() == f"{folder / 'root' / 'usr' / 'lib' / 'some'}|/in $HOME"
    assert starter == folder / "some"
    assert not (folder / "cache").exists(), "what is not needed any more is not kept"


def test_a_program_that_does_not_work_is_not_there(folder: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        fetch(PACKAGES, "usr/sbin/some", folder, check=["-v"])
    assert not (folder / "some").exists()


def test_apt_keeps_everything_in_our_folder(tmp_path: Path) -> None:
    options = [word for word in apt(tmp_path, "update") if "=" in word]
    for part in ("Dir::State=", "Dir::Cache=", "Dir::Log="):
        assert any(option.startswith(f"{part}{tmp_path}") for option in options)


def test_an_error_without_words_still_has_a_name() -> None:
    assert why(OSError()) == "OSError"
    assert "timed out" in why(subprocess.TimeoutExpired("apt-get", 120))
