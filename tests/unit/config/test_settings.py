"""The settings' parser: what it takes, what it refuses and in which words, and that no secret comes out of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from config.nodes import NodeSetting
from config.settings import Settings, SettingsError, build, load
from config.sources import Source
from config.tokens import Role

NO_FILE = Path("/nonexistent/.env")
TOKEN = "a-token-of-some-length"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()


def environment(**environ: str) -> Settings:
    return load(environ=environ, env_file=NO_FILE)


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        environment(**environ)
    return str(refused.value)


def nodes(primary: str, *others: str) -> tuple[NodeSetting, ...]:
    return environment(COUCHDB_URL=primary, REPLICATION_NODES=",".join(others)).nodes


# --- where values come from


def test_without_anything_configured_it_listens_on_loopback_alone_and_knows_no_node() -> None:
    settings = environment()
    assert settings.nodes == ()
    assert (settings.api_host, settings.flower_host) == ("127.0.0.1", "127.0.0.1")
    assert settings.tokens == ()
    assert settings.anonymous_role is None


def test_every_default_is_a_value_it_would_take() -> None:
    for name, field in Settings.model_fields.items():
        value = field.default
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        assert build({name: value}) == build({}), name


def test_an_env_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("API_PORT=5001\nRESULT_TTL=120\nSOMETHING_ELSE=1\n")
    settings = load(environ={"API_PORT": "5002"}, env_file=file)
    assert (settings.api_port, settings.result_ttl) == (5002, 120)


def test_nbr_env_file_names_another_env_file(tmp_path: Path) -> None:
    file = tmp_path / "other.env"
    file.write_text("API_PORT=5001\n")
    assert load(environ={"NBR_ENV_FILE": str(file)}).api_port == 5001


@pytest.mark.parametrize("name", Settings.model_fields)
def test_empty_is_unset(name: str) -> None:
    assert environment(**{name.upper(): ""}) == environment()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        environment().api_port = 1  # type: ignore[misc]


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("False", False), ("no", False)])
def test_truth_is_parsed_not_guessed(text: str, value: bool) -> None:
    assert environment(CONTINUOUS_REPLICATION=text).continuous_replication is value


# --- bad values


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("API_PORT", "http", "integer"),
        ("API_PORT", "70000", "65535"),
        ("RESULT_TTL", "5", "60"),
        ("HEALTH_TIMEOUT", "0", "greater than 0"),
        ("HEALTH_INTERVAL", "1.5", "integer"),
        ("REPLICATION_TOPOLOGY", "tree", "'mesh', 'star' or 'ring'"),
        ("CONTINUOUS_REPLICATION", "perhaps", "boolean"),
        ("LOG_LEVEL", "loud", "'debug'"),
        ("COUCHDB_URL", "ftp://node:5984", "http://127.0.0.1:5984"),
        ("REPLICATION_NODES", "node:5985", "http://127.0.0.1:5984"),
        ("COUCHDB_CA_BUNDLE", "/nonexistent/ca.pem", "/nonexistent/ca.pem"),
        ("REDIS_URL", "http://127.0.0.1:6379", "redis://"),
        ("BROKER_URL", "amqp://127.0.0.1", "redis://"),
        ("API_TOKENS", "short", "16 characters"),
        ("SECRET_KEY", f"{'k' * 32} {'k' * 31}", "each key needs at least 32 characters"),
        ("WEBHOOK_ALLOW_PRIVATE", "10.0.0.1/8", "must be a network like 10.0.0.0/8"),
        ("WEBHOOK_ALLOW_PRIVATE", "10.0.0.0/8,10.0.0.256", "'10.0.0.256' must be"),
        ("WEBHOOK_ALLOW_PRIVATE", "http://hooks.internal", "or a host name like hooks.internal"),
        ("API_TOKENS", " , ", "no token"),
    ],
)
def test_a_bad_value_stops_the_start_with_the_variables_name(variable: str, value: str, says: str) -> None:
    message = refusal(**{variable: value})
    assert message.startswith(f"{variable}: ")
    assert says in message


def test_all_bad_values_are_named_at_once() -> None:
    message = refusal(API_PORT="http", RESULT_TTL="soon")
    assert "API_PORT: " in message
    assert "RESULT_TTL: " in message


@pytest.mark.parametrize("variable", ["API_TOKENS", "REDIS_URL", "BROKER_URL", "BACKUP_OPTIONS"])
def test_a_refused_secret_is_not_repeated(variable: str) -> None:
    assert "hunter2" not in refusal(**{variable: "hunter2"})


@pytest.mark.parametrize(
    "url",
    ["http://admin:hunter2@h:5984?x", "ftp://admin:hunter2@h", "http://admin:hunter2@h:port", "http://a:hunter2@"],
)
def test_a_refused_node_does_not_show_its_password(url: str) -> None:
    assert "hunter2" not in refusal(COUCHDB_URL=url)
    assert "hunter2" not in refusal(REPLICATION_NODES=f"http://ok:1,{url}")


def test_a_key_needs_its_certificate_and_a_user_its_password(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("")
    assert "COUCHDB_CLIENT_CERT" in refusal(COUCHDB_CLIENT_KEY=str(key))
    assert "REPLICATION_PASSWORD" in refusal(REPLICATION_USER="replicator")
    assert environment(REPLICATION_USER="replicator", REPLICATION_PASSWORD="x").replication_user == "replicator"


# --- nodes


def test_nodes_are_named_in_order_where_no_name_is_given() -> None:
    found = nodes("http://a:5984", "http://b:5984", "http://c:5984")
    assert [(node.name, node.url, node.peer_url) for node in found] == [
        ("primary", "http://a:5984", "http://a:5984"),
        ("replica1", "http://b:5984", "http://b:5984"),
        ("replica2", "http://c:5984", "http://c:5984"),
    ]


def test_names_and_peer_addresses_may_be_given() -> None:
    found = nodes("east=http://127.0.0.1:5984|http://couchdb-east:5984", "west=https://west.example.com/couch/")
    assert [(node.name, node.url, node.peer_url) for node in found] == [
        ("east", "http://127.0.0.1:5984", "http://couchdb-east:5984"),
        ("west", "https://west.example.com/couch", "https://west.example.com/couch"),
    ]


def test_an_equals_sign_in_a_url_is_not_a_name() -> None:
    (node,) = nodes("http://admin:p=w@a:5984")
    assert (node.name, node.password) == ("primary", "p=w")


def test_blanks_and_empty_entries_in_the_list_do_not_count() -> None:
    found = nodes("http://a:5984", " http://b:5984 ", "", " x=http://c:5984")
    assert [node.name for node in found] == ["primary", "replica1", "x"]


def test_the_primary_may_stand_in_the_list_as_well() -> None:
    found = nodes("http://a:5984", "http://a:5984", "http://b:5984")
    assert [(node.name, node.url) for node in found] == [("primary", "http://a:5984"), ("replica1", "http://b:5984")]


def test_ipv6_addresses_keep_their_brackets() -> None:
    (node,) = nodes("http://[::1]:5984")
    assert node.url == "http://[::1]:5984"


def test_credentials_in_a_url_are_taken_out_and_decoded() -> None:
    (node, plain) = nodes("http://admin:p%40ss%2Fw@a:5984|http://admin:other@inside:5984", "http://b:5984")
    assert (node.url, node.peer_url) == ("http://a:5984", "http://inside:5984")
    assert (node.user, node.password) == ("admin", "p@ss/w")
    assert (plain.user, plain.password) == (None, None)
    assert "p@ss" not in repr(node)


@pytest.mark.parametrize(
    "entry",
    [
        "node:5984",
        "http://",
        "http://a:99999",
        "http://a:5984?heartbeat=1",
        "http://a:5984#top",
        "http://a b:5984",
        "http://a,http://b",
        "name=",
        "http://a:5984|inside:5984",
    ],
)
def test_what_is_no_node_is_refused_with_how_to_write_one(entry: str) -> None:
    assert "name=url|peer_url" in refusal(COUCHDB_URL=entry)


@pytest.mark.parametrize("name", ["East", "a_b", "-a", "a" * 64, "a b", "ü"])
def test_node_names_follow_their_rule(name: str) -> None:
    message = refusal(REPLICATION_NODES=f"http://ok:5984,{name}=http://b:5984")
    assert message.startswith("REPLICATION_NODES: ")
    assert "lowercase letters" in message


@pytest.mark.parametrize(
    ("primary", "other", "what"),
    [
        ("x=http://a:5984", "x=http://b:5984", "name x"),
        ("x=http://a:5984", "y=http://a:5984", "URL http://a:5984"),
        ("http://a:5984", "http://a:5984/", "URL http://a:5984"),
        ("http://a:5984", "http://u:p@A:5984", "URL http://a:5984"),
        ("http://a:5984", "primary=http://b:5984", "name primary"),
    ],
)
def test_a_node_listed_twice_is_refused(primary: str, other: str, what: str) -> None:
    message = refusal(COUCHDB_URL=primary, REPLICATION_NODES=other)
    assert message.startswith("COUCHDB_URL, REPLICATION_NODES: ")
    assert what in message


# --- lists


def test_globs_are_split() -> None:
    settings = environment(REPLICATION_INCLUDE="pdf*, categories,", REPLICATION_EXCLUDE="")
    assert (settings.include, settings.exclude) == (("pdf*", "categories"), ())
    assert environment().include == ("*",)


# --- secrets from files


@pytest.mark.parametrize(
    "variable",
    [
        "COUCHDB_PASSWORD",
        "REPLICATION_PASSWORD",
        "REDIS_URL",
        "BROKER_URL",
        "API_TOKENS",
        "FLOWER_BASIC_AUTH",
        "BACKUP_KEY",
        "BACKUP_OPTIONS",
    ],
)
def test_a_secret_may_come_from_a_file(variable: str, tmp_path: Path) -> None:
    value = "redis://:secret@r:6379/0" if variable.endswith("_URL") else "user:a-secret-of-some-length"
    others = {"BACKUP_OPTIONS": "aws_secret_access_key=of-some-length", "API_TOKENS": "a-secret-of-some-length"}
    value = others.get(variable, value)
    file = tmp_path / "secret"
    file.write_text(f"{value}\n")
    secret = getattr(environment(**{f"{variable}_FILE": str(file)}), variable.lower())
    assert secret.get_secret_value() == value


def test_every_secret_has_a_file_variable_and_nothing_else_has(tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("1")
    assert environment(API_PORT_FILE=str(file)).api_port == 5000


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("one")
    message = refusal(COUCHDB_PASSWORD="two", COUCHDB_PASSWORD_FILE=str(file))
    assert message.startswith("COUCHDB_PASSWORD and COUCHDB_PASSWORD_FILE are both set")


def test_an_empty_value_beside_a_file_does_not_count_as_given_twice(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("one")
    settings = environment(COUCHDB_PASSWORD="", COUCHDB_PASSWORD_FILE=str(file))
    assert settings.couchdb_password.get_secret_value() == "one"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe\xff"])
def test_a_secret_file_that_cannot_be_used_stops_the_start(content: bytes | None, tmp_path: Path) -> None:
    """An empty API_TOKENS_FILE must not open the API to everybody."""
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    message = refusal(API_TOKENS_FILE=str(file))
    assert message.startswith("API_TOKENS_FILE: ")
    assert str(file) in message


# --- closed by default


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "nbr.example.com"])  # noqa: S104
def test_the_network_is_let_in_only_with_tokens(host: str) -> None:
    message = refusal(API_HOST=host)
    assert f"API_HOST={host}" in message
    assert "API_TOKENS" in message
    assert environment(API_HOST=host, API_TOKENS=TOKEN).api_host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert environment(API_HOST=host, FLOWER_HOST=host).api_host == host


@pytest.mark.parametrize("auth", ["", "no-colon", "user:", ":password", ":", "a:b,c:"])
def test_flower_is_shown_to_the_network_only_with_a_login(auth: str) -> None:
    message = refusal(FLOWER_HOST="192.0.2.7", FLOWER_BASIC_AUTH=auth)
    assert "FLOWER_HOST=192.0.2.7" in message
    assert "FLOWER_BASIC_AUTH" in message
    assert environment(FLOWER_HOST="192.0.2.7", FLOWER_BASIC_AUTH="a:b").flower_host == "192.0.2.7"


def test_tokens_are_known_by_their_digest_alone() -> None:
    other = "another-token-of-some-length"
    for text in (f"{TOKEN}, {other}", f"sha256:{DIGEST},{other}"):
        found = environment(API_TOKENS=text).tokens
        assert [token.digest for token in found] == [DIGEST, hashlib.sha256(other.encode()).hexdigest()]


@pytest.mark.parametrize("tokens", [TOKEN[:15], f"{TOKEN},short"])
def test_short_tokens_are_refused(tokens: str) -> None:
    message = refusal(API_TOKENS=tokens)
    assert "API_TOKENS: entry" in message
    assert "each token needs at least 16 characters" in message


@pytest.mark.parametrize("role", ["view", "operate", "admin"])
def test_everybody_is_let_in_only_where_that_is_said(role: str) -> None:
    assert "API_ALLOW_ANONYMOUS" in refusal(API_HOST="192.0.2.7")
    settings = environment(API_HOST="192.0.2.7", API_ALLOW_ANONYMOUS=role)
    assert settings.anonymous_role is Role[role.upper()]
    assert "API_ALLOW_ANONYMOUS" in refusal(API_ALLOW_ANONYMOUS="true")


def test_keys_are_long_and_the_newest_comes_first() -> None:
    new, old = "n" * 32, "o" * 40
    assert environment(SECRET_KEY=f"{new} {old}").secret_keys == (new, old)
    assert "SECRET_KEY: each key needs at least 32 characters" in refusal(SECRET_KEY=f"{new} short")


def test_a_secret_that_can_be_read_again_knows_from_where(tmp_path: Path) -> None:
    env_file, tokens = tmp_path / ".env", tmp_path / "tokens"
    env_file.write_text(f"API_TOKENS={TOKEN}\nCOUCHDB_PASSWORD=from-the-file\n")
    tokens.write_text(f"{TOKEN}\n")

    line = load(environ={"COUCHDB_PASSWORD": "from-the-environment"}, env_file=env_file).source("api_tokens")
    whole = load(environ={"API_TOKENS_FILE": str(tokens)}, env_file=tmp_path / "none").source("api_tokens")

    assert line == Source("API_TOKENS", env_file, line=True)
    assert line.read() == TOKEN
    assert whole == Source("API_TOKENS", tokens)
    assert whole.read() == TOKEN
    settings = load(environ={"API_TOKENS": TOKEN, "COUCHDB_PASSWORD": "x"}, env_file=env_file)
    assert settings.source("api_tokens") is None
    assert settings.source("couchdb_password") is None


def test_the_api_answers_to_loopback_names_its_own_and_those_added() -> None:
    settings = environment(API_HOST="192.0.2.7", API_TOKENS=TOKEN, API_ALLOWED_HOSTS="NBR.example.com, backend")
    assert settings.allowed_hosts == {
        "127.0.0.1",
        "::1",
        "localhost",
        "192.0.2.7",
        "nbr.example.com",
        "backend",
    }


# --- the broker


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://r:6379/0", "redis://r:6379/0"),
        ("rediss://:p@r:6379/1", "rediss://:p@r:6379/1"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock"),
        ("unix:///run/redis.sock?db=0", "redis+socket:///run/redis.sock?db=0"),
    ],
)
def test_the_broker_is_redis_in_celerys_spelling(url: str, broker: str) -> None:
    assert environment(REDIS_URL=url).celery_broker_url == broker


@pytest.mark.parametrize(
    "url",
    [
        "redis://r:6379/0?password=sesame",
        "rediss://r:6379/0?username=u&password=sesame",
        "redis://r:6379?db=1",
        "redis://r:6379/0?ssl_cert_reqs=none",
    ],
)
@pytest.mark.parametrize("variable", ["REDIS_URL", "BROKER_URL"])
def test_options_that_would_stop_the_broker_are_refused_and_told_how_to_write(variable: str, url: str) -> None:
    with pytest.raises(SettingsError, match="redis://user:password@host:6379/0") as refused:
        environment(**{variable: url})
    assert "sesame" not in str(refused.value)


def test_how_redis_is_to_prove_itself_may_be_told() -> None:
    url = "rediss://r:6379/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/ssl/ca.pem"
    assert environment(REDIS_URL=url).celery_broker_url == url


def test_the_broker_may_be_another_redis() -> None:
    settings = environment(REDIS_URL="redis://a:6379/0", BROKER_URL="unix:///run/b.sock")
    assert settings.celery_broker_url == "redis+socket:///run/b.sock"
    assert environment().celery_broker_url == ""


# --- secrets stay inside

SECRET_SETTINGS: dict[str, Any] = {
    "COUCHDB_URL": "http://admin:url-secret-1@a:5984|http://admin:peer-secret@a-inside:5984",
    "REPLICATION_NODES": "http://admin:url%2Dsecret%2D2@b:5984",
    "COUCHDB_USER": "admin",
    "COUCHDB_PASSWORD": "couchdb-secret",
    "COUCHDB_PASSWORD_PREVIOUS": "couchdb-earlier-secret",
    "REPLICATION_PASSWORD_PREVIOUS": "replication-earlier-secret",
    "REPLICATION_USER": "replicator",
    "REPLICATION_PASSWORD": "replication-secret",
    "REDIS_URL": "redis://:redis%2Fsecret@r:6379/0",
    "BROKER_URL": "redis://user:broker-secret@r:6379/1",
    "API_TOKENS": "first-token-secret-1,ci=view:second-token-secret-2",
    "SECRET_KEY": f"{'new-secret-key-' * 3} {'old-secret-key-' * 3}",
    "FLOWER_BASIC_AUTH": "viewer:flower-secret",
    "WEBHOOK_URLS": "https://chat.test/services/path-secret-token?key=query-secret,http://me:hook%2Fsecret@hook.test/",
    "BACKUP_KEY": "age1public0000 AGE-SECRET-KEY-1BACKUPSECRET",
    "BACKUP_OPTIONS": "aws_region=x, aws_secret_access_key=bucket-secret, azure_storage_sas_key=sv%2Csas-secret",
    "BACKUP_COPY_OPTIONS": "aws_secret_access_key=copy-secret",
    "WEBHOOK_SECRET": "whsec_d2ViaG9vay1zZWNyZXQtb2YtMjQtYnl0ZXM= whsec_b2xkLXdlYmhvb2stc2VjcmV0LTI0LWJ5dGU=",
}
SECRET_VALUES = {
    "url-secret-1",
    "url-secret-2",
    "couchdb-secret",
    "replication-secret",
    "couchdb-earlier-secret",
    "replication-earlier-secret",
    "redis/secret",
    "broker-secret",
    "first-token-secret-1",
    "second-token-secret-2",
    "flower-secret",
    "path-secret-token",
    "query-secret",
    "hook/secret",
    "AGE-SECRET-KEY-1BACKUPSECRET",
    "bucket-secret",
    "sv,sas-secret",
    "copy-secret",
    "new-secret-key-" * 3,
    "old-secret-key-" * 3,
    "whsec_d2ViaG9vay1zZWNyZXQtb2YtMjQtYnl0ZXM=",
    "b2xkLXdlYmhvb2stc2VjcmV0LTI0LWJ5dGU=",
}


def test_no_secret_shows_in_repr_or_str() -> None:
    settings = environment(**SECRET_SETTINGS)
    shown = f"{settings!r} {settings} {settings.nodes!r}"
    for secret in [*SECRET_VALUES, "peer-secret", "redis%2Fsecret", "url%2Dsecret"]:
        assert secret not in shown


def test_secrets_lists_all_of_them_for_masking() -> None:
    assert set(environment(**SECRET_SETTINGS).secrets) >= SECRET_VALUES


def test_secrets_has_no_empty_one_which_would_mask_everything() -> None:
    assert environment().secrets == ()
    assert "" not in environment(API_TOKENS=TOKEN, FLOWER_BASIC_AUTH="someone:").secrets


def test_every_secret_setting_is_covered_by_the_tests_above() -> None:
    fields = {name.upper() for name, field in Settings.model_fields.items() if field.annotation is SecretStr}
    assert fields <= SECRET_SETTINGS.keys()


def test_a_named_file_that_is_not_there_is_no_silent_default(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="NBR_ENV_FILE"):
        load(environ={"NBR_ENV_FILE": str(tmp_path / "typo")})


def test_two_servers_on_one_port_are_refused() -> None:
    with pytest.raises(SettingsError, match="API_PORT and FLOWER_PORT"):
        build({"api_port": 5555})
    with pytest.raises(SettingsError, match="FLOWER_PORT and AGENT_PORT"):
        build({"agent_port": 5555})
    assert build({"api_port": 0, "flower_port": 0, "agent_port": 0})


def test_a_sweep_is_believed_for_a_few_intervals() -> None:
    assert build({"health_interval": 10, "health_timeout": 3}).stale_after == 93.0


@pytest.mark.parametrize(
    ("given", "link"),
    [
        ({}, "http://127.0.0.1:5555/"),
        ({"FLOWER_HOST": "::1", "FLOWER_PORT": "5556"}, "http://[::1]:5556/"),
        ({"FLOWER_HOST": "0.0.0.0", "FLOWER_BASIC_AUTH": "a:b"}, None),  # noqa: S104
        ({"FLOWER_PORT": "0"}, None),
        ({"FLOWER_URL": "https://nbr.example.com/flower/"}, "https://nbr.example.com/flower/"),
        ({"FLOWER_URL": "off"}, None),
        ({"FLOWER_URL": " OFF "}, None),
        ({"FLOWER_URL": "http://flower.test:8080", "FLOWER_HOST": "0.0.0.0", "FLOWER_BASIC_AUTH": "a:b"},  # noqa: S104
         "http://flower.test:8080"),
    ],
    ids=["default", "IPv6", "any address", "any port", "named", "off", "off in capitals", "named and any address"],
)  # fmt: skip
def test_where_browsers_reach_flower(given: dict[str, str], link: str | None) -> None:
    assert environment(**given).flower_link == link


@pytest.mark.parametrize(
    "url", ["flower.test:5555", "javascript:alert(1)", "http://", "http://me:secret@flower.test/", "http://a:b/"]
)
def test_a_link_to_flower_is_a_url_without_credentials(url: str) -> None:
    message = refusal(FLOWER_URL=url)
    assert "FLOWER_URL" in message
    assert "secret" not in message


def test_databases_of_the_figures_are_globs() -> None:
    assert environment().shown_databases == ()
    assert environment(METRICS_DATABASES="pdfs, user-*").shown_databases == ("pdfs", "user-*")
