"""A dispatcher's Celery is that of `tests/integration/celery_app`."""

from tests.integration.celery_app.conftest import (  # noqa: F401 - they are fixtures
    app,
    at_work,
    client,
    settings,
    topics,
)
