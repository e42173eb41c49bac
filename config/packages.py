"""`python -m config.packages`: has a package that we pin a published advisory? `make check` asks.

pip-audit asks the package index. Where that does not answer, or does not know advisories (a mirror), pip-audit ends
well all the same and calls the packages skipped: that would be a check which cannot fail. So what it skipped is
compared with requirements-advisories.txt, and that is said.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FILES = ("requirements.txt", "requirements-dev.txt")
KNOWN = "requirements-advisories.txt"
SECONDS = 120.0
_AS_OF = re.compile(r"as of (\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True)
class Advisory:
    """`versions`: those that are open to it."""

    package: str
    versions: SpecifierSet
    ids: str


@dataclass(frozen=True)
class Hit:
    package: str
    version: str
    ids: str


def pinned(text: str) -> dict[str, str]:
    """Package -> version, of the lines of a requirements file that pin one."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        plain = line.partition("#")[0].strip()
        if "==" in plain:
            wanted = Requirement(plain)
            (version,) = [one.version for one in wanted.specifier]
            found[canonicalize_name(wanted.name)] = version
    return found


def advisories(text: str) -> list[Advisory]:
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    found = ((Requirement(words[0]), " ".join(words[1:])) for words in lines if words)
    return [Advisory(canonicalize_name(wanted.name), wanted.specifier, ids) for wanted, ids in found]


def compared(packages: Mapping[str, str], known: Iterable[Advisory]) -> list[Hit]:
    return [
        Hit(one.package, packages[one.package], one.ids)
        for one in known
        if one.package in packages and one.versions.contains(packages[one.package], prereleases=True)
    ]


def asked(files: Iterable[Path]) -> tuple[list[Hit], set[str]]:
    """What pip-audit found, and the packages that it could ask about. Both empty where it could not ask at all."""
    wanted = [part for file in files for part in ("--requirement", str(file))]
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format=json", "--timeout=5", *wanted]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        told = json.loads(ended.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return [], set()
    looked_at = [one for one in told if "skip_reason" not in one]
    hits = [Hit(one["name"], one["version"], flaw["id"]) for one in looked_at for flaw in one.get("vulns", ())]
    return hits, {canonicalize_name(one["name"]) for one in looked_at}


def main() -> int:
    files = [ROOT / name for name in FILES]
    packages = {name: version for file in files for name, version in pinned(file.read_text(encoding="utf-8")).items()}
    hits, known = asked(files)
    left = {name: version for name, version in packages.items() if name not in known}
    if left:
        text = (ROOT / KNOWN).read_text(encoding="utf-8")
        as_of = match[1] if (match := _AS_OF.search(text)) else "an unknown day"
        print(
            f"The package index tells of no advisories for {len(left)} of {len(packages)} packages: those were "
            f"compared with {KNOWN} (as of {as_of})."
        )
        hits += compared(left, advisories(text))
    for hit in hits:
        print(f"{hit.package} {hit.version} is open to {hit.ids}: take a newer one", file=sys.stderr)
    if not hits:
        print(f"{len(packages)} packages, none with an advisory that is known.")
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main())
