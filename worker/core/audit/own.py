"""The rules about our own settings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.core.audit.observed import Login, OwnSeen, Store
from worker.core.audit.verdict import (
    PASSED,
    Flaw,
    Verdict,
    found,
    is_loopback,
    is_plain,
    not_applicable,
    passed_if,
)
from worker.core.passwords import is_default, weakness

OwnRule = Callable[[OwnSeen], Verdict]


def _default_passwords(own: OwnSeen) -> Verdict:
    return found(*(_told(login) for login in own.logins if is_default(login.user, login.password)))


def _weak_passwords(own: OwnSeen) -> Verdict:
    weak = [login for login in own.logins if not is_default(login.user, login.password)]
    return found(*(_told(login) for login in weak if weakness(login.user, login.password)))


def _told(login: Login) -> Flaw:
    """Not of whom: a user may be called like his password."""
    why = weakness(login.user, login.password)
    return Flaw(f"the password in {login.where}: {why}", {"setting": login.where}, node=login.node)


def _replication_user(own: OwnSeen) -> Verdict:
    if not own.logins:
        return not_applicable("no user is configured")
    return passed_if(own.replication_user, "REPLICATION_USER is not set: links have the user of COUCHDB_USER")


def _stores(own: OwnSeen, bad: Callable[[Store], bool], words: str) -> Verdict:
    """A socket, or a loopback address, is open to this machine alone."""
    remote = [store for store in own.stores if not is_loopback(store.host)]
    return found(*(Flaw(f"{one.where}: {words}", {"setting": one.where}) for one in remote if bad(one)))


def _api_on_a_network(own: OwnSeen) -> Verdict:
    return passed_if(is_loopback(own.api_host), f"API_HOST is {own.api_host}")


def _flower(own: OwnSeen) -> Verdict:
    return passed_if(own.flower_password, f"FLOWER_HOST is {own.flower_host}, and FLOWER_BASIC_AUTH is not set")


def _sealed(own: OwnSeen) -> Verdict:
    if not own.backups:
        return not_applicable("no backups are made")
    return passed_if(own.sealed, "BACKUP_URL is set, and BACKUP_KEY is not")


def _webhooks(own: OwnSeen) -> Verdict:
    if not own.receivers:
        return not_applicable("nobody is sent events")
    return found(*(Flaw(f"events go to {host}", {"receiver": host}) for host in own.receivers if is_plain(host)))


def _open_to_all(own: OwnSeen) -> Verdict:
    return passed_if(own.anonymous_role in {"", "view"}, f"API_ALLOW_ANONYMOUS is {own.anonymous_role}")


def _plain_tokens(own: OwnSeen) -> Verdict:
    return passed_if(not own.plain_tokens, f"{own.plain_tokens} of API_TOKENS are no digests")


RULES: Mapping[str, OwnRule] = {
    "own-password-default": _default_passwords,
    "own-password-weak": _weak_passwords,
    "replication-user-is-admin": _replication_user,
    "redis-open": lambda own: _stores(own, lambda store: not store.password, "its URL has no password"),
    "redis-plain": lambda own: _stores(own, lambda store: not store.tls, "its URL is not rediss://"),
    "api-without-token": lambda own: PASSED if own.api_tokens else found(Flaw("API_TOKENS is not set")),
    "api-open-to-all": _open_to_all,
    "tokens-in-plain": _plain_tokens,
    "api-on-a-network": _api_on_a_network,
    "flower-without-password": _flower,
    "backups-not-sealed": _sealed,
    "webhook-plain": _webhooks,
}
