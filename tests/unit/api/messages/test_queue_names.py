"""The names of the queues, from the setting."""

from __future__ import annotations

import pytest

from labkit.api.messages import queue_names
from labkit.errors import SettingsError
from labkit.settings import Settings


def settings(text: str) -> Settings:
    return Settings(_env_file=None, api_topics=text)  # type: ignore[call-arg]


def test_three_by_default() -> None:
    assert queue_names(Settings(_env_file=None)) == ("orders", "emails", "reports")  # type: ignore[call-arg]


def test_spaces_do_not_matter() -> None:
    assert queue_names(settings(" a , b,")) == ("a", "b")


@pytest.mark.parametrize("text", [",", "a,a", "a~b"])
def test_names_that_cannot_be(text: str) -> None:
    with pytest.raises(SettingsError, match="LABKIT_API_TOPICS"):
        queue_names(settings(text))
