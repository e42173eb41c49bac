"""Every password and token is marked, much is done and much goes wrong, and then all that was left is searched.

Searched are all logs (of the nodes that the tests started too), every key in Redis and its file, every answer
of the API, every command line on the machine, and what the processes wrote into their working folder.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
import requests

from embedded.ports import any_free
from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import Api, System, wait_until

pytestmark = pytest.mark.system

TOKEN = f"token-{secrets.token_hex(16)}"
WRONG_TOKEN = f"wrong-token-{secrets.token_hex(16)}"
REDIS_PASSWORD = f"redis-secret-{secrets.token_hex(8)}"
FLOWER_PASSWORD = f"flower-secret-{secrets.token_hex(8)}"
HOOK_PASSWORD = f"hook-password-{secrets.token_hex(8)}"
HOOK_TOKEN = f"hook-token-{secrets.token_hex(8)}"
SECRET_KEY = secrets.token_hex(24)
LATER_TOKEN = f"later-token-{secrets.token_hex(8)}"
USER_PASSWORD = f"user-secret-{secrets.token_hex(8)}"
HOOK_SECRET = base64.b64encode(secrets.token_bytes(24)).decode()


@pytest.fixture
def marked(mortals: list[Couch], tmp_path: Path) -> Iterator[System]:
    admin = mortals[0]
    # one node with its credentials in its URL, the others with those of COUCHDB_USER; links get theirs by name
    settings = {
        "COUCHDB_USER": admin.user,
        "COUCHDB_PASSWORD": admin.password,
        "REPLICATION_USER": admin.user,
        "REPLICATION_PASSWORD": admin.password,
        "CONTINUOUS_REPLICATION": "true",
        "REPLICATION_RETRY_SECONDS": "2",
        "API_TOKENS": f"{TOKEN},another-{TOKEN}",
        "FLOWER_BASIC_AUTH": f"flower:{FLOWER_PASSWORD}",
        "FLOWER_PORT": str(any_free()),
        # where nobody listens: failures like to tell of a URL
        "WEBHOOK_URLS": f"http://hook:{HOOK_PASSWORD}@127.0.0.1:{any_free()}/services/{HOOK_TOKEN}",
        "WEBHOOK_SECRET": f"whsec_{HOOK_SECRET}",
        "WEBHOOK_ALLOW_PRIVATE": "127.0.0.0/8",
        "SECRET_KEY": SECRET_KEY,
        "COUCHDB_TIMEOUT": "4",
        "JOB_MAX_ATTEMPTS": "1",
    }
    with System(mortals, tmp_path / "marked", settings) as made:
        plain = [f"{name}=http://127.0.0.1:{made.doors[name].port}" for name in ("replica1", "replica2")]
        made.settings["REPLICATION_NODES"] = ",".join(
            f"{url}|http://127.0.0.1:{made.peer_roads[url.partition('=')[0]].port}" for url in plain
        )
        with redis.Redis.from_url(made.redis.url) as client:
            client.config_set("requirepass", REDIS_PASSWORD)
        made.settings["REDIS_URL"] = made.redis.url.replace("//", f"//:{REDIS_PASSWORD}@")
        made.start("worker", "control", "beat", "api", "flower")
        yield made


# what callers were told once, and is to be nowhere else
TOLD: dict[str, str] = {}


def markers(nodes: list[Couch]) -> dict[str, str]:
    found = {
        "the API token": TOKEN,
        "the wrong API token": WRONG_TOKEN,
        "Redis' password": REDIS_PASSWORD,
        "Flower's password": FLOWER_PASSWORD,
        "a node's password": nodes[0].password,
        "a webhook's password": HOOK_PASSWORD,
        "a webhook's token": HOOK_TOKEN,
        "the webhook secret": HOOK_SECRET,
        "the secret key": SECRET_KEY,
        "a registered webhook's token": LATER_TOKEN,
        **TOLD,
    }
    pair = f"{nodes[0].user}:{nodes[0].password}".encode()
    # without the last characters, which depend on what follows
    return found | {"a Basic header": base64.b64encode(pair).decode()[:-4], "an escaped password": quote(pair)}


def test_no_secret_is_left_anywhere(marked: System, mortals: list[Couch], fresh: Fresh) -> None:
    database = live_through_much(marked, mortals, fresh)

    places: dict[str, str] = {f"log of {name}": log for name, log in logs(marked, mortals)}
    places |= {f"answer: {text.splitlines()[0]}": text for text in marked.api.answers}
    places |= in_redis(marked)
    places["command lines"] = command_lines()
    places |= readable_by_others(mortals[0])
    places |= {f"file {path.name}": text_of(path) for path in marked.folder.iterdir() if path.is_file()}

    found = [f"{what} in {where}" for where, text in places.items() for what in leaks(text, markers(mortals))]
    assert found == []
    # the search does find what is there: the name of the database, in every kind of place that may hold it
    names = [where for where, text in places.items() if leaks(text, {"the database": database})]
    for kind in ("log of worker", "answer: POST", "Redis key nbr:job:", "Redis' file"):
        assert any(where.startswith(kind) for where in names), f"{kind} was not searched"


def live_through_much(system: System, nodes: list[Couch], fresh: Fresh) -> str:
    """Successes, and every kind of failure that likes to tell of a URL, for one database; returns its name."""
    api, database = system.api, fresh(prefix="secret-", on=nodes[:1])
    nodes[0].fill(database, 5)
    assert api.sync(database, wait=True).json()["state"] == "succeeded"
    assert api.setup(database=database, wait=True).json()["state"] == "succeeded"
    told = f"{nodes[0].url.replace('//', f'//{nodes[0].user}:{nodes[0].password}@')} is down"
    system.parts.events.record("node.state", at=time.time(), detail=told, severity="error", node=nodes[0].name)
    register_and_sign_in(api)
    assert api.call("POST", "/api/security/report", json={"wait": True}).json()["state"] == "succeeded"
    seen = ("/api/health", "/api/nodes", "/api/jobs", "/api/events", "/openapi.json", "/sign-in", "/api/audit")
    for path in (*seen, "/api/webhooks", "/api/security/report", "/metrics"):
        assert api.get(path).status_code == 200
    for path in ("/no/such/address", "/static/none", "/api/jobs/none"):
        assert api.get(path).status_code == 404
    for what in ("status", "health", "info"):
        assert api.get(f"/api/replication/{what}").status_code == 200
    with Api(api.url, WRONG_TOKEN) as stranger:
        assert stranger.get("/api/jobs").status_code == 401
        api.answers += stranger.answers
    api.sync("No Such Name")
    api.sync("nobody-has-this")
    # a peer that does not answer, while we still reach it: the node's own replicator tells of it
    system.peer_roads["replica1"].refuse()
    broken = api.sync(database, wait=True, headers={"Prefer": "wait=60"}).json()
    assert broken["state"] in {"failed", "succeeded"}
    system.peer_roads["replica1"].accept()
    # CouchDB goes on for a while with connections that it thinks are good
    wait_until(lambda: api.sync(database, wait=True).json()["state"] == "succeeded", "the peer is reached again")
    # a node that is gone, and all but one gone
    nodes[2].kill()
    assert api.sync(database, wait=True).json()["state"] == "succeeded"
    nodes[1].kill()
    assert api.sync(database, wait=True).json()["state"] == "failed"
    wait_until(lambda: api.get("/api/replication/health").json()["status"] == "degraded", "it is seen")
    api.get("/api/nodes")
    api.get(f"/api/jobs?database={database}")
    # others may have been told meanwhile: how long a machine takes over all this decides it
    wait_until(lambda: "node.state" in _sent_in_vain(api), "the event was sent twice in vain")
    return database


def register_and_sign_in(api: Api) -> None:
    """Answers that hold a secret, because they are the one place where it is told, are not searched."""
    url = f"http://127.0.0.1:{any_free()}/hooks/{LATER_TOKEN}"
    registered = api.call("POST", "/api/webhooks", json={"url": url})
    assert registered.status_code == 201, registered.text
    TOLD["a registered webhook's secret"] = registered.json()["secret"].removeprefix("whsec_")
    api.answers.pop()
    with requests.Session() as browser:
        browser.trust_env = False
        form = {"token": TOKEN}
        assert browser.post(f"{api.url}/sign-in", data=form, timeout=10, allow_redirects=False).status_code == 303
        TOLD["a session's cookie"] = str(next(iter(browser.cookies)).value)
        TOLD["a session's second value"] = browser.get(f"{api.url}/api/session", timeout=10).json()["csrf_token"]
        assert browser.post(f"{api.url}/sign-in", data={"token": WRONG_TOKEN}, timeout=10).status_code == 401


def readable_by_others(node: Couch) -> dict[str, str]:
    """What a node shows, of our links above all, to who has no password, and to a user who is no admin."""
    callers: dict[str, tuple[str, str] | None] = {"nobody": None}
    if node.schedules:
        user = {"_id": "org.couchdb.user:reader", "name": "reader", "type": "user", "roles": []}
        node.put("_users", {**user, "password": USER_PASSWORD})
        callers["a user"] = ("reader", USER_PASSWORD)
    shown = {}
    for who, login in callers.items():
        for path in (
            "_replicator/_all_docs?include_docs=true",
            "_replicator/_changes?include_docs=true",
            "_scheduler/docs",
            "_scheduler/jobs",
            "_active_tasks",
            "_node/_local/_config",
            "notebook-replication/_all_docs?include_docs=true",
            "notebook-replication/_local_docs?include_docs=true",
        ):
            answer = requests.get(f"{node.url}/{path}", auth=login, timeout=10)
            assert answer.status_code in {401, 403, 404}, f"{who} may read {path}"
            shown[f"{path}, to {who}"] = answer.text
    return shown


def _sent_in_vain(api: Api) -> set[str]:
    """The types of events that were sent more than once."""
    jobs = api.get("/api/jobs?kind=webhook").json()["jobs"]
    return {job["params"]["event"]["type"] for job in jobs if job["attempts"] > 1}


def logs(system: System, nodes: list[Couch]) -> Iterator[tuple[str, str]]:
    for name in system.processes:
        yield name, text_of(system.folder / f"{name}.log")
    yield "redis", text_of(system.redis.folder / "redis.log")
    for node in nodes:
        assert node.embedded is not None
        yield node.name, text_of(node.embedded.log)


def text_of(path: Path) -> str:
    return path.read_bytes().decode("latin-1") if path.exists() else ""


def in_redis(system: System) -> dict[str, str]:
    with system.store() as store:
        found = {f"Redis key {key}": f"{key} {whole(store, key)}" for key in store.scan_iter()}
    found["Redis' file"] = "".join(text_of(path) for path in system.redis.folder.glob("appendonly*"))
    return found


def whole(store: redis.Redis, key: str) -> str:
    read: dict[str, Any] = {
        "string": store.get,
        "hash": store.hgetall,
        "list": lambda name: store.lrange(name, 0, -1),
        "set": store.smembers,
        "zset": lambda name: store.zrange(name, 0, -1),
        "stream": store.xrange,
        "none": lambda name: None,  # it ran out since it was listed
    }
    value = read[str(store.type(key))](key)
    return json.dumps(sorted(value) if isinstance(value, set) else value)


def command_lines() -> str:
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "args"], capture_output=True, text=True, check=True, timeout=10)
    return listed.stdout


def leaks(text: str, wanted: dict[str, str]) -> list[str]:
    return [what for what, secret in wanted.items() if secret in text]
