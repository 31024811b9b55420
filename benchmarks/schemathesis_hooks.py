"""What schemathesis is told of the HTTP API besides its description.

Not to wait for long: a poll may wait 30 s, a stream lasts an hour. Here both end at once.
To take a new Idempotency-Key for every request: the same one for another request is rightly refused.
Values that the server must refuse stay as they are.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, HookContext

from labkit.api.idempotency_route import HEADER, KEY_PATTERN

#: How long a poll waits and a stream lasts here, in seconds.
SHORT = 0.02
#: Queries that make the server wait, by path.
WAITS = {
    "/message/poll": "wait",
    "/jobs/{job_id}": "wait",
    "/jobs/stream": "seconds",
    "/overview/stream": "seconds",
}


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Shorten the wait, renew the key."""
    key = (case.headers or {}).get(HEADER)
    if isinstance(key, str) and re.fullmatch(KEY_PATTERN, key):
        case.headers[HEADER] = str(uuid4())
    name = WAITS.get(case.path)
    if name is None:
        return
    query = dict(case.query or {})
    if _is_a_wait(query.get(name, SHORT)):
        case.query = query | {name: SHORT}


def _is_a_wait(value: Any) -> bool:
    """Whether the server would wait so long; also for what a query makes a number of."""
    last = value[-1] if isinstance(value, list) and value else value
    try:
        return not isinstance(last, bool) and 0 <= float(last) <= 3600
    except (TypeError, ValueError):
        return False
