"""The API keeps what its description promises, whatever is sent to it."""

from __future__ import annotations

import pytest

from benchmarks.schemathesis_run import TOKEN, fuzz
from labkit.api.api_process import ApiProcess


@pytest.mark.timeout(300)
def test_requests_of_every_kind_pass_all_checks(lab, api_settings):
    with ApiProcess(lab, token=TOKEN, settings=api_settings) as api:
        outcome = fuzz(api.url, examples=2)
    assert outcome.failed == 0, outcome.said
    assert outcome.cases > 200
