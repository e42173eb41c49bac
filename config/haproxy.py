"""HAProxy's servers are the nodes of the settings: compared, and written where they are not.

    python -m config.haproxy               says where haproxy/*.cfg differ from the nodes, and what would be right
    python -m config.haproxy --write       writes the server lines (`make haproxy-check`, `make haproxy-nodes`)
    ... --compose                          with the nodes of docker-compose.yml, although .env names others
    ... --program PATH                     lets this haproxy read the files, too

Only lines that begin with `server` are ours: one a node in each list of nodes, in the order of the settings, because
HAProxy's hash goes by it and both lists have to give a database the same home. What else stands in the files is
written by hand, and only looked at.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.haproxy_nodes import Nodes, from_compose, from_settings
from config.nodes import NodeSetting
from config.settings import Settings, SettingsError, load

FOLDER = Path("haproxy")
PROGRAM_SECONDS = 30
SLACK = 2.0  # seconds from a sweep's end until the agent has read it and HAProxy has asked the agent

# file -> {section -> the end of each of its server lines}; {name} is the node's
ASKS = ' agent-send "{name}\\n"'
ASKS_LAST = ' agent-send "{name} last-resort\\n"'
FILES: dict[str, dict[str, str]] = {
    "haproxy.cfg": {"backend couchdb": ASKS, "backend last-resort": ASKS_LAST},
    "one-primary.cfg": {"backend couchdb": ASKS, "backend last-resort": ASKS_LAST},
    "ready-url.cfg": {"backend couchdb": ""},
}
STANDING_BY = {"one-primary.cfg": " backup"}  # what the lines after the first one end with
# what has to stand in the default-server lines of each list of nodes, beside those of `defaults nodes`
CHECKED = {"haproxy.cfg": ("check", "agent-check"), "one-primary.cfg": ("check", "agent-check")}


@dataclass(frozen=True)
class Line:
    number: int  # from 1
    text: str


def servers_of(text: str) -> dict[str, list[Line]]:
    """Section (`backend NAME`) -> its server lines."""
    found: dict[str, list[Line]] = {}
    section = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if raw[:1].strip() and not line.startswith("#"):
            section = " ".join(line.split()[:2])
        elif line.startswith("server "):
            found.setdefault(section, []).append(Line(number, line))
    return found


def expected(file: str, nodes: Nodes) -> dict[str, list[str]]:
    """Section -> the server lines that are right."""
    right = {}
    for section, ending in FILES[file].items():
        last = [""] + [STANDING_BY.get(file, "")] * (len(nodes.nodes) - 1)
        right[section] = [
            f"server {node.name} {target(node, nodes.ca_file)}{ending.format(name=node.name)}{standing_by}"
            for node, standing_by in zip(nodes.nodes, last, strict=True)
        ]
    if "backend last-resort" in right:
        right["backend agent"] = [f"server agent {nodes.agent}"]
    else:
        right["backend api"] = [f"server api {nodes.api}"]
    return right


def target(node: NodeSetting, ca_file: str) -> str:
    """HAProxy's way to write where a node is. Raises ValueError where it has none."""
    host, port, path, secure = node.parts
    if path:
        raise ValueError(f"node {node.name}: HAProxy sends paths on as they are, so its URL cannot end with {path}")
    tls = f" ssl verify required ca-file {ca_file} sni str({host}) check-sni {host}" if secure else ""
    return f"{host}:{port}{tls}"


def differences(file: str, text: str, nodes: Nodes) -> list[str]:
    """What is wrong with the server lines of one file, each with what would be right."""
    found, wrong = servers_of(text), []
    for section, right in expected(file, nodes).items():
        lines = found.get(section, [])
        there = {line.text.split()[1]: line for line in lines}
        wanted = {line.split()[1]: line for line in right}
        for name, line in wanted.items():
            if name not in there:
                wrong.append(f"{file}: {section} has no server {name}; right: {line}")
            elif " ".join(there[name].text.split()) != line:
                wrong.append(f"{file}:{there[name].number}: {section}: {there[name].text}\n    right: {line}")
        wrong += [
            f"{file}:{line.number}: {section}: server {name} is no node of ours; right: no such line"
            for name, line in there.items()
            if name not in wanted
        ]
        names = [line.text.split()[1] for line in lines]
        if set(names) == set(wanted) and names != list(wanted):
            wrong.append(f"{file}: {section} has the order {', '.join(names)}; right: {', '.join(wanted)}")
    return wrong


def written(file: str, text: str, nodes: Nodes) -> str:
    """The file with the right server lines where its own were."""
    right, found = expected(file, nodes), servers_of(text)
    missing = [section for section in right if section not in found]
    if missing:
        raise ValueError(f"{file}: {missing[0]} has no server line; write one, and the right ones come in its place")
    first = {lines[0].number: right[section] for section, lines in found.items() if section in right}
    ours = {line.number for section, lines in found.items() if section in right for line in lines}
    made: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        made += [f"    {server}" for server in first.get(number, [])]
        made += [] if number in ours else [line]
    return "\n".join(made) + "\n"


def unchecked(file: str, text: str) -> list[str]:
    """Lists of nodes whose nodes are not asked, or the agent about them."""
    return [
        f"{file}: {section}: no default-server line says {word}, so nobody asks; right: default-server {word} …"
        for section in FILES[file]
        for word in CHECKED.get(file, ("check",))
        if word not in _options(text, ("defaults nodes", section))
    ]


def timing(file: str, text: str, settings: Settings) -> list[str]:
    """Whether a node that was away for a moment stays out until a sweep has seen it."""
    options = _options(text, ("defaults nodes", "backend couchdb"))
    held = int(options.get("rise", "2")) * _seconds(options.get("fastinter") or options.get("inter") or "2s")
    needed = settings.health_interval + 2 * settings.health_timeout + SLACK
    if held >= needed:
        return []
    return [
        f"{file}: backend couchdb: rise {options.get('rise', '2')} lets a node in after {held:g} s; right: at least "
        f"{needed:g} s (HEALTH_INTERVAL + 2 * HEALTH_TIMEOUT + {SLACK:g} s), or clients come before a sweep has seen "
        "that it was away"
    ]


def _options(text: str, sections: Sequence[str]) -> Mapping[str, str]:
    """Word -> the word after it, of the default-server lines of these sections; later ones win."""
    found: dict[str, str] = {}
    section = ""
    for raw in text.splitlines():
        words = raw.split()
        if raw[:1].strip() and not raw.startswith("#"):
            section = " ".join(words[:2])
        elif section in sections and words[:1] == ["default-server"]:
            found |= dict(zip(words[1:], [*words[2:], ""], strict=True))
    return found


def _seconds(text: str) -> float:
    """HAProxy's spelling of a time; without a unit it is milliseconds."""
    for unit, size in (("ms", 0.001), ("s", 1.0), ("m", 60.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * size
    return float(text) * 0.001


def refused(program: str, file: Path) -> list[str]:
    """What haproxy itself says against the file."""
    try:
        said = subprocess.run(
            [program, "-c", "-f", str(file)], capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{program} could not be asked about {file}: {error}"]
    return [] if said.returncode == 0 else [f"{program} refuses {file}:\n{said.stderr.strip()}"]


def check(folder: Path, settings: Settings, nodes: Nodes, program: str | None) -> list[str]:
    wrong: list[str] = []
    for file in FILES:
        text = (folder / file).read_text(encoding="utf-8")
        wrong += differences(file, text, nodes) + timing(file, text, settings) + unchecked(file, text)
        wrong += refused(program, folder / file) if program else []
    return wrong


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m config.haproxy", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the server lines")
    parser.add_argument("--compose", action="store_true", help="the nodes of docker-compose.yml, whatever .env says")
    parser.add_argument("--program", default="", help="a haproxy to read the files with")
    options = parser.parse_args(arguments)
    try:
        settings = load()
        own = bool(settings.nodes) and not options.compose
        nodes = from_settings(settings) if own else from_compose(Path.cwd())
        if options.write:
            for file in FILES:
                text = (FOLDER / file).read_text(encoding="utf-8")
                (FOLDER / file).write_text(written(file, text, nodes), encoding="utf-8")
        wrong = check(FOLDER, settings, nodes, options.program or None)
    except (SettingsError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    names = ", ".join(node.name for node in nodes.nodes)
    if wrong:
        sys.stderr.write("\n".join([*wrong, "", f"The nodes are those of {nodes.origin}: {names}.", HINT, ""]))
        return 1
    read = "" if options.program else "; no haproxy read them, for there is none on this machine"
    sys.stdout.write(f"{', '.join(FILES)}: the nodes of {nodes.origin} ({names}){read}\n")
    return 0


HINT = "`make haproxy-nodes` writes the server lines; ARGS=--compose takes the nodes of docker-compose.yml."

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
