"""The rules about a node's configuration. Pure.

What nobody has set is not listed by CouchDB and has its default, that of 3.5 unless a rule knows better. Section
[chttpd_auth] was [couch_httpd_auth], and some keys of [chttpd] were in [httpd]: the newer counts where both are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.core import advisories
from worker.core.audit.node import NOT_COUCHDB, NodeRule, is_standin
from worker.core.audit.observed import NodeSeen, Sections
from worker.core.audit.verdict import PASSED, Flaw, Verdict, found, known, not_applicable, passed_if
from worker.core.passwords import NOTORIOUS, enough

AUTH = ("chttpd_auth", "couch_httpd_auth")
HTTP = ("chttpd", "httpd")
LONGEST_SESSION = 86_400  # seconds
SHORTEST_SECRET = 16  # characters
STRONG_SINCE = (3, 4, 0)  # has 600,000 rounds of SHA-256 by default
_EVERYWHERE = {"0.0.0.0", "::", "any"}  # noqa: S104 - what is looked for
_CSP = ("attachments_enable", "showlist_enable", "utils_enable")


def value(sections: Sections, names: tuple[str, ...], key: str, default: str = "") -> str:
    return next((sections[name][key].strip() for name in names if key in sections.get(name, {})), default)


def on(sections: Sections, names: tuple[str, ...], key: str, *, default: bool = False) -> bool:
    return value(sections, names, key, str(default)).lower() == "true"


def _rule(judge: Callable[[NodeSeen, Sections], Verdict]) -> NodeRule:
    def rule(node: NodeSeen) -> Verdict:
        if is_standin(node):
            return not_applicable(f"{NOT_COUCHDB}: it has no such configuration")
        return known(node.configuration, lambda sections: judge(node, sections))

    return rule


def _cookie_secret(node: NodeSeen, sections: Sections) -> Verdict:
    secret = value(sections, AUTH, "secret")
    if not secret:
        return PASSED  # CouchDB makes one of 128 random bits when it starts
    good = len(secret) >= SHORTEST_SECRET and len(set(secret)) > SHORTEST_SECRET // 2 and secret not in NOTORIOUS
    return passed_if(good, f"it has fewer than {SHORTEST_SECRET} characters, or the same ones again and again")


def _proxy(node: NodeSeen, sections: Sections) -> Verdict:
    handlers = value(sections, HTTP, "authentication_handlers")
    trusting = "proxy_authentication_handler" in handlers and not on(sections, AUTH, "proxy_use_secret")
    return passed_if(not trusting, "proxy_authentication_handler is on, and proxy_use_secret is not")


def _bind(node: NodeSeen, sections: Sections) -> Verdict:
    address = value(sections, ("chttpd",), "bind_address", "127.0.0.1")
    return passed_if(address not in _EVERYWHERE, f"[chttpd] bind_address = {address}")


def _origins(sections: Sections) -> dict[str, bool]:
    """Section of CORS that lets every origin in -> whether with credentials. Virtual hosts have their own."""
    if not on(sections, HTTP, "enable_cors"):
        return {}
    named = [name for name in sections if name == "cors" or name.startswith("cors:")]
    wild = [name for name in named if "*" in {one.strip() for one in value(sections, (name,), "origins").split(",")}]
    return {name: on(sections, (name,), "credentials") for name in wild}


def _cors(with_credentials: bool) -> Callable[[NodeSeen, Sections], Verdict]:
    def judge(node: NodeSeen, sections: Sections) -> Verdict:
        wild = [name for name, credentials in _origins(sections).items() if credentials is with_credentials]
        return found(*(Flaw(f"[{name}] origins = *", {"section": name}) for name in wild))

    return judge


def _iterations(node: NodeSeen, sections: Sections) -> Verdict:
    if value(sections, AUTH, "password_scheme", "pbkdf2") != "pbkdf2":
        return found(Flaw("[chttpd_auth] password_scheme is not pbkdf2: one round of SHA-1"))
    version = advisories.parse(node.version) if isinstance(node.version, str) else None
    old = version is not None and version < STRONG_SINCE  # 10 of SHA-1, where nobody has set another
    prf = value(sections, AUTH, "pbkdf2_prf", "sha" if old else "sha256")
    told = value(sections, AUTH, "iterations", "10" if old else "600000")
    rounds = int(told) if told.isascii() and told.isdigit() and len(told) < 12 else 0
    return passed_if(enough(prf, rounds), f"[chttpd_auth] iterations = {told[:20]}, pbkdf2_prf = {prf[:20]}")


def _sessions(node: NodeSeen, sections: Sections) -> Verdict:
    told = value(sections, AUTH, "timeout", "600")
    seconds = int(told) if told.isascii() and told.isdigit() else LONGEST_SESSION + 1
    return passed_if(seconds <= LONGEST_SESSION, f"[chttpd_auth] timeout = {told[:20]}")


def _cookies(node: NodeSeen, sections: Sections) -> Verdict:
    lasting = on(sections, AUTH, "allow_persistent_cookies", default=True)
    return passed_if(not lasting, "[chttpd_auth] allow_persistent_cookies is true, as it is by default")


def _log(node: NodeSeen, sections: Sections) -> Verdict:
    return passed_if(value(sections, ("log",), "level", "info").lower() != "debug", "[log] level = debug")


def _csp(node: NodeSeen, sections: Sections) -> Verdict:
    off = [key for key in _CSP if not on(sections, ("csp",), key, default=True)]
    off += ["enable"] if value(sections, ("csp",), "enable", "true").lower() == "false" else []  # before 3.2
    return passed_if(not off, f"[csp] {', '.join(off)} = false")


def _users_public(node: NodeSeen, sections: Sections) -> Verdict:
    keys = [key for key in ("public_fields",) if value(sections, AUTH, key)]
    keys += ["users_db_public"] if on(sections, AUTH, "users_db_public") else []
    return passed_if(not keys, f"[chttpd_auth] {', '.join(keys)}")


def _certificates(node: NodeSeen, sections: Sections) -> Verdict:
    if not any(url.startswith("https://") for url in node.peers):
        return not_applicable("it calls none of its peers by https")
    verified = on(sections, ("replicator",), "verify_ssl_certificates")
    return passed_if(verified, "[replicator] verify_ssl_certificates is not true")


RULES: Mapping[str, NodeRule] = {
    "weak-cookie-secret": _rule(_cookie_secret),
    "few-iterations": _rule(_iterations),
    "unsigned-proxy-authentication": _rule(_proxy),
    "listens-everywhere": _rule(_bind),
    "cors-any-origin": _rule(_cors(False)),
    "cors-any-origin-with-credentials": _rule(_cors(True)),
    "long-sessions": _rule(_sessions),
    "persistent-cookies": _rule(_cookies),
    "debug-log": _rule(_log),
    "content-security-off": _rule(_csp),
    "users-public": _rule(_users_public),
    "certificates-not-verified": _rule(_certificates),
}
