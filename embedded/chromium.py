"""`python -m embedded.chromium`: a Chromium for the tests that look at pages, found or fetched.

Where the machine has none, the one that the makers of Playwright built is asked for, and where their host does not
answer (or the machine lacks libraries for it), Debian's is unpacked into var/chromium, with a font: on a machine
without any, a page would have no text. Never fails: where neither works, it says so, and those tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from embedded import debian
from embedded.folders import VAR, private
from embedded.process import StartError

FOLDER = VAR / "chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPLICATION = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
# a folder each for the browser and for its smaller kind without a window; the names in them changed over the years
PLAYWRIGHT = (
    "chromium-*/chrome-linux*/chrome",
    "chromium_headless_shell-*/chrome-*/headless_shell",
    "chromium_headless_shell-*/chrome-*/chrome-headless-shell",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
)
MAKERS = "https://cdn.playwright.dev"
PROBE_SECONDS = 5
VERSION_SECONDS = 20
INSTALL_SECONDS = 300  # for 100 MB
PACKAGES = ("chromium", "fonts-dejavu-core", "fontconfig-config")
PROGRAM = "usr/lib/chromium/chromium"  # Debian's own starter, usr/bin/chromium, knows no other place for it
FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
<dir>/usr/share/fonts</dir>
<dir>{folder}/root/usr/share/fonts</dir>
<cachedir>{folder}/fonts</cachedir>
<alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>system-ui</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""
MISSING = (
    "there is no Chromium on this machine (Debian: apt install chromium; elsewhere: Google Chrome, or "
    "`.venv/bin/playwright install --with-deps chromium`), CHROMIUM_BIN names none, and `make browser` has fetched none"
)


def find_chromium(environ: Mapping[str, str] = os.environ) -> Path | None:
    """CHROMIUM_BIN, the PATH, the cache of `playwright install`, the fetched one: the first that tells its version.
    Raises StartError where CHROMIUM_BIN names something that does not."""
    named = environ.get("CHROMIUM_BIN")
    if named:
        if not works(Path(named)):
            raise StartError(f"CHROMIUM_BIN={named}: that is no Chromium, or it does not start")
        return Path(named)
    return next((program for program in _places(environ) if works(program)), None)


def works(program: Path) -> bool:
    """Whether it starts: some systems have a script by its name that only says where to get it."""
    if not os.access(program, os.X_OK):
        return False
    try:
        told = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return told.returncode == 0 and "Chrom" in told.stdout


def from_playwright(environ: Mapping[str, str] = os.environ) -> None:
    """Raises OSError or subprocess.SubprocessError. Its makers' host is looked for first: where there is none, the
    installer would try five times."""
    with suppress(urllib.error.HTTPError):  # an answer, too
        urllib.request.urlopen(environ.get("PLAYWRIGHT_DOWNLOAD_HOST", MAKERS), timeout=PROBE_SECONDS).close()
    debian.run([sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"], INSTALL_SECONDS)


def from_debian(folder: Path, status: Path = debian.STATUS) -> Path:
    """Raises OSError or subprocess.SubprocessError."""
    folder = private(folder)
    fonts = folder / "fonts.conf"
    fonts.write_text(FONTS.format(folder=folder), encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    check = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", profile, "--dump-dom", "data:text/html,-")
    found = debian.fetch(
        PACKAGES,
        PROGRAM,
        folder,
        check=check,
        environ={"FONTCONFIG_FILE": str(fonts)},
        status=status,
        seconds=INSTALL_SECONDS,
    )
    shutil.rmtree(folder / "profile", ignore_errors=True)
    return found


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    for name in NAMES:
        found = shutil.which(name, path=environ.get("PATH", ""))
        if found:
            yield Path(found)
    yield APPLICATION
    yield from (path for pattern in PLAYWRIGHT for path in sorted(_cache(environ).glob(pattern), reverse=True))
    yield FOLDER / Path(PROGRAM).name


def _cache(environ: Mapping[str, str]) -> Path:
    """Where `playwright install` puts browsers."""
    home = Path(environ.get("HOME", "/nonexistent"))
    usual = home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "ms-playwright"
    return Path(environ.get("PLAYWRIGHT_BROWSERS_PATH") or usual)


def main() -> int:
    try:
        found = find_chromium() or _fetched()
    except StartError as error:
        print(f"Chromium: {error}. Tests that need one are skipped.")
        return 0
    print(f"Chromium: {found}")
    return 0


def _fetched() -> Path:
    """Raises StartError."""
    reasons = []
    try:
        from_playwright()
        found = find_chromium()
        if found is not None:
            return found
        reasons.append("Playwright's does not start")
    except (OSError, subprocess.SubprocessError) as error:
        reasons.append(f"Playwright's could not be fetched ({debian.why(error)})")
    if not debian.available():
        raise StartError("; ".join([*reasons, MISSING]))
    print(f"Chromium: fetching Debian's package to {FOLDER}, without installing it")
    try:
        return from_debian(FOLDER)
    except (OSError, subprocess.SubprocessError) as error:
        reasons.append(f"Debian's could not be fetched ({debian.why(error)})")
        raise StartError("; ".join(reasons)) from error


if __name__ == "__main__":
    sys.exit(main())
