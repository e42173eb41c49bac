"""What the security report looks for: one table for the rules, docs/security.md and whoever reads a report. Pure.

A slug never changes. `flaw` says what is wrong where it is found, `remedy` what to do then; a rule may say both more
closely for one finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad a finding is, the worst first. The answer calls it `severity`."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class Scope(StrEnum):
    NODE = "node"  # asked of each node
    OWN = "own"  # of our own settings


@dataclass(frozen=True)
class Check:
    """`grade` None: it depends on what is found."""

    slug: str
    scope: Scope
    grade: Grade | None
    flaw: str
    remedy: str


def _node(slug: str, grade: Grade | None, flaw: str, remedy: str) -> Check:
    return Check(slug, Scope.NODE, grade, flaw, remedy)


def _own(slug: str, grade: Grade | None, flaw: str, remedy: str) -> Check:
    return Check(slug, Scope.OWN, grade, flaw, remedy)


_ALL = (
    _node(
        "advisory", None, "its version is open to a published advisory, whose severity it has", "upgrade CouchDB to 3.5"
    ),
    _node("end-of-life", Grade.LOW, "its branch of CouchDB gets no security fixes any more", "upgrade CouchDB to 3.5"),
    _node(
        "admin-party",
        Grade.CRITICAL,
        "everybody is a server admin, without any password",
        "make a server admin: [admins] in local.ini, or the set-up of Fauxton",
    ),
    _node(
        "default-password",
        Grade.CRITICAL,
        "a server admin has one of the passwords that everybody tries first",
        "give that admin a long random password",
    ),
    _node(
        "plain-password",
        Grade.CRITICAL,
        "the configuration holds a server admin's password as plain text",
        "set the password again over HTTP, or restart CouchDB: it then keeps a hash",
    ),
    _node(
        "weak-hash",
        Grade.LOW,
        "a server admin's password is kept by too few rounds of hashing: 600,000 of SHA-256 (OWASP) or as much work",
        "take [chttpd_auth] iterations out of the configuration (3.4 and later have 600,000), set the password again",
    ),
    _node(
        "few-iterations",
        Grade.LOW,
        "passwords that are set from now on will be kept by too few rounds of hashing",
        "take iterations, pbkdf2_prf and password_scheme out of [chttpd_auth] (3.4 and later have 600,000 of SHA-256)",
    ),
    _node(
        "weak-cookie-secret",
        Grade.HIGH,
        "[chttpd_auth] secret, which session cookies are signed with, can be guessed",
        "set it to 32 random hex digits, the same on the nodes of one cluster",
    ),
    _node(
        "unsigned-proxy-authentication",
        Grade.CRITICAL,
        "proxy authentication is on without a signature: whoever sends X-Auth-CouchDB-UserName is that user",
        "set [chttpd_auth] proxy_use_secret = true, or take the handler out of [chttpd] authentication_handlers",
    ),
    _node(
        "valid-user-not-required",
        Grade.MEDIUM,
        "requests without credentials are not turned away at the door",
        "set [chttpd] require_valid_user = true, or require_valid_user_except_for_up for a proxy that asks /_up",
    ),
    _node(
        "database-names-open",
        Grade.LOW,
        "the names of all databases are told without credentials",
        "set [chttpd] admin_only_all_dbs = true (the default since 3.0), or require a valid user",
    ),
    _node(
        "database-open",
        Grade.HIGH,
        "a database can be read and written to without credentials: its _security names no members",
        'give its _security members, at least {"members": {"roles": ["_admin"]}}',
    ),
    _node(
        "database-open-to-users",
        Grade.MEDIUM,
        "every user who can log in may read and write a database: its _security names no members",
        'give its _security members, at least {"members": {"roles": ["_admin"]}}',
    ),
    _node(
        "replicator-open",
        Grade.HIGH,
        "others than server admins may write replications, and have the node call whatever address they like",
        'set the _security of _replicator to {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}',
    ),
    _node(
        "users-open",
        Grade.MEDIUM,
        "anybody may register as a user, because _users is open",
        'set the _security of _users to {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}',
    ),
    _node(
        "users-public",
        Grade.LOW,
        "parts of the documents of users are shown to others",
        "take [chttpd_auth] public_fields and users_db_public out of the configuration",
    ),
    _node(
        "inline-credentials",
        Grade.MEDIUM,
        "replication documents have credentials in a URL or an Authorization header",
        'write them again with {"auth": {"basic": {...}}}, and change the password: URLs get into logs',
    ),
    _node(
        "plain-http",
        Grade.HIGH,
        "we call the node by plain HTTP over a network: password and documents can be read on the way",
        "give the node TLS ([ssl]) or a proxy that has it, and write its URL as https://",
    ),
    _node(
        "plain-http-between-nodes",
        Grade.HIGH,
        "its peers call the node by plain HTTP over a network: password and documents can be read on the way",
        "give the node TLS ([ssl]) or a proxy that has it, and write its peer URL as https://",
    ),
    _node(
        "certificates-not-verified",
        Grade.MEDIUM,
        "its replicator does not verify the certificates of its peers",
        "set [replicator] verify_ssl_certificates = true and ssl_trusted_certificates_file",
    ),
    _node(
        "listens-everywhere",
        Grade.MEDIUM,
        "its plain HTTP port listens on all addresses",
        "set [chttpd] bind_address to the address it is meant for, or keep others from the port by a firewall",
    ),
    _node(
        "cors-any-origin",
        Grade.MEDIUM,
        "pages of any site may call it (CORS origins = *)",
        "set [cors] origins to the sites that are yours, or [chttpd] enable_cors = false",
    ),
    _node(
        "cors-any-origin-with-credentials",
        Grade.HIGH,
        "pages of any site may call it as the user who is logged in (CORS origins = *, credentials = true)",
        "set [cors] origins to the sites that are yours",
    ),
    _node(
        "long-sessions",
        Grade.LOW,
        "sessions last for more than a day",
        "set [chttpd_auth] timeout to seconds that a person needs, like 600",
    ),
    _node(
        "persistent-cookies",
        Grade.INFO,
        "session cookies outlive the browser",
        "set [chttpd_auth] allow_persistent_cookies = false",
    ),
    _node(
        "debug-log",
        Grade.LOW,
        "it logs at level debug, which tells headers and documents",
        "set [log] level to info or warning",
    ),
    _node(
        "content-security-off",
        Grade.LOW,
        "the Content-Security-Policy of attachments, shows or lists is turned off",
        "take attachments_enable, showlist_enable and utils_enable out of [csp]",
    ),
    _node(
        "erlang-cookie",
        Grade.CRITICAL,
        "the Erlang cookie is the default (monster), and its Erlang port is open to others",
        "set another -setcookie in vm.args, and keep ports 4369 and 9100 from the network",
    ),
    _own(
        "own-password-default",
        Grade.CRITICAL,
        "a password in our settings is one that everybody tries first",
        "give that user a long random password, on all nodes and here",
    ),
    _own(
        "own-password-weak",
        Grade.MEDIUM,
        "a password in our settings is short, or of one kind of characters",
        "give that user a long random password, on all nodes and here",
    ),
    _own(
        "replication-user-is-admin",
        Grade.LOW,
        "nodes log in to each other as a server admin",
        "make a user for replication, an admin of the databases only, and set REPLICATION_USER",
    ),
    _own(
        "redis-open",
        Grade.HIGH,
        "Redis is on a network, and no password is sent: whoever reaches it owns the jobs",
        "set requirepass (or an ACL) in Redis, and the password in the URL",
    ),
    _own(
        "redis-plain",
        Grade.MEDIUM,
        "Redis is called without TLS over a network",
        "use rediss:// or a network of your own",
    ),
    _own(
        "api-without-token",
        Grade.MEDIUM,
        "whoever has an account on this machine may use the API, because it asks for no token",
        "set API_TOKENS",
    ),
    _own(
        "api-open-to-all",
        Grade.HIGH,
        "whoever reaches the API may start work there, without any token",
        "set API_ALLOW_ANONYMOUS to view or to nothing, and make API_TOKENS",
    ),
    _own(
        "tokens-in-plain",
        Grade.LOW,
        "tokens are written out in the settings: who reads those, or a copy of them, gets in",
        "write sha256: and the digest in their place (./nbr token new NAME --role ROLE makes one and its line)",
    ),
    _own(
        "api-on-a-network",
        Grade.INFO,
        "the API listens beyond this machine, in plain HTTP; whether something in front of it has TLS is not known",
        "put a proxy with TLS in front of it, and let it listen to that alone",
    ),
    _own(
        "flower-without-password",
        Grade.LOW,
        "whoever has an account on this machine may use Flower",
        "set FLOWER_BASIC_AUTH",
    ),
    _own(
        "backups-not-sealed",
        Grade.MEDIUM,
        "backups are stored as they are: whoever reads the store reads the documents",
        "set BACKUP_KEY (age-keygen makes one), and keep the identity where the backups are not",
    ),
    _own(
        "webhook-plain",
        Grade.LOW,
        "events are sent by plain HTTP over a network",
        "write https:// in WEBHOOK_URLS",
    ),
)
CHECKS: Mapping[str, Check] = {check.slug: check for check in _ALL}


def of_scope(scope: Scope) -> list[Check]:
    return [check for check in _ALL if check.scope is scope]
