"""The rules about a node: its version, who is let in, how it is called. Pure. Those about its configuration are in
worker.core.audit.configuration, those about what is in it in worker.core.audit.content."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.core import advisories
from worker.core.audit.observed import NodeSeen, Unknown
from worker.core.audit.verdict import Flaw, Verdict, found, is_plain, known, not_applicable, passed_if, unknown
from worker.core.model import NodeKind
from worker.core.redact import scrub

NodeRule = Callable[[NodeSeen], Verdict]
NOT_COUCHDB = "it is a stand-in, not CouchDB"


def is_standin(node: NodeSeen) -> bool:
    return node.kind is NodeKind.STANDIN


def _version(node: NodeSeen, judge: Callable[[advisories.Version], Verdict]) -> Verdict:
    if is_standin(node):
        return not_applicable(f"{NOT_COUCHDB}: its version says nothing about CouchDB's advisories")

    def parsed(text: str) -> Verdict:
        version = advisories.parse(text)
        return judge(version) if version else unknown(f"its version cannot be read: {scrub(text)[:60]!r}")

    return known(node.version, parsed)


def _advisory(node: NodeSeen) -> Verdict:
    def judge(version: advisories.Version) -> Verdict:
        told = advisories.text(version)
        return found(
            *(
                Flaw(
                    f"CouchDB {told} is open to {one.id}: {one.what}",
                    {"id": one.id, "version": told, "fixed_in": one.fixed_in, "url": one.url},
                    grade=one.grade,
                    remedy=f"upgrade CouchDB: mended in {' and '.join(one.fixed_in)}",
                )
                for one in advisories.affecting(version)
            )
        )

    return _version(node, judge)


def _end_of_life(node: NodeSeen) -> Verdict:
    def judge(version: advisories.Version) -> Verdict:
        oldest = ".".join(map(str, advisories.OLDEST_MENDED))
        detail = f"CouchDB {advisories.text(version)}: only {oldest} and later get security fixes"
        return passed_if(advisories.is_mended(version), detail, version=advisories.text(version))

    return _version(node, judge)


def _admin_party(node: NodeSeen) -> Verdict:
    return known(
        node.anonymous.admin,
        lambda admin: passed_if(not admin, "a request without credentials is that of a server admin"),
    )


def _valid_user(node: NodeSeen) -> Verdict:
    if is_standin(node):
        return not_applicable(f"{NOT_COUCHDB}: it has no such setting")
    return known(
        node.anonymous.welcomed,
        lambda welcomed: passed_if(not welcomed, "GET / without credentials is answered, and tells the version"),
    )


def _names(node: NodeSeen) -> Verdict:
    return known(
        node.anonymous.names,
        lambda told: passed_if(not told, "GET /_all_dbs without credentials is answered with every database"),
    )


def _plain_http(node: NodeSeen) -> Verdict:
    return passed_if(not is_plain(node.url), f"we call it at {node.url}", url=node.url)


def _plain_http_between(node: NodeSeen) -> Verdict:
    if not node.peers:
        return not_applicable("it has no peers")
    return passed_if(not is_plain(node.peer_url), f"its peers call it at {node.peer_url}", url=node.peer_url)


def _default_password(node: NodeSeen) -> Verdict:
    """By the hashes of all its admins; where they are not told, by two logins."""
    if isinstance(node.admins, Unknown):
        if isinstance(node.default_login, Unknown):
            return unknown(node.default_login.why)
        why = f"two default logins are refused; other admins are not known: {node.admins.why}"
        taken = node.default_login
        return found(_default(taken)) if taken else unknown(why)
    flaws = [_default(admin.name) for admin in node.admins if admin.default]
    rest = sum(admin.default is None for admin in node.admins)
    why = f"of {rest} of {len(node.admins)} admins not every default could be tried: it would take too long"
    return Verdict(flaws, unknown=why if rest else None)


def _default(admin: str) -> Flaw:
    return Flaw(f"the password of the server admin {admin!r} is one of the first that anybody tries", {"admin": admin})


def _plain_password(node: NodeSeen) -> Verdict:
    return known(
        node.admins,
        lambda admins: found(
            *(
                Flaw(f"the password of the server admin {one.name!r} is in its configuration", {"admin": one.name})
                for one in admins
                if one.scheme == "plain"
            )
        ),
    )


def _weak_hash(node: NodeSeen) -> Verdict:
    return known(
        node.admins,
        lambda admins: found(
            *(
                Flaw(
                    f"the password of the server admin {one.name!r} is kept by {one.rounds} rounds ({one.scheme})",
                    {"admin": one.name, "scheme": one.scheme, "rounds": one.rounds},
                )
                for one in admins
                if one.weak_hash
            )
        ),
    )


def _erlang_cookie(node: NodeSeen) -> Verdict:
    if is_standin(node):
        return not_applicable(f"{NOT_COUCHDB}: it does not run on Erlang")
    return unknown(
        "this cannot be seen over HTTP: look at -setcookie in its vm.args (3.2.2 and later do not start with the "
        "default), and try its ports 4369 and 9100 from another machine"
    )


RULES: Mapping[str, NodeRule] = {
    "advisory": _advisory,
    "end-of-life": _end_of_life,
    "admin-party": _admin_party,
    "valid-user-not-required": _valid_user,
    "database-names-open": _names,
    "plain-http": _plain_http,
    "plain-http-between-nodes": _plain_http_between,
    "default-password": _default_password,
    "plain-password": _plain_password,
    "weak-hash": _weak_hash,
    "erlang-cookie": _erlang_cookie,
}
