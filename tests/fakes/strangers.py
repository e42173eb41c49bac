"""What a fake node does for a request without credentials, as CouchDB decides it: by its configuration and `_security`.

`node.party`: it has no admin, so everybody is one. Writes are not modelled: nobody here makes one as a stranger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fakes.couchdb import FakeNode
    from tests.fakes.request import Request


def let_in(node: FakeNode, path: tuple[str, ...]) -> bool:
    if node.party:
        return True
    told = node.configuration.get("chttpd", {})
    if "true" in {told.get("require_valid_user"), told.get("require_valid_user_except_for_up")}:
        return False
    if not path or path[0] in {"_session", "_up"}:
        return True
    if path == ("_all_dbs",):
        return told.get("admin_only_all_dbs") == "false"
    database = node.databases.get(path[0])
    members = database.security.get("members", {}) if database else {"roles": ["_admin"]}
    return not members.get("names") and not members.get("roles")


def session(node: FakeNode, request: Request) -> dict[str, Any]:
    known = "Authorization" in request.headers
    roles = ["_admin"] if known or node.party else []
    return {"ok": True, "userCtx": {"name": node.user if known else None, "roles": roles}}
