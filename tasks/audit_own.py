"""Our own settings, as far as the security report judges them."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from config.settings import Settings
from config.tokens import plain_tokens
from worker.core.audit.observed import Login, OwnSeen, Store


def own_of(settings: Settings) -> OwnSeen:
    return OwnSeen(
        logins=tuple(_logins(settings)),
        replication_user=bool(settings.replication_user),
        stores=tuple(_stores(settings)),
        api_tokens=bool(settings.tokens),
        plain_tokens=len(plain_tokens(settings.api_tokens.get_secret_value())),
        anonymous_role=settings.api_allow_anonymous,
        api_host=settings.api_host,
        flower_password=bool(settings.flower_basic_auth.get_secret_value()),
        flower_host=settings.flower_host,
        backups=bool(settings.backup_url),
        sealed=bool(settings.backup_key_words),
        receivers=tuple(receiver.host for receiver in settings.receivers),
    )


def _logins(settings: Settings) -> Iterator[Login]:
    if settings.couchdb_user:
        yield Login("COUCHDB_PASSWORD", settings.couchdb_user, settings.couchdb_password.get_secret_value())
    if settings.replication_user:
        password = settings.replication_password.get_secret_value()
        yield Login("REPLICATION_PASSWORD", settings.replication_user, password)
    for place, node in enumerate(settings.nodes):
        if node.user:
            where = "COUCHDB_URL" if place == 0 and settings.couchdb_url else "REPLICATION_NODES"
            yield Login(where, node.user, node.password or "", node.name)


def _stores(settings: Settings) -> Iterator[Store]:
    for where, secret in (("REDIS_URL", settings.redis_url), ("BROKER_URL", settings.broker_url)):
        if url := secret.get_secret_value():
            parts = urlsplit(url)
            host = None if parts.scheme == "unix" else parts.hostname
            yield Store(where, host, parts.scheme == "rediss", bool(parts.password))
