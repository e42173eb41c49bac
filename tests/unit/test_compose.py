"""docker-compose.yml keeps its promises: nothing open to the network, nothing unpinned, no secret in it, and
everything it says about our processes is true of them. Docker itself is not needed."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from config.settings import Settings, load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = ["couchdb-primary", "couchdb-replica1", "couchdb-replica2", "couchdb-replica3"]
# service -> its name in the Procfile
OURS = {
    "notebook-backend": "web",
    "notebook-worker": "worker",
    "notebook-control": "control",
    "notebook-beat": "beat",
    "notebook-watcher": "watcher",
    "notebook-agent": "agent",
    "flower": "flower",
}
MONITORING = ["prometheus", "grafana"]
SECRETS = {
    "COUCHDB_USER": "admin",
    "COUCHDB_PASSWORD": "a-couchdb-password",
    "API_TOKENS": "a-token-of-some-length",
    "FLOWER_BASIC_AUTH": "someone:a-flower-password",
    "REDIS_PASSWORD": "aRedisPassword",
}
_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Z0-9_]+)(?:(:-|:\?)([^}]*))?\})")


class MissingError(Exception):
    pass


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """What Compose makes of ${NAME}, ${NAME:-default}, ${NAME:?message} and $$."""

    def value(match: re.Match[str]) -> str:
        dollar, name, operator, rest = match.groups()
        if dollar:
            return "$"
        if not env.get(name) and operator == ":?":
            raise MissingError(name)
        return env.get(name) or (rest if operator == ":-" else "")

    return _VARIABLE.sub(value, text)


def with_env(**env: str) -> dict[str, dict[str, Any]]:
    """The services as Compose sees them with these variables set."""
    services: dict[str, dict[str, Any]] = yaml.safe_load(interpolated(TEXT, {**SECRETS, **env}))["services"]
    return services


def settings_of(service: str, **env: str) -> Settings:
    """The settings our process in that container starts with."""
    return load(environ=with_env(**env)[service]["environment"], env_file=ROOT / "no-such.env")


def ports(services: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[str, int, int]]]:
    """Service -> (address, port on this machine, port in the container)."""
    published = {}
    for name, service in services.items():
        parts = [entry.rsplit(":", 2) for entry in service.get("ports", [])]
        published[name] = [(address, int(host), int(inside)) for address, host, inside in parts]
    return {name: entries for name, entries in published.items() if entries}


# --- what there is


def test_services_are_exactly_those_of_the_guide() -> None:
    assert set(SERVICES) == {*NODES, *OURS, *MONITORING, "redis", "haproxy"}


def test_only_the_third_replica_the_proxy_with_its_agent_and_monitoring_need_a_profile() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {
        "couchdb-replica3": ["full-cluster"],
        "haproxy": ["loadbalancer"],
        "notebook-agent": ["loadbalancer"],
        **{name: ["monitoring"] for name in MONITORING},
    }


def test_processes_are_those_of_the_procfile() -> None:
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    procfile = dict(line.split(": ", 1) for line in lines)
    assert {OURS[name]: SERVICES[name]["command"] for name in OURS} == {
        process: shlex.split(command) for process, command in procfile.items()
    }


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_restarted_and_its_log_is_bounded(name: str) -> None:
    assert SERVICES[name]["restart"] in {"always", "unless-stopped"}
    assert {"max-size", "max-file"} <= SERVICES[name]["logging"]["options"].keys()


# --- what the network can see


def test_ports_are_those_of_the_guide() -> None:
    assert ports(with_env()) == {
        "couchdb-primary": [("127.0.0.1", 5984, 5984)],
        "couchdb-replica1": [("127.0.0.1", 5985, 5984)],
        "couchdb-replica2": [("127.0.0.1", 5986, 5984)],
        "couchdb-replica3": [("127.0.0.1", 5987, 5984)],
        "notebook-backend": [("127.0.0.1", 5000, 5000)],
        "flower": [("127.0.0.1", 5555, 5555)],
        "haproxy": [("127.0.0.1", 5983, 5983), ("127.0.0.1", 8404, 8404)],
        "prometheus": [("127.0.0.1", 9090, 9090)],
        "grafana": [("127.0.0.1", 3000, 3000)],
    }


def test_publish_address_moves_everything_but_what_asks_nobody_who_they_are() -> None:
    moved = ports(with_env(PUBLISH_ADDRESS="192.0.2.7"))
    stayed = [port for entries in moved.values() for address, port, _ in entries if address == "127.0.0.1"]
    assert stayed == [8404, 9090]
    assert {address for entries in moved.values() for address, _, _ in entries} == {"127.0.0.1", "192.0.2.7"}


def test_no_service_goes_round_the_published_ports() -> None:
    assert not [name for name, service in SERVICES.items() if {"network_mode", "privileged"} & service.keys()]


# --- health and order


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_that_ends(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


@pytest.mark.parametrize("name", OURS)
def test_our_health_check_asks_for_the_process_that_runs(name: str) -> None:
    script = SERVICES[name]["healthcheck"]["test"][2]
    assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "python", script, OURS[name]]
    assert (ROOT / script).is_file()


@pytest.mark.parametrize("name", [*OURS, *MONITORING, "haproxy"])
def test_dependencies_are_waited_for_until_they_are_healthy(name: str) -> None:
    needs = SERVICES[name]["depends_on"]
    assert needs.keys() <= SERVICES.keys()
    assert {need["condition"] for need in needs.values()} == {"service_healthy"}


def test_our_processes_need_redis_but_start_without_a_node() -> None:
    for name in OURS:
        needs = SERVICES[name]["depends_on"]
        assert needs["redis"].get("required", True)
        assert not [node for node in NODES if needs.get(node, {}).get("required", False)]


# --- what lasts


def test_named_volumes_are_declared_and_used() -> None:
    mounts = [entry.split(":")[0] for service in SERVICES.values() for entry in service.get("volumes", [])]
    named = [source for source in mounts if not source.startswith(".")]
    assert set(named) == set(COMPOSE["volumes"])
    shared = {name for name in named if named.count(name) > 1}
    assert shared == {"backups"}, "no two services share a volume, but those that read and write backups"


def test_mounted_files_exist_and_are_read_only() -> None:
    mounts = [entry for service in SERVICES.values() for entry in service.get("volumes", []) if entry.startswith(".")]
    assert mounts
    for source, _, mode in (entry.split(":") for entry in mounts):
        assert (ROOT / source).exists(), source
        assert mode == "ro", source


@pytest.mark.parametrize("name", NODES)
def test_a_node_keeps_its_documents_and_what_it_writes_into_its_configuration(name: str) -> None:
    """docker.ini in local.d has the uuid, the hashed password and the cookie secret."""
    mounts = dict(entry.split(":")[:2] for entry in SERVICES[name]["volumes"])
    assert mounts[f"{name}-data"] == "/opt/couchdb/data"
    assert mounts[f"{name}-config"] == "/opt/couchdb/etc/local.d"


@pytest.mark.parametrize("name", NODES)
def test_nothing_read_only_is_mounted_where_the_image_changes_owners(name: str) -> None:
    """The official entry point ends at once where chown under /opt/couchdb fails."""
    read_only = [entry.split(":")[1] for entry in SERVICES[name]["volumes"] if entry.endswith(":ro")]
    assert read_only
    assert not [path for path in read_only if path.startswith("/opt/couchdb")]


@pytest.mark.parametrize("name", NODES)
def test_a_nodes_settings_are_copied_from_the_mount_and_never_become_the_file_it_writes_to(name: str) -> None:
    """CouchDB writes to the last file of default.ini, default.d, local.ini, local.d: it has to stay docker.ini."""
    mounted = [entry.split(":")[1] for entry in SERVICES[name]["volumes"] if entry.endswith(":ro")]
    shell, flag, script = SERVICES[name]["command"]
    assert (shell, flag) == ("bash", "-c")
    copy, start = script.split(" && ")
    assert copy.split()[:2] == ["cp", mounted[0]]
    assert Path(copy.split()[2]).parent == Path("/opt/couchdb/etc/default.d")
    assert start == "exec /docker-entrypoint.sh /opt/couchdb/bin/couchdb"


def test_node_settings_are_single_node_and_without_the_start_delay() -> None:
    ini = configparser.ConfigParser()
    ini.read(ROOT / "docker" / "couchdb" / "notebook.ini", encoding="utf-8")
    assert ini["couchdb"]["single_node"] == "true"
    assert ini["replicator"]["startup_jitter"] == "0"
    assert "{nodelay, true}" in ini["replicator"]["socket_options"]
    # these are each node's own
    assert "uuid" not in ini["couchdb"]
    assert "admins" not in ini


def test_redis_loses_no_queued_job() -> None:
    script = SERVICES["redis"]["command"][2]
    assert re.search(r"^appendonly yes$", script, re.M)
    assert re.search(r"^appendfsync everysec$", script, re.M)
    assert re.search(r"^maxmemory-policy noeviction$", script, re.M)
    assert SERVICES["redis"]["volumes"] == ["redis-data:/data"]
    assert re.search(r"^dir /data$", script, re.M)


# --- images


def test_images_are_pinned_to_a_release() -> None:
    for name in SERVICES.keys() - OURS.keys():
        assert re.fullmatch(r"([a-z]+/)?[a-z]+:v?\d+\.\d+\.\d+(\.\d+)?(-alpine)?", SERVICES[name]["image"]), name
    assert len({SERVICES[name]["image"] for name in NODES}) == 1


def test_redis_has_the_fix_for_cve_2025_49844() -> None:
    version = tuple(int(part) for part in re.findall(r"\d+", SERVICES["redis"]["image"])[:3])
    fixed = {(7, 2): (7, 2, 11), (7, 4): (7, 4, 6), (8, 0): (8, 0, 4), (8, 2): (8, 2, 2)}
    assert version >= fixed.get(version[:2], (8, 2, 2))


def test_our_image_is_built_once_and_never_looked_for_in_a_registry() -> None:
    assert len({SERVICES[name]["image"] for name in OURS}) == 1
    assert [name for name in OURS if "build" in SERVICES[name]] == ["notebook-backend"]
    policies = {name: SERVICES[name]["pull_policy"] for name in OURS}
    assert policies.pop("notebook-backend") == "build"
    assert set(policies.values()) == {"never"}


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_privileges(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[name]["init"] is True


# --- variables and secrets


def test_every_variable_is_explained_in_the_example() -> None:
    used = {match[2] for match in _VARIABLE.finditer(TEXT) if match[2]}
    assert used <= dotenv_values(ROOT / ".env.example").keys()
    # and no spelling that the pattern above would overlook, such as $NAME
    assert "$" not in _VARIABLE.sub("", TEXT)


@pytest.mark.parametrize("secret", SECRETS)
def test_it_does_not_start_without_a_secret(secret: str) -> None:
    with pytest.raises(MissingError, match=f"^{secret}$"):
        with_env(**{secret: ""})


def test_the_example_gives_no_secret_a_value() -> None:
    example = dotenv_values(ROOT / ".env.example")
    assert {name: example[name] for name in SECRETS} == dict.fromkeys(SECRETS, "")


def test_no_secret_is_written_here() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if variable == "GF_SECURITY_ADMIN_PASSWORD":  # see the service
                assert value == "${GRAFANA_PASSWORD:-}"
            elif re.search(r"PASSWORD|TOKEN|BASIC_AUTH|SECRET|_USER$", variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), (name, variable)
    assert not re.search(r"://[^/\s]*:(?!\$\{)[^/\s{}]*@", TEXT), "a password in a URL"


def test_no_secret_is_an_argument_of_a_process() -> None:
    """Everybody on a machine can read the process list."""
    for name, service in with_env().items():
        asked = f"{service.get('command')} {service['healthcheck']['test']}"
        assert not [secret for secret in SECRETS if SECRETS[secret] in asked and secret != "COUCHDB_USER"], name


# --- our processes


@pytest.mark.parametrize("name", OURS)
def test_our_processes_get_settings_that_exist(name: str) -> None:
    known = {field.upper() for field in Settings.model_fields}
    assert SERVICES[name]["environment"].keys() <= known
    assert SERVICES[name]["env_file"] == ".env"


@pytest.mark.parametrize("name", OURS)
def test_our_processes_start_with_them(name: str) -> None:
    settings = settings_of(name)
    assert [(node.name, node.url) for node in settings.nodes] == [
        (service.removeprefix("couchdb-"), f"http://{service}:5984") for service in NODES[:3]
    ]
    assert settings.redis_url.get_secret_value() == f"redis://:{SECRETS['REDIS_PASSWORD']}@redis:6379/0"
    assert settings.couchdb_user == SECRETS["COUCHDB_USER"]


def test_only_the_api_flower_and_the_agent_listen_and_each_for_itself() -> None:
    settings = {name: settings_of(name) for name in OURS}
    hosts = {name: {one.api_host, one.flower_host, one.agent_host} for name, one in settings.items()}
    assert settings["notebook-backend"].api_host == "0.0.0.0"  # noqa: S104
    assert settings["flower"].flower_host == "0.0.0.0"  # noqa: S104
    assert settings["notebook-agent"].agent_host == "0.0.0.0"  # noqa: S104
    open_ones = {"notebook-backend", "flower", "notebook-agent"}
    assert all(found == {"127.0.0.1", "0.0.0.0"} for name, found in hosts.items() if name in open_ones)  # noqa: S104
    assert all(found == {"127.0.0.1"} for name, found in hosts.items() if name not in open_ones)


def test_the_api_answers_to_its_name_here_and_to_names_added() -> None:
    assert "notebook-backend" in settings_of("notebook-backend").allowed_hosts
    added = settings_of("notebook-backend", API_ALLOWED_HOSTS="nbr.example.com").allowed_hosts
    assert {"notebook-backend", "nbr.example.com", "127.0.0.1"} <= added


def test_ports_of_this_machine_do_not_change_those_inside() -> None:
    moved = ports(with_env(API_PORT="5001", FLOWER_PORT="5556"))
    assert moved["notebook-backend"] == [("127.0.0.1", 5001, 5000)]
    assert moved["flower"] == [("127.0.0.1", 5556, 5555)]
    settings = settings_of("notebook-backend", API_PORT="5001", FLOWER_PORT="5556")
    assert (settings.api_port, settings.flower_port) == (5000, 5555)


def test_the_examples_line_for_the_third_replica_names_all_nodes() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    line = re.search(r"^# CONTAINER_REPLICATION_NODES=(\S+)$", example, re.M)
    assert line
    nodes = settings_of("notebook-worker", CONTAINER_REPLICATION_NODES=line[1]).nodes
    assert [node.url for node in nodes] == [f"http://{service}:5984" for service in NODES]


# --- monitoring


@pytest.mark.parametrize("name", MONITORING)
def test_monitoring_has_no_privileges_and_keeps_what_it_stores(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES[name]["volumes"][0].startswith(f"{name}-data:/")


def test_prometheus_reads_the_shipped_files_and_its_token_from_a_secret() -> None:
    configuration = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (job,) = configuration["scrape_configs"]
    assert job["authorization"] == {"credentials_file": f"/run/secrets/{SERVICES['prometheus']['secrets'][0]}"}
    assert COMPOSE["secrets"].keys() == {*SERVICES["prometheus"]["secrets"]}
    assert [name for name in SERVICES if "secrets" in SERVICES[name]] == ["prometheus"]
    # the address is one that the API answers to
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert host in settings_of("notebook-backend").allowed_hosts
    assert int(port) == settings_of("notebook-backend").api_port
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]
    assert all((ROOT / "monitoring/prometheus" / name).is_file() for name in configuration["rule_files"])


def test_the_token_of_prometheus_is_never_committed() -> None:
    file = interpolated(COMPOSE["secrets"]["metrics-token"]["file"], {})
    assert file == dotenv_values(ROOT / ".env.example")["METRICS_TOKEN_FILE"]
    assert "/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert file.startswith("./secrets/")


def test_grafana_lets_nobody_in_without_a_password_and_does_not_start_without_one() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == environment["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert dotenv_values(ROOT / ".env.example")["GRAFANA_PASSWORD"] == ""
    shell, flag, script = with_env()["grafana"]["entrypoint"]
    refusing = script.replace("exec /run.sh", "echo started")
    for password, status, said in (("", 1, ""), ("a-password", 0, "started\n")):
        ended = subprocess.run(
            [shell, flag, refusing], env={"PATH": os.environ["PATH"], "GF_SECURITY_ADMIN_PASSWORD": password},
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
        assert (ended.returncode, ended.stdout) == (status, said)
        assert ("GRAFANA_PASSWORD" in ended.stderr) == bool(status)


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    provisioning = ROOT / "monitoring/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards/notebook.yml").read_text("utf-8"))["providers"]
    mounts = {path: source for source, path, _ in (entry.split(":") for entry in SERVICES["grafana"]["volumes"][1:])}
    assert mounts[provider["options"]["path"]] == "./monitoring/grafana/dashboards"
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / mounts[str(home.parent)] / home.name).is_file()
