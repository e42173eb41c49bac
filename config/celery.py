"""Celery's settings: queues, routes and what was measured to survive.

No result backend and early acknowledgement, on purpose: with `acks_late`, Celery 5.7 workers can die when
Redis restarts, and redelivery runs tasks twice. Our job store (tasks.store) keeps results and finds lost
work, so a message is only a hint that carries a job's id.
"""

from __future__ import annotations

from typing import Any

from config.schedule import beat_table
from config.settings import Settings

CONTROL_QUEUE = "control"  # sweeps and the reaper, for the control process alone: never behind a long job
JOB_QUEUES = (
    "sync",
    "setup",
    "verify",
    "rejoin",
    "webhook",
    "backup",
    "restore",
    "check-backup",
    "hold-backup",
    "prune-backups",
    "rotate",
    "audit",
)
ON_CHANGE_QUEUE = "on-change"  # syncs of what changed, few at a time: one that somebody asks for never waits for them
CONTROL_CONCURRENCY = 8


def options(settings: Settings) -> dict[str, Any]:
    """The configuration of the Celery app."""
    return {
        "broker_url": settings.celery_broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_pool_limit": settings.api_threads,
        "broker_transport_options": {
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 30,
            # a message that cannot be published is told of at once; workers' own connections are not bound by it
            "max_retries": 0,
        },
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_publish_retry": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_default_queue": CONTROL_QUEUE,
        "task_routes": {name: {"queue": name} for name in (*JOB_QUEUES, ON_CHANGE_QUEUE)},
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "timezone": "UTC",
        "enable_utc": True,
        "beat_schedule": beat_table(settings),
        # two seconds, so that a shorter HEALTH_INTERVAL than beat's default of five minutes is kept
        "beat_max_loop_interval": 2,
    }
