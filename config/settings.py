"""Settings: read once, checked once, frozen; the only reader of the environment.

Each field is one environment variable of the same name in capitals (or a line of `.env`; the environment
wins). A secret may instead be given as a file: `COUCHDB_PASSWORD_FILE=/run/secrets/couchdb`. An empty value
is the same as none. A bad value stops the start with the variable's name and what it should be.

Long for one reason: every field is documented where it is defined.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from config.backups import OFF, parse_options, secrets_of
from config.nodes import NodeSetting, parse_node, parse_nodes, split
from config.rules import RuleSetting, read_rules
from config.sources import SettingsError, Source
from config.tls import check_ca_bundle, check_client
from config.tokens import Role, Token, parse_tokens, plain_tokens, role_of
from config.webhooks import Private, Receiver, parse_keys, parse_private, parse_receivers, tokens_of

__all__ = ["LOOPBACK_HOSTS", "MIN_KEY_LENGTH", "Settings", "SettingsError", "build", "current", "load"]

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
MIN_KEY_LENGTH = 32
_ANY_HOST = frozenset({"0.0.0.0", "::"})  # noqa: S104 - to listen on, not to be reached at
_STALE_SWEEPS = 6
_STALE_GRACE = 30.0  # seconds


class Settings(BaseModel):
    """Every setting. The order and the descriptions are those of `.env.example` and docs/settings.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    _sources: dict[str, Source] = PrivateAttr(default_factory=dict)

    # --- the nodes
    couchdb_url: str = Field(
        "",
        repr=False,  # may be written with credentials in it
        description="The primary node: `url`, `name=url` or `name=url|peer_url`. A user and password in a url are "
        "taken out of it, and used for that node instead of COUCHDB_USER.",
    )
    couchdb_user: str = Field("", description="Server admin on the nodes, the same on all of them.")
    couchdb_password: SecretStr = Field(SecretStr(""), description="Its password (or COUCHDB_PASSWORD_FILE).")
    replication_nodes: str = Field(
        "",
        repr=False,
        description="The other nodes, comma-separated, each written like COUCHDB_URL. `peer_url` is the address "
        "other nodes use for it, where that differs from ours (Docker, NAT).",
    )
    replication_user: str = Field(
        "",
        description="User that nodes use towards each other; COUCHDB_USER if empty. It must be an admin of every "
        "replicated database: a mere member cannot write design documents, and those would be missing.",
    )
    replication_password: SecretStr = Field(SecretStr(""), description="Its password (or REPLICATION_PASSWORD_FILE).")
    couchdb_password_previous: SecretStr = Field(
        SecretStr(""),
        description="What COUCHDB_PASSWORD was, while it is being changed on the nodes (docs/security.md, Change a "
        "password): both are known meanwhile, and each node is called with the one that it has.",
    )
    replication_password_previous: SecretStr = Field(
        SecretStr(""), description="What REPLICATION_PASSWORD was, in the same way."
    )
    couchdb_timeout: float = Field(
        30.0, gt=0, le=600, description="Seconds a node may take to answer an ordinary call."
    )
    couchdb_ca_bundle: Path | None = Field(
        None,
        description="PEM file of the CAs that signed the nodes' certificates; it replaces the public CAs, which count "
        "without it. Nothing turns verification off (docs/security.md).",
    )
    couchdb_client_cert: Path | None = Field(
        None,
        description="PEM client certificate to show to the nodes, followed by its intermediate ones; its private key "
        "in the same file, or in COUCHDB_CLIENT_KEY.",
    )
    couchdb_client_key: Path | None = Field(
        None,
        description="PEM private key of COUCHDB_CLIENT_CERT, not encrypted: nobody is there to ask for a password.",
    )

    # --- replication
    continuous_replication: bool = Field(
        True,
        description="Whether changes travel by themselves, in the way REPLICATION_MODE says. `false`: nothing is done "
        "by itself, whatever the mode and the rules: databases are synced only when asked. Continuous links made "
        "earlier run on until a set-up is asked for, which then takes them away.",
    )
    replication_mode: Literal["auto", "continuous", "on-change"] = Field(
        "auto",
        description="How changes travel. `continuous`: by continuous links, which CouchDB's scheduler runs. "
        "`on-change`: we listen to the nodes and sync what changed. `auto`: links as long as they fit well into the "
        "scheduler's slots, on-change for what is beyond. Nodes without a scheduler have a periodic pass in any case.",
    )
    replication_retry_seconds: int = Field(
        30,
        ge=1,
        le=86_400,
        description="Seconds between two looks at what should be and what is (reconcile), and between two periodic "
        "passes over the databases that travel on change.",
    )
    replication_topology: Literal["mesh", "star", "ring"] = Field("mesh", description="Which node pulls from which.")
    replication_include: str = Field("*", description="Globs of the databases to replicate, comma-separated.")
    replication_exclude: str = Field("", description="Globs of the databases to leave alone, comma-separated.")
    replication_rules: Path | None = Field(
        None,
        description="YAML file of per-database rules: topology, direction, mode and a Mango selector (docs/rules.md). "
        "The first rule that matches a database counts; the settings here are for the others.",
    )
    replicate_users: bool = Field(
        False, description="Whether the database of users and their password hashes, `_users`, is replicated as well."
    )
    replication_stall_seconds: int = Field(
        300, ge=5, description="A link that has changes to carry and carries none for so many seconds is stalled."
    )
    on_change_debounce_ms: int = Field(
        100,
        ge=0,
        le=60_000,
        description="Milliseconds that mode on-change waits after a write, so that more writes go with the same sync.",
    )
    on_change_concurrency: int = Field(
        8,
        ge=1,
        le=200,
        description="Databases that mode on-change brings in step at once; always fewer than WORKER_CONCURRENCY, so "
        "that a sync which somebody asks for finds a free worker.",
    )
    tune_nodes: bool = Field(
        False,
        description="Whether setup may change the nodes' own configuration to what replicates fast "
        "(`[replicator] startup_jitter = 0`, `checkpoint_interval = 10000`). It needs server admin rights and lasts.",
    )
    canary_seconds: int = Field(
        60,
        ge=0,
        le=86_400,
        description="Seconds between two canary writes, which measure how long a write takes to every other node; "
        "they go to a database of our own, `notebook-replication`. 0 turns them off.",
    )

    # --- jobs
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Job store and queue: redis://, rediss:// or unix:// URL (or REDIS_URL_FILE). Empty: "
        "`python app.py` starts a private one under var/.",
    )
    broker_url: SecretStr = Field(SecretStr(""), description="Celery's broker, where it is not REDIS_URL.")
    result_ttl: int = Field(86_400, ge=60, description="Seconds a finished job and its result are kept.")
    job_lease_seconds: int = Field(
        15, ge=2, le=300, description="A running job whose worker is silent for so long is given to another worker."
    )
    job_max_attempts: int = Field(
        3, ge=1, le=20, description="Starts of one job that may end with a lost worker or a transient error."
    )
    worker_concurrency: int = Field(20, ge=1, le=500, description="Jobs that one worker process runs at once.")

    # --- the API
    api_host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Other than loopback needs API_TOKENS or API_ALLOW_ANONYMOUS.",
    )
    api_port: int = Field(5000, ge=0, le=65_535, description="Port to listen on.")
    api_tokens: SecretStr = Field(
        SecretStr(""),
        description="Bearer tokens, comma-separated (or API_TOKENS_FILE, one a line): `name=role:token`, where the "
        "role is view, operate or admin, and the token at least 16 characters or sha256:<its hex digest>. "
        "`./nbr token new NAME --role ROLE` makes one. Without name and role it is an admin's. What is written in "
        "API_TOKENS_FILE or `.env` counts a second after it was changed. Empty: no token is asked for, on loopback "
        "alone.",
    )
    api_allow_anonymous: Literal["", "view", "operate", "admin"] = Field(
        "",
        description="The role of callers who show no token, from whatever address they come. Empty: none, where there "
        "are API_TOKENS; where there are none, admin, for callers of this machine alone.",
    )
    api_allowed_hosts: str = Field(
        "",
        description="Host names, without port, under which callers reach the API, comma-separated, besides "
        "loopback names and API_HOST. Needed where API_HOST is 0.0.0.0: other names are answered 421.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Seals what is kept for callers (webhook receivers) and signs sign-ins (or SECRET_KEY_FILE): at "
        "least 32 characters; several are separated by blanks, the newest first. `openssl rand -hex 32` makes one. "
        "Empty: sign-ins end with the API's process, and no receivers can be added; `python app.py` makes one by "
        "itself.",
    )
    api_proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="How many proxies stand before the API, each of which appends to X-Forwarded-For. Callers are told "
        "apart by what the outermost one says. The one before the API tells in X-Forwarded-Proto how callers came: "
        "where it says https, cookies are for HTTPS alone. Too many, and callers choose their own address; too few, "
        "and all of them have one, and are locked out together. Needs API_TOKENS or API_ALLOW_ANONYMOUS.",
    )
    api_rate_per_minute: int = Field(
        6_000, ge=0, description="Requests a minute of one caller (a token, or an address without one). 0: no limit."
    )
    api_lockout_failures: int = Field(
        10,
        ge=0,
        description="Different wrong tokens from one address within five minutes, after which it is answered 429 for "
        "as long, whatever token it shows. 0: never.",
    )
    api_session_hours: float = Field(
        12, gt=0, le=720, description="Hours after which a sign-in with a browser ends by itself."
    )
    api_max_body_bytes: int = Field(1_048_576, ge=1_024, description="Largest request body, in bytes.")
    api_threads: int = Field(32, ge=4, le=512, description="Requests that the API process serves at once.")

    # --- health
    health_interval: int = Field(10, ge=1, le=3_600, description="Seconds between two sweeps over the nodes.")
    health_timeout: float = Field(3.0, gt=0, le=60, description="Seconds a node has to answer a sweep.")
    health_slow_ms: int = Field(
        1_000, ge=1, description="Milliseconds for `GET /` above which a node that answers is called slow (never down)."
    )
    health_failures: int = Field(3, ge=1, description="Failed sweeps in a row before a node is called down.")
    health_successes: int = Field(2, ge=1, description="Good sweeps in a row before it is called healthy again.")

    ready_max_lag: int = Field(
        1_000,
        ge=0,
        description="Changes by which a healthy node may lag and still be sent clients, and act as the primary, while "
        "a better one is there.",
    )

    # --- backups
    backup_url: str = Field(
        "",
        description="Where backups are kept: `file:///absolute/folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or "
        "`az://container/prefix`. Empty: no backups are made.",
    )
    backup_options: SecretStr = Field(
        SecretStr(""),
        description="Options of that store, `name=value`, comma-separated (or BACKUP_OPTIONS_FILE), as obstore names "
        "them: `aws_access_key_id=..., aws_secret_access_key=..., aws_region=..., aws_endpoint=https://...`; "
        "`allow_http=true` for an endpoint without TLS. What is missing is taken from the variables that the cloud's "
        "own tools use.",
    )
    backup_copy_url: str = Field(
        "", description="A second location, written like BACKUP_URL: every backup is copied there when it is done."
    )
    backup_copy_options: SecretStr = Field(SecretStr(""), description="Its options, like BACKUP_OPTIONS.")
    backup_key: SecretStr = Field(
        SecretStr(""),
        description="Seals every object with age before it leaves (or BACKUP_KEY_FILE): recipients (`age1...`) suffice "
        "to back up; an identity (`AGE-SECRET-KEY-1...`) is needed to restore and for drills. Several are separated by "
        "commas. `age-keygen` makes a pair. Without the identity nobody can read the backups, you included.",
    )
    backup_schedule: str = Field(
        "0 3 * * *",
        description="When a backup of everything begins: five fields of cron, UTC. One that was missed is made up for "
        "at the next start. `off`: only when asked.",
    )
    backup_include: str = Field("*,_users", description="Globs of the databases to back up, comma-separated.")
    backup_exclude: str = Field("", description="Globs of the databases to leave out, comma-separated.")
    backup_full_days: int = Field(
        7,
        ge=0,
        le=3_650,
        description="Days that incremental backups go on from one full backup; then the next one is full. 0: all are.",
    )
    backup_retention: str = Field(
        "last=7, daily=14, weekly=8, monthly=12",
        description="Which backups are kept: how many of the last, and of how many hours, days, weeks, months and "
        "years the newest each (`last, hourly, daily, weekly, monthly, yearly`). `all`: every one. Never removed: the "
        "last good one, one on legal hold, and what a kept one needs.",
    )
    backup_blackout: str = Field(
        "",
        description="When no scheduled backup or drill begins, UTC: `mon-fri 08:00-18:00, sat 22:00-02:00`. A backup "
        "that runs waits until the window is over, and others behind it: cancel its job to let one through.",
    )
    backup_max_mb_per_second: float = Field(
        0, ge=0, description="Most megabytes a second that a backup reads from a node. 0: no limit."
    )
    backup_stale_hours: float = Field(
        30, gt=0, description="Hours without a good backup of everything after which an event says so."
    )
    backup_drill_schedule: str = Field(
        "0 5 * * sun",
        description="When the newest backup is restored into a scratch database, compared and dropped: five fields of "
        "cron, UTC. `off`: only when asked.",
    )

    # --- webhooks
    webhook_urls: SecretStr = Field(
        SecretStr(""),
        description="Who is sent each event, comma-separated http:// or https:// URLs (or WEBHOOK_URLS_FILE). A comma "
        "in a URL is written %2C. Needs WEBHOOK_SECRET.",
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="What events are signed with (Standard Webhooks; or WEBHOOK_SECRET_FILE): `whsec_` and then 24 to "
        "64 random bytes in base64; `echo whsec_$(openssl rand -base64 32)` makes one. While receivers change from "
        "one to another, write both, the new one first, separated by a blank: each event then has both signatures.",
    )

    webhook_allow_private: str = Field(
        "",
        description="Where receivers that were registered through the API may be, besides public addresses: networks "
        "(`10.0.0.0/8`), addresses and host names (`hooks.corp`, `*.hooks.corp`), comma-separated. A name may stand "
        "for addresses of private networks; for this machine or a cloud's metadata service only where a network says "
        "so. Receivers of WEBHOOK_URLS may be anywhere.",
    )

    # --- the proxy
    agent_host: str = Field(
        "127.0.0.1",
        description="Address on which the agent listens, whom HAProxy asks where clients may go. It tells what it "
        "thinks of a node whose name one knows, and nothing else.",
    )
    agent_port: int = Field(5989, ge=0, le=65_535, description="Port on which the agent listens.")

    # --- metrics
    metrics_databases: str = Field(
        "",
        description="Globs of the databases of which `GET /metrics` tells one by one, comma-separated, by name the "
        "first 200 that match. Empty: of none: each is a few series more for Prometheus to keep (docs/metrics.md).",
    )

    # --- Flower and logs
    flower_host: str = Field("127.0.0.1", description="Address Flower listens on.")
    flower_port: int = Field(5555, ge=0, le=65_535, description="Port Flower listens on.")
    flower_basic_auth: SecretStr = Field(
        SecretStr(""), description="user:password for Flower; needed where FLOWER_HOST is not loopback."
    )
    flower_url: str = Field(
        "",
        description="Where browsers reach Flower, for the link on the dashboard: `http://` or `https://`. Empty: "
        "FLOWER_HOST and FLOWER_PORT. `off`: no link.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["console", "json"] = Field("console", description="Lines for people or for a log collector.")

    @property
    def stale_after(self) -> float:
        """Seconds after which a sweep no longer says how the nodes are."""
        return _STALE_SWEEPS * self.health_interval + self.health_timeout + _STALE_GRACE

    @functools.cached_property
    def nodes(self) -> tuple[NodeSetting, ...]:
        """All nodes, the primary first."""
        return parse_nodes(self.couchdb_url, self.replication_nodes)

    def source(self, name: str) -> Source | None:
        """Where a secret was read and can be read again; None where it came by environment, or there is none."""
        return self._sources.get(name)

    @property
    def include(self) -> tuple[str, ...]:
        return split(self.replication_include)

    @property
    def exclude(self) -> tuple[str, ...]:
        return split(self.replication_exclude)

    @functools.cached_property
    def rules(self) -> tuple[RuleSetting, ...]:
        """The rules of REPLICATION_RULES in their order; none where there is no such file."""
        return read_rules(self.replication_rules) if self.replication_rules else ()

    @functools.cached_property
    def tokens(self) -> tuple[Token, ...]:
        """The accepted bearer tokens, as they were at the start (api.tokens knows those of now)."""
        return parse_tokens(self.api_tokens.get_secret_value())

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The keys of SECRET_KEY, the newest first."""
        return tuple(self.secret_key.get_secret_value().split())

    @property
    def changes_passwords(self) -> bool:
        """Whether there is a password that is to be changed into another."""
        previous = self.couchdb_password_previous, self.replication_password_previous
        return any(password.get_secret_value() for password in previous)

    @property
    def anonymous_role(self) -> Role | None:
        """What may be done without a token from any address; None where API_ALLOW_ANONYMOUS gives no leave."""
        return role_of(self.api_allow_anonymous) if self.api_allow_anonymous else None

    @functools.cached_property
    def allowed_hosts(self) -> frozenset[str]:
        """Host names (without port, lower case) that the API answers to."""
        named = {host.lower() for host in (*split(self.api_allowed_hosts), self.api_host)}
        return frozenset(named | LOOPBACK_HOSTS)

    @property
    def backup_key_words(self) -> list[str]:
        """The recipients and identities of BACKUP_KEY, without the comments that `age-keygen` writes beside them."""
        lines = (line.partition("#")[0] for line in self.backup_key.get_secret_value().splitlines())
        return [word for line in lines for word in line.replace(",", " ").split()]

    @functools.cached_property
    def receivers(self) -> tuple[Receiver, ...]:
        """Who is sent each event."""
        return parse_receivers(self.webhook_urls.get_secret_value())

    @functools.cached_property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """What events are signed with, the newest first."""
        return parse_keys(self.webhook_secret.get_secret_value())

    @functools.cached_property
    def private_webhooks(self) -> Private:
        """What WEBHOOK_ALLOW_PRIVATE allows."""
        return parse_private(self.webhook_allow_private)

    @functools.cached_property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for masking in logs."""
        values = [
            self.couchdb_password,
            self.couchdb_password_previous,
            self.replication_password,
            self.replication_password_previous,
            self.api_tokens,
            self.flower_basic_auth,
            self.secret_key,
        ]
        plain = [value.get_secret_value() for value in values]
        # a recipient is public, and so are most options of a store: only what is a secret is masked
        plain += [word for word in self.backup_key_words if not word.startswith("age1")]
        plain += [
            secret for options in (self.backup_options, self.backup_copy_options) for secret in secrets_of(options)
        ]
        plain += self.secret_keys
        plain += plain_tokens(self.api_tokens.get_secret_value())
        # Flower takes several user:password pairs; a password can turn up without its user
        plain += [pair.partition(":")[2] for pair in split(self.flower_basic_auth.get_secret_value())]
        plain += [_redis_password(url.get_secret_value()) for url in (self.redis_url, self.broker_url)]
        plain += [node.password or "" for node in self.nodes]
        plain += [token for receiver in self.receivers for token in tokens_of(receiver)]
        for secret in self.webhook_secret.get_secret_value().split():
            plain += [secret, secret.removeprefix("whsec_")]
        # as they stand in URLs, too
        return tuple({form for value in plain if value for form in (value, quote(value, safe=""))})

    @property
    def shown_databases(self) -> tuple[str, ...]:
        """The globs of METRICS_DATABASES."""
        return split(self.metrics_databases)

    @property
    def flower_link(self) -> str | None:
        """Where browsers reach Flower; None where nobody can say, or there is to be no link."""
        if self.flower_url:
            return None if self.flower_url == OFF else self.flower_url
        if self.flower_host in _ANY_HOST or not self.flower_port:
            return None
        host = f"[{self.flower_host}]" if ":" in self.flower_host else self.flower_host
        return f"http://{host}:{self.flower_port}/"

    @property
    def celery_broker_url(self) -> str:
        """The broker in kombu's spelling, which writes a unix socket differently from redis-py."""
        url = self.broker_url.get_secret_value() or self.redis_url.get_secret_value()
        return re.sub(r"^unix://", "redis+socket://", url) if url.startswith("unix:") else url

    @field_validator("redis_url", "broker_url")
    @classmethod
    def _one_redis(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must be a redis://, rediss:// or unix:// URL of one Redis server (no cluster)")
        # redis-py takes many options, of which Celery's broker (kombu) understands these alone: it would stop. Those of
        # a socket it leaves alone
        scheme = urlsplit(url).scheme
        for option, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
            if scheme != "unix" and not (scheme == "rediss" and option.startswith("ssl_")):
                raise ValueError(
                    f"the option {option!r} after ? is not understood: user, password and database are written "
                    "redis://user:password@host:6379/0, and only rediss:// takes options, those that begin with ssl_"
                )
        return value

    @field_validator("api_tokens")
    @classmethod
    def _readable_tokens(cls, value: SecretStr) -> SecretStr:
        parse_tokens(value.get_secret_value())
        return value

    @field_validator("api_allowed_hosts")
    @classmethod
    def _plain_hosts(cls, value: str) -> str:
        for host in split(value):
            # an IPv6 address has colons and no port
            if "/" in host or "*" in host or (":" in host and host.count(":") == 1) or "[" in host:
                raise ValueError(f"{host}: a host name alone, like api.example.com: no scheme, port, path or *")
        return value

    @field_validator("secret_key")
    @classmethod
    def _long_keys(cls, value: SecretStr) -> SecretStr:
        if any(len(key) < MIN_KEY_LENGTH for key in value.get_secret_value().split()):
            raise ValueError(f"each key needs at least {MIN_KEY_LENGTH} characters; openssl rand -hex 32 makes one")
        return value

    @field_validator("webhook_allow_private")
    @classmethod
    def _readable_private(cls, value: str) -> str:
        parse_private(value)
        return value

    @field_validator("webhook_urls")
    @classmethod
    def _readable_receivers(cls, value: SecretStr) -> SecretStr:
        parse_receivers(value.get_secret_value())
        return value

    @field_validator("backup_options", "backup_copy_options")
    @classmethod
    def _readable_options(cls, value: SecretStr) -> SecretStr:
        parse_options(value.get_secret_value())
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _readable_keys(cls, value: SecretStr) -> SecretStr:
        parse_keys(value.get_secret_value())
        return value

    @field_validator("flower_url")
    @classmethod
    def _a_link(cls, value: str) -> str:
        if value.strip().lower() == OFF:
            return OFF
        if value and not _is_link(value):
            raise ValueError("must be an http:// or https:// URL without a user and password in it, or off")
        return value

    @field_validator("couchdb_url", "replication_nodes")
    @classmethod
    def _readable_nodes(cls, value: str, info: ValidationInfo) -> str:
        if info.field_name == "couchdb_url":
            if value:
                parse_node(value, "primary")
        else:
            for i, entry in enumerate(split(value), start=1):
                parse_node(entry, f"replica{i}")
        return value

    @field_validator("couchdb_ca_bundle", "couchdb_client_cert", "couchdb_client_key")
    @classmethod
    def _readable_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"must be a readable PEM file; there is none at {value}")
        if value is not None and info.field_name == "couchdb_ca_bundle":
            check_ca_bundle(value)
        return value

    @field_validator("replication_rules")
    @classmethod
    def _readable_rules(cls, value: Path | None) -> Path | None:
        if value is not None:
            read_rules(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.couchdb_client_key and not self.couchdb_client_cert:
            raise ValueError("COUCHDB_CLIENT_KEY needs COUCHDB_CLIENT_CERT beside it")
        if self.couchdb_client_cert:
            check_client(self.couchdb_client_cert, self.couchdb_client_key)
        if self.replication_user and not self.replication_password.get_secret_value():
            raise ValueError("REPLICATION_USER needs REPLICATION_PASSWORD beside it")
        self._refuse_half_a_change("COUCHDB", self.couchdb_user, self.couchdb_password, self.couchdb_password_previous)
        self._refuse_half_a_change(
            "REPLICATION", self.replication_user, self.replication_password, self.replication_password_previous
        )
        if self.receivers and not self.webhook_keys:
            raise ValueError("WEBHOOK_URLS needs WEBHOOK_SECRET beside it: nothing is sent unsigned")
        if self.backup_copy_url and not self.backup_url:
            raise ValueError("BACKUP_COPY_URL needs BACKUP_URL beside it: it is a second location")
        if self.backup_url and self.backup_url.rstrip("/") == self.backup_copy_url.rstrip("/"):
            raise ValueError("BACKUP_COPY_URL is the same as BACKUP_URL: a second location is another one")
        _ = self.rules  # read now: what was checked is what counts, whatever the file says later
        try:
            parse_nodes(self.couchdb_url, self.replication_nodes)
        except ValueError as error:
            raise ValueError(f"COUCHDB_URL, REPLICATION_NODES: {error}") from None
        if self.api_host not in LOOPBACK_HOSTS and not self.tokens and not self.api_allow_anonymous:
            raise ValueError(
                f"API_HOST={self.api_host} would let the network in without asking for a token: set API_TOKENS "
                "(./nbr token new NAME --role ROLE makes one), listen on 127.0.0.1, or say in API_ALLOW_ANONYMOUS what "
                "everybody may do"
            )
        if self.api_proxies and not self.tokens and not self.api_allow_anonymous:
            raise ValueError(
                f"API_PROXIES={self.api_proxies} says that callers come from elsewhere, and they would not be asked "
                "for a token: set API_TOKENS, or say in API_ALLOW_ANONYMOUS what everybody may do"
            )
        ports = {"API_PORT": self.api_port, "FLOWER_PORT": self.flower_port, "AGENT_PORT": self.agent_port}
        for (one, port), (other, same) in itertools.combinations(ports.items(), 2):
            if port == same != 0:
                raise ValueError(f"{one} and {other} are both {port}: each needs its own")
        if self.flower_host not in LOOPBACK_HOSTS and not _all_logins(self.flower_basic_auth.get_secret_value()):
            raise ValueError(
                f"FLOWER_HOST={self.flower_host} would show Flower to the network: "
                "set FLOWER_BASIC_AUTH to user:password, or listen on 127.0.0.1"
            )
        return self

    def _refuse_half_a_change(self, which: str, user: str, password: SecretStr, previous: SecretStr) -> None:
        if not previous.get_secret_value():
            return
        if not user or not password.get_secret_value():
            raise ValueError(
                f"{which}_PASSWORD_PREVIOUS needs {which}_USER and {which}_PASSWORD beside it: the user whose password "
                "changes, and what it changes to"
            )
        if previous.get_secret_value() == password.get_secret_value():
            raise ValueError(f"{which}_PASSWORD_PREVIOUS is the same as {which}_PASSWORD: there is nothing to change")
        if self.replication_user and self.replication_user == self.couchdb_user:
            raise ValueError("REPLICATION_USER is COUCHDB_USER: leave REPLICATION_USER empty, and both change together")


def load(
    environ: dict[str, str] | None = None, env_file: Path | None = None, *, only: Collection[str] | None = None
) -> Settings:
    """Settings from the environment and `.env` (path in NBR_ENV_FILE, else `.env` of the working folder). `only`: just
    these fields are read, so that a mistake in another one is none here.

    Raises SettingsError, which names the variables at fault.
    """
    environ = dict(os.environ) if environ is None else environ
    named = environ.get("NBR_ENV_FILE")
    env_file = env_file or Path(named or ".env")
    if named and not env_file.exists():
        raise SettingsError(f"NBR_ENV_FILE: there is no file {named}")
    merged: dict[str, str | None] = {**(dotenv_values(env_file) if env_file.is_file() else {}), **environ}
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name, model_field in Settings.model_fields.items():
        if only is not None and name not in only:
            continue
        variable = name.upper()
        value = merged.get(variable)
        secret = model_field.annotation is SecretStr
        file = merged.get(f"{variable}_FILE") if secret else None
        if value and file:
            raise SettingsError(f"{variable} and {variable}_FILE are both set: keep one")
        if file:
            sources[name] = Source(variable, Path(file))
            value = sources[name].read()
        elif value and secret and variable not in environ:
            sources[name] = Source(variable, env_file, line=True)
        if value:
            values[name] = value
    made = build(values)
    made._sources.update(sources)
    return made


def build(values: dict[str, Any]) -> Settings:
    """Settings from already collected values; same errors as `load`."""
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(item) for item in error.errors(include_input=False))) from None


@functools.cache
def current() -> Settings:
    """The settings of this process, read on first use."""
    return load()


def _explain(item: Any) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    variable = ".".join(str(part) for part in item["loc"]).upper()
    return f"{variable}: {message}" if variable else message


def _is_link(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc


def _all_logins(text: str) -> bool:
    """Whether this is one user:password or several, and none with an empty half."""
    pairs = [pair.partition(":") for pair in split(text)]
    return bool(pairs) and all(user and password for user, _, password in pairs)


def _redis_password(url: str) -> str:
    return unquote(urlsplit(url).password or "") if url else ""
