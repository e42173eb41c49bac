"""From what CouchDB's scheduler says to words.

The texts under MET are those of two CouchDB 3.5 nodes on which each error was provoked (some with another port or
scheme, so that they are about one of the nodes here; those of bad documents are also what a PUT of one is refused
with). Those under READ are put together from couch_replicator's sources.
"""

from __future__ import annotations

import dataclasses
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.remedies import LONGEST_SHOWN, TROUBLED, End, Trouble, trouble

SOURCE = End("n1", "http://127.0.0.1:27011", up=True)
TARGET = End("n2", "http://127.0.0.1:27012", up=True)
REFUSED = "{conn_failed,{error,econnrefused}}"

# kind, the node at fault, state, text
MET = [
    ("source-missing", "n1", "crashing", "db_not_found: could not open http://127.0.0.1:27011/nope/"),
    ("target-missing", "n2", "crashing", "db_not_found: could not open http://127.0.0.1:27012/nope/"),
    ("source-missing", "n1", "crashing", "{changes_req_failed,404,#Fun<couch_replicator_httpc.0.11803075>}"),
    (
        "target-missing",
        "n2",
        "crashing",
        '{revs_diff_failed,404,\n                  {[{<<"error">>,<<"not_found">>},\n'
        '                    {<<"reason">>,<<"Database does not exist.">>}]}}',
    ),
    (
        "unauthorized",
        "n1",
        "crashing",
        '{replication_auth_error,\n    {session_request_unauthorized,"http://127.0.0.1:27011/_session","nobody"}}',
    ),
    (
        "unauthorized",
        "n2",
        "crashing",
        '{replication_auth_error,\n    {session_request_unauthorized,"http://127.0.0.1:27012/_session","nobody"}}',
    ),
    (
        "unauthorized",
        "n1",
        "crashing",
        "unauthorized: unauthorized to access or create database http://127.0.0.1:27011/pdfs/",
    ),
    ("forbidden", "n1", "crashing", "forbidden: http://127.0.0.1:27011/priv/"),
    ("forbidden", "n2", "crashing", "forbidden: http://127.0.0.1:27012/priv/"),
    (
        "locked-out",
        "n1",
        "crashing",
        '{replication_auth_error,\n    {session_request_forbidden,"http://127.0.0.1:27011/_session","lock"}}',
    ),
    (
        "unreachable-from-node",
        "n1",
        "crashing",
        '{replication_auth_error,\n    {session_request_failed,"http://127.0.0.1:27011/_session","admin",\n'
        "        {conn_failed,{error,econnrefused}}}}",
    ),
    (
        "unreachable-from-node",
        "n2",
        "crashing",
        '{replication_auth_error,\n    {session_request_failed,"http://127.0.0.1:27012/_session","admin",\n'
        "        sel_conn_closed}}",
    ),
    (
        "unreachable-from-node",
        "n1",
        "crashing",
        '{replication_auth_error,\n    {session_request_failed,"http://127.0.0.1:27011/_session","admin",\n'
        "        req_timedout}}",
    ),
    (
        "unreachable-from-node",
        "n1",
        "crashing",
        '{http_request_failed,"GET","http://127.0.0.1:27011/pdfs/",\n'
        "                     {error,{error,{conn_failed,{error,econnrefused}}}}}",
    ),
    (
        "unreachable-from-node",
        "n1",
        "crashing",
        '{http_request_failed,"GET","http://127.0.0.1:27011/pdfs/",\n                     {error,sel_conn_closed}}',
    ),
    (
        "unreachable-from-node",
        "n1",
        "error",
        "Could not open source database `http://127.0.0.1:27011/pdfs/`: {replication_auth_error,\n"
        '    {session_request_failed,"http://127.0.0.1:27011/_session","admin",\n'
        "        {conn_failed,{error,econnrefused}}}}",
    ),
    ("unreachable-from-node", "n1", "crashing", "nxdomain: could not resolve http://127.0.0.1:27011/pdfs/"),
    (
        "tls",
        "n1",
        "crashing",
        '{replication_auth_error,\n    {session_request_failed,"http://127.0.0.1:27011/_session","admin",\n'
        "        {conn_failed,\n            {error,\n                {tls_alert,\n"
        "                    {bad_certificate,\n"
        '                        "TLS client: In state wait_cert_cr at ssl_handshake.erl:2109 generated CLIENT ALERT: '
        'Fatal - Bad Certificate\\n"}}}}}}',
    ),
    (
        "duplicate",
        "n2",
        "failed",
        "Replication `59935e65d7b31119951e5bb3f4560705+continuous` specified by document `dup-1` already started, "
        "triggered by document `dup-2` from db `_replicator`",
    ),
    (
        "duplicate",
        "n2",
        "error",
        "Replication `e88b621f512aba470f8777446e7262a1+continuous` specified by document `transient` already running "
        "as a transient replication, started via `_replicate` API endpoint",
    ),
    (
        "bad-document",
        "n2",
        "error",
        "Couldn't open document `_design/nope` from source database `http://127.0.0.1:27011/pdfs/`: "
        '{error,<<"not_found">>}',
    ),
    (
        "bad-document",
        "n2",
        "failed",
        '{throw,{mango_error,mango_selector,{invalid_operator,<<"$foo">>}}}',
    ),
    ("bad-document", "n2", "failed", "endpoint has an invalid url"),
    ("bad-document", "n2", "failed", "Missing replicator database"),
    ("bad-document", "n2", "failed", "local_endpoints_not_supported"),
    ("not-couchdb", "n1 or n2", "crashing", "{replication_auth_error,cookie_not_found}"),
    ("not-couchdb", "n1 or n2", "crashing", "{invalid_json,{1,invalid_json}}"),
    ("not-couchdb", "n1 or n2", "crashing", "{badmatch,{error,invalid_uri}}"),
    ("server-fault", "n1", "crashing", '{http_error_code,500,<<"GET http://127.0.0.1:27011/500/">>}'),
]
READ = [
    ("worker-died", "n2", "crashing", "{worker_died,<0.7843.0>,{process_died,<0.7851.0>,kaboom}}"),
    ("worker-died", "n2", "crashing", "{changes_reader_died,{shutdown,foo}}"),
    ("worker-died", "n2", "crashing", "{changes_manager_died,noproc}"),
    ("server-fault", "n1", "crashing", "{changes_req_failed,{code,503}}"),
    ("server-fault", "n1 or n2", "crashing", "max_backoff"),
    ("unreachable-from-node", "n1", "crashing", "{changes_req_failed,{error,sel_conn_closed}}"),
    ("unreachable-from-node", "n1", "crashing", "{changes_reader_died,{timeout,ibrowse_stream_cleanup}}"),
    (
        "unreachable-from-node",
        "n1",
        "crashing",
        f'{{worker_died,<0.1.0>,{{http_request_failed,"POST","http://127.0.0.1:27011/pdfs/_bulk_get",{REFUSED}}}}}',
    ),
    ("too-large", "n2", "crashing", '{bulk_docs_failed,413,{[{<<"error">>,<<"too_large">>}]}}'),
    ("too-large", "n2", "crashing", "{doc_write_failed,{error,request_body_too_large}}"),
    ("refused-by-validation", "n2", "crashing", '{doc_write_failed,{forbidden,<<"not here">>}}'),
    ("refused-by-validation", "n2", "crashing", '{bulk_docs_failed,403,{[{<<"error">>,<<"forbidden">>}]}}'),
    ("duplicate", "n2", "crashing", "duplicate_job"),
    ("duplicate", "n2", "crashing", "Duplicate replication running on nonode@nohost"),
    (
        "checkpoint-failed",
        "n1",
        "crashing",
        '{checkpoint_commit_failure,<<"Failure on source commit: {error,timeout_of_ours}">>}',
    ),
    (
        "checkpoint-failed",
        "n2",
        "crashing",
        '{checkpoint_commit_failure,<<"instance_start_time on target database has changed since last checkpoint.">>}',
    ),
    ("unauthorized", "n1", "crashing", "{changes_req_failed,401,#Fun<couch_replicator_httpc.0.11803075>}"),
    ("forbidden", "n1", "crashing", "{changes_req_failed,403,#Fun<couch_replicator_httpc.0.11803075>}"),
    ("bad-document", "n2", "failed", "something that nobody knows"),
    ("unknown", "n2", "crashing", "something that nobody knows"),
]


def tell(text: str | None, state: str = "crashing", source: End = SOURCE, target: End = TARGET) -> Trouble:
    found = trouble(state, text, source, target)
    assert found is not None
    return found


@pytest.mark.parametrize(("kind", "node", "state", "text"), [*MET, *READ])
def test_an_error_gets_its_kind_and_the_node_its_about(kind: str, node: str, state: str, text: str) -> None:
    found = tell(text, state)

    assert found.kind == kind
    assert node in f"{found.words} {found.remedy}"
    other = {"n1": "n2", "n2": "n1"}.get(node)
    if kind in {"source-missing", "target-missing", "too-large"}:
        assert f"on {other}" not in found.words


@pytest.mark.parametrize("state", ["initializing", "running", "pending", "completed", "something new"])
def test_where_nothing_fails_there_is_no_trouble(state: str) -> None:
    assert trouble(state, None, SOURCE, TARGET) is None


def test_a_link_that_runs_but_leaves_documents_out_is_in_trouble() -> None:
    """So it was on the nodes: state running, no error, doc_write_failures 1."""
    found = trouble("running", None, SOURCE, TARGET, refused=3)
    assert found is not None
    assert found.kind == "documents-refused"
    assert "n2 has refused 3 of the documents of n1" in found.words


def test_an_error_without_a_reason_is_one_as_well() -> None:
    assert tell(None).kind == "unknown"


# --- who reaches whom

NO_WAY = '{replication_auth_error,{session_request_failed,"http://127.0.0.1:27011/_session","admin",' + REFUSED + "}}"


def test_where_we_reach_the_node_its_peers_need_another_address() -> None:
    found = tell(NO_WAY)
    assert found.kind == "unreachable-from-node"
    assert found.words == "n2 does not reach n1 at http://127.0.0.1:27011 (connection refused), but we reach n1"
    assert "peer_url in REPLICATION_NODES" in found.remedy


@pytest.mark.parametrize(("up", "says"), [(False, ", and neither do we"), (None, "(connection refused)")])
def test_where_nobody_reaches_it_it_is_down(up: bool | None, says: str) -> None:
    found = tell(NO_WAY, source=dataclasses.replace(SOURCE, up=up))
    assert found.kind == "unreachable"
    assert found.words.endswith(says)
    assert "Start n1" in found.remedy


def test_a_target_may_not_reach_itself() -> None:
    found = tell(NO_WAY.replace("27011", "27012"))
    assert found.words.startswith("n2 does not reach itself at http://127.0.0.1:27012")


def test_where_the_text_names_no_end_the_one_that_is_down_is_meant() -> None:
    found = tell("{worker_died,<0.1.0>,{error,req_timedout}}", target=dataclasses.replace(TARGET, up=False))
    assert (found.kind, "n2 does not reach itself" in found.words) == ("unreachable", True)
    both = tell("{worker_died,<0.1.0>,{error,req_timedout}}")
    assert "n1 or n2" in both.words
    assert "no answer in time" in both.words


def test_a_longer_port_is_another_node() -> None:
    text = "db_not_found: could not open http://127.0.0.1:270110/pdfs/"
    assert tell(text).kind == "database-missing"
    assert tell(text, target=End("n2", "http://127.0.0.1:270110")).kind == "target-missing"


def test_a_node_behind_a_path_is_known_by_it() -> None:
    source, target = End("n1", "https://couch.example/east"), End("n2", "https://couch.example/west")
    assert tell("db_not_found: could not open https://couch.example/west/a/", "crashing", source, target).kind == (
        "target-missing"
    )


# --- names are no signs

NAMES = ["forbidden", "unauthorized", "certificate", "duplicate_job", "mango_x", "bad_rep_doc", "e_died", "max_backoff"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_databases_and_users_are_no_signs(name: str) -> None:
    assert tell(f"db_not_found: could not open http://127.0.0.1:27011/{name}/").kind == "source-missing"
    text = f'{{session_request_failed,"http://127.0.0.1:27011/{name}/_session","{name}",{REFUSED}}}'
    assert tell(text).kind == "unreachable-from-node"
    text = text.replace(f',"{name}"', f',\n        "{name}"')
    assert tell(text).kind == "unreachable-from-node"


def test_a_string_that_was_cut_by_the_print_out_is_put_together() -> None:
    text = '{session_request_unauthorized,"http://127.0.0.1:27"\n     "011/_session","nobody"}'
    assert tell(text).words.startswith("n1 does not take the user")


# --- what is shown


passwords = st.text(string.ascii_letters + string.digits + "-_.~!", min_size=6, max_size=20).map(lambda s: f"pw{s}wp")


@given(passwords, st.sampled_from(sorted(TROUBLED)))
def test_no_credential_is_shown(password: str, state: str) -> None:
    for text in (
        f"{{nobody_knows,http://admin:{password}@127.0.0.1:27011/pdfs}}",
        f'{{nobody_knows,[{{basic_auth,{{"admin",\n   "{password}"}}}}]}}',
        f'{{nobody_knows,{{[{{<<"username">>,<<"admin">>}},{{<<"password">>,<<"{password}">>}}]}}}}',
        f"parameter `{password}` is known as a secret",
    ):
        found = trouble(state, text, SOURCE, TARGET, secrets=[password])
        assert found is not None
        assert password not in f"{found.words} {found.remedy}"
    unknown = tell(f"http://admin:{password}@127.0.0.1:27011/pdfs is not for us", state)
    assert password not in unknown.words


def test_an_unknown_text_is_shown_but_not_without_end() -> None:
    found = tell("what is this? " * 100)
    assert "what is this?" in found.words
    assert len(found.words) < LONGEST_SHOWN + 100


@given(st.text(max_size=80), st.sampled_from(sorted(TROUBLED)), st.sampled_from([None, True, False]))
def test_whatever_is_said_there_are_words_for_it(text: str, state: str, up: bool | None) -> None:
    found = tell(text, state, dataclasses.replace(SOURCE, up=up))
    assert found.kind
    assert found.words
    assert found.remedy
