"""The Celery application: where its broker is, and how it works.

Celery's broker is a Redis, by default that of the lab. Its keys have a prefix of their own there, so that labkit counts
its own tasks only and several users can share a Redis.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from celery import Celery

from labkit.celery_app.kombu_overrides import TRANSPORT
from labkit.celery_app.message_headers import SERIALIZER
from labkit.celery_app.unsettled_messages import UnsettledMessages
from labkit.errors import SettingsError
from labkit.lab import attach_lab
from labkit.parameters import checked
from labkit.redis_state import ConnectionRetry
from labkit.settings import Settings, load_settings, variables_of_celery

if TYPE_CHECKING:
    from labkit.lab import Lab

#: The queue in Celery that holds what the bridge and the dispatchers send.
QUEUE = "labkit"
#: Priority levels in it; 0 is the most urgent. kombu keeps a list in Redis for each.
LEVELS = 10
#: What kombu puts between the name of a queue and its level.
SEPARATOR = "\x06\x16"

#: How a URL's scheme reads in kombu's words.
SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "redis+socket", "redis+socket": "redis+socket"}

#: Which database of a Redis on a socket, in redis-py's words.
_DATABASE = re.compile(r"([?&])db=")

#: How often workers look for tasks whose visibility timeout is over, in seconds.
RESTORE_INTERVAL = 1

#: How often a worker says that it lives, in seconds.
HEARTBEAT_INTERVAL = 1.0

#: After so many seconds without a sign, a Beat counts as dead and another may take over.
BEAT_SILENCE = 5.0


def make_app(broker_url: str, settings: Settings) -> Celery:
    """The application for the Redis at this URL.

    A worker takes as many tasks as it has processes and acknowledges each when it is done: so an urgent task waits
    behind what runs, and a killed worker loses nothing. Messages are JSON; anything else is refused.
    Raises `SettingsError` for a URL that is not of a Redis, and where Celery would obey the environment instead.
    """
    obeyed = variables_of_celery()
    if obeyed:
        raise SettingsError(
            f"{' and '.join(obeyed)} is set in the environment, which Celery obeys before anything that labkit tells "
            "it, so that tasks would go elsewhere. Unset it for labkit; LABKIT_CELERY_BROKER_URL names another Redis."
        )
    app = Celery("labkit", broker=celery_url(broker_url).replace("redis+", f"{TRANSPORT}+"), set_as_current=False)
    app.conf.update(
        broker_transport=TRANSPORT,
        result_backend=celery_url(broker_url) if settings.celery_results else None,
        task_ignore_result=not settings.celery_results,
        task_default_queue=QUEUE,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json", SERIALIZER],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(settings),
        result_backend_transport_options={"global_keyprefix": key_prefix(settings)},
        redbeat_redis_url=redis_py_url(broker_url),
        redbeat_redis_options={"retry": ConnectionRetry()},
        redbeat_key_prefix=f"{key_prefix(settings)}redbeat:",
        redbeat_lock_timeout=BEAT_SILENCE,
        enable_utc=True,
        timezone="UTC",
    )
    return app


def app_of_settings(settings: Settings | None = None) -> Celery:
    """The application for `LABKIT_CELERY_BROKER_URL`, or else the Redis of the running lab.

    Raises `SettingsError` and `LabNotRunning`.
    """
    settings = settings or load_settings()
    return make_app(broker_url(settings), settings)


@checked
def broker_url(settings: Settings, lab: Lab | None = None) -> str:
    """The URL of the Redis that Celery uses; `lab` is the running one where it is known. Raises `LabNotRunning`."""
    if settings.celery_broker_url is not None:
        return settings.celery_broker_url
    if settings.redis_url is not None:
        return settings.redis_url
    return (lab or attach_lab(settings=settings)).redis_url


@checked
def celery_url(url: str) -> str:
    """The URL in kombu's words. Raises `SettingsError` where the queue could not be counted."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEMES:
        raise SettingsError(
            f"Celery's broker has the scheme {scheme if separator else url!r}. Only a Redis (redis://, rediss:// or "
            "unix://) tells how many tasks wait in it and how many are taken, which the dispatcher must know; "
            "set LABKIT_CELERY_BROKER_URL to one, or leave it empty for that of the lab."
        )
    if scheme == "rediss" and "ssl_cert_reqs=" not in rest:
        rest += f"{'&' if '?' in rest else '?'}ssl_cert_reqs=required"  # kombu would trust any certificate
    if SCHEMES[scheme] == "redis+socket":
        rest = _DATABASE.sub(r"\1virtual_host=", rest)
    return f"{SCHEMES[scheme]}://{rest}"


def redis_py_url(url: str) -> str:
    """The same URL in redis-py's words. Raises `SettingsError` as `celery_url` does."""
    return celery_url(url).replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=", 1)


@checked
def key_prefix(settings: Settings) -> str:
    """What the names of all of Celery's keys begin with."""
    namespace = f"{settings.celery_namespace}:" if settings.celery_namespace else ""
    return f"{settings.topic_prefix}labkit:celery:{namespace}"


@checked
def level_key(prefix: str, level: int) -> str:
    """The name of the list of one priority level, as kombu makes it."""
    return f"{prefix}{QUEUE}{SEPARATOR}{level}" if level else f"{prefix}{QUEUE}"


def _transport_options(settings: Settings) -> dict[str, Any]:
    return {
        "global_keyprefix": key_prefix(settings),
        "priority_steps": list(range(LEVELS)),
        "queue_order_strategy": "priority",
        "sep": SEPARATOR,
        "visibility_timeout": settings.celery_visibility_timeout,
        "unacked_restore_interval": RESTORE_INTERVAL,
        "unacked_restore_throttle": 1,
        "socket_keepalive": True,
        "unsettled": UnsettledMessages(),
    }
