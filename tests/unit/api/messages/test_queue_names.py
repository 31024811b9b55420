"""The names of the queues, from the setting."""

from __future__ import annotations

import pytest

from labkit.api.messages import queue_names
from labkit.api.messages.queue_names import MOST_QUEUES
from labkit.errors import SettingsError
from labkit.settings import Settings


def settings(text: str, prefix: str = "") -> Settings:
    return Settings(_env_file=None, api_topics=text, topic_prefix=prefix)  # type: ignore[call-arg]


def test_three_by_default() -> None:
    assert queue_names(Settings(_env_file=None)) == ("orders", "emails", "reports")  # type: ignore[call-arg]


def test_spaces_do_not_matter() -> None:
    assert queue_names(settings(" a , b,")) == ("a", "b")


def test_as_many_as_are_fed() -> None:
    assert len(queue_names(settings(",".join(f"q{number}" for number in range(MOST_QUEUES))))) == MOST_QUEUES


@pytest.mark.parametrize(
    ("text", "prefix", "why"),
    [
        (",", "", "it names no queue"),
        ("a,b,a", "", "'a' more than once"),
        ("a~b", "", "'a~b.dead' cannot be the name of a topic"),
        ("a b", "", "cannot be the name of a topic"),
        ("orders;emails", "", "cannot be the name of a topic"),
        ("orders\\nemails", "", "cannot be the name of a topic"),
        ('["orders"]', "", "cannot be the name of a topic"),
        ("a" * 245, "", "250 characters"),
        ("a" * 200, "p" * 60, "265 characters"),
        ("orders,job-status", "", "the topic of the jobs"),
        ("job-status", "p.", "the topic of the jobs"),
        ("orders,orders.dead", "", "dead letters"),
        ("orders.later", "", "dead letters"),
        ("__consumer_offsets", "", "Kafka's own"),
        ("_mine", "_", "Kafka's own"),
        ("a.b,a_b", "", "'a.b' and 'a_b' for one name"),
        (",".join(f"q{number}" for number in range(MOST_QUEUES + 1)), "", "101 queues"),
    ],
)
def test_names_that_cannot_be_are_refused_in_a_sentence(text: str, prefix: str, why: str) -> None:
    with pytest.raises(SettingsError, match="LABKIT_API_TOPICS does not fit: ") as refused:
        queue_names(settings(text, prefix))
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
