"""How nodes are written in the settings: `url`, `name=url` or `name=url|peer_url`, comma-separated."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

_HOST = re.compile(r"[A-Za-z0-9._:-]+")  # a name or an address: no comma, no blank
_NODE_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


@dataclass(frozen=True)
class NodeSetting:
    """One node as configured. Credentials written into a URL are taken out of it at once."""

    name: str
    url: str
    peer_url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def parts(self) -> tuple[str, int, str, bool]:
        """Host (an IPv6 address in brackets), port, path and whether it speaks TLS."""
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        name = parts.hostname or ""
        return f"[{name}]" if ":" in name else name, parts.port or (443 if secure else 80), parts.path, secure


def split(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def parse_nodes(primary: str, others: str) -> tuple[NodeSetting, ...]:
    """Parse the two node variables. Raises ValueError that says which entry is wrong and how to write it."""
    entries = ([primary] if primary else []) + [entry for entry in split(others) if entry != primary]
    defaults = ["primary", *(f"replica{i}" for i in range(1, len(entries)))]
    nodes = [parse_node(entry, default) for entry, default in zip(entries, defaults, strict=False)]
    for seen, what in (([n.name for n in nodes], "name"), ([n.url for n in nodes], "URL")):
        twice = sorted({value for value in seen if seen.count(value) > 1})
        if twice:
            raise ValueError(f"two nodes have the {what} {twice[0]}: each node is listed once")
    return tuple(nodes)


def parse_node(entry: str, default_name: str) -> NodeSetting:
    name, _, rest = entry.partition("=") if re.match(r"^[^:/]*=", entry) else (default_name, "", entry)
    url, _, peer = rest.partition("|")
    if not _NODE_NAME.match(name):
        raise ValueError(f"node name {name!r}: lowercase letters, digits and hyphens, at most 63 characters")
    clean, user, password = _without_credentials(name, url)
    peer_clean = _without_credentials(name, peer)[0] if peer else clean
    return NodeSetting(name, clean, peer_clean, user, password)


def _without_credentials(node: str, url: str) -> tuple[str, str | None, str | None]:
    wrong = f"node {node}: write it as url, name=url or name=url|peer_url, with a url like http://127.0.0.1:5984"
    try:
        parts = urlsplit(url.strip())
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise ValueError(wrong) from None
    name = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(name) or parts.query or parts.fragment:
        raise ValueError(wrong)
    host = f"[{name}]" if ":" in name else name
    clean = urlunsplit((parts.scheme, f"{host}{port}", parts.path.rstrip("/"), "", ""))
    user = unquote(parts.username) if parts.username else None
    return clean, user, unquote(parts.password or "") if user else None
