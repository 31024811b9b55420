"""The private parts of others that labkit overrides are those of the versions that it was written against."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from labkit.celery_app import celery_overrides, kombu_overrides


@pytest.mark.parametrize(
    ("distribution", "made_for"), [*celery_overrides.MADE_FOR.items(), *kombu_overrides.MADE_FOR.items()]
)
def test_the_overrides_were_made_for_what_is_installed(distribution: str, made_for: str) -> None:
    installed = version(distribution)
    assert installed == made_for, (
        f"{distribution} {installed} is installed, and labkit overrides private parts of {distribution} {made_for}. "
        "Read what has changed in what the module overrides, run the tests in tests/integration, and move MADE_FOR."
    )
