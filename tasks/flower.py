"""Flower, as we run it: all of it behind its login.

Flower asks for the login of FLOWER_BASIC_AUTH everywhere but at its own `/metrics`, which names workers and tasks to
anybody; and a variable of the environment opens its API where there is no login. Its `/healthcheck` says OK, no more.
"""

from __future__ import annotations

import os
from typing import Any

from config.settings import Settings

_OPENS_THE_API = "FLOWER_UNAUTHENTICATED_API"


def prepare(settings: Settings, environ: Any = os.environ) -> None:
    """Before Flower is started in this process."""
    login = settings.flower_basic_auth.get_secret_value()
    if login:
        # by environment, because a command line can be read by every user of the machine
        environ["FLOWER_BASIC_AUTH"] = login
    environ.pop(_OPENS_THE_API, None)
    # only the process that runs it imports it: it takes half a second
    from flower.views.monitor import Metrics  # noqa: PLC0415
    from tornado.web import authenticated  # noqa: PLC0415

    Metrics.get = authenticated(Metrics.get)
