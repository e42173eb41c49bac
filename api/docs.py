"""/openapi.json and a page to read it with. No outside host is asked for anything: Swagger UI comes from the
files in the flask_openapi3_swagger package (nothing else of it is used), and the page's own script is a file
of its own, because the Content-Security-Policy allows no inline script. Swagger UI does set inline styles.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from flask import Blueprint, Response, jsonify, request, send_file
from werkzeug.exceptions import NotFound

from api.context import context

blueprint = Blueprint("docs", __name__)

_FILES = {
    "swagger-ui.css": ("css/swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": ("js/swagger-ui-bundle.js", "text/javascript"),
    "swagger.svg": ("images/swagger.svg", "image/svg+xml"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DAY = 86_400
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>NoteBook Replication: API</title>
<link rel="icon" href="/docs/swagger.svg">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# validatorUrl: null, or Swagger UI would send the address of this server to swagger.io
# For who signed in, "Try it out" proves itself as every page of ours has to (api.sessions)
_START = """const looks = new Set(["GET", "HEAD"]);
async function proven(request) {
  if (!looks.has((request.method || "GET").toUpperCase())) {
    const session = await (await fetch("/api/session")).json();
    if (session.csrf_token) request.headers["X-CSRF-Token"] = session.csrf_token;
  }
  return request;
}
window.onload = () => SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, requestInterceptor: proven,
});
"""


_INDEX = {
    "name": "NoteBook Replication",
    "dashboard": "/",
    "docs": "/docs",
    "sign-in": "/sign-in",
    "openapi": "/openapi.json",
    "health": "/api/health",
    "replication": "/api/replication/health",
    "nodes": "/api/nodes",
    "jobs": "/api/jobs",
    "events": "/api/events",
}


@blueprint.get("/api")
def index() -> Response:
    return jsonify(_INDEX)


@blueprint.get("/openapi.json")
def document() -> Response:
    made = context().openapi()
    response = Response(made, content_type="application/json", headers={"Cache-Control": "no-cache"})
    response.set_etag(hashlib.sha256(made).hexdigest()[:16])
    return response.make_conditional(request)  # type: ignore[return-value]


@blueprint.get("/docs")
def page() -> Response:
    return _own(_PAGE, "text/html; charset=utf-8")


@blueprint.get("/docs/start.js")
def start() -> Response:
    return _own(_START, "text/javascript; charset=utf-8")


@blueprint.get("/docs/<name>")
def vendored(name: str) -> Response:
    if name not in _FILES:
        raise NotFound
    path, media = _FILES[name]
    folder = Path(str(resources.files("flask_openapi3_swagger"))) / "templates" / "swagger"
    response = send_file(folder / path, mimetype=media, max_age=_DAY)
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _own(text: str, media: str) -> Response:
    return Response(text, content_type=media, headers={"Content-Security-Policy": POLICY})
