"""Another Kafka by settings alone: the tests of the task queue, run against one that the lab did not start."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.settings import environment_with
from tests.integration.external.conftest import PASSWORD, USER, ExternalKafka

TASKQUEUE_TESTS = Path(__file__).parents[1] / "taskqueue"
#: What a user does, from the producer to the dead letters.
FILES = ("test_group.py", "test_producer.py", "test_dead_letters.py", "test_groups.py", "test_record_feed.py")
#: With the default client; the other one is held against the same broker in `test_security.py`.
SELECTION = ["-k", "not confluent"]
#: Fewer would mean that something was left out.
AT_LEAST = 30


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_task_queue_works_over_sasl_and_tls(external_kafka: ExternalKafka) -> None:
    connection = external_kafka.sasl_ssl
    environment = environment_with(
        bootstrap_servers=connection.bootstrap_servers,
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username=USER,
        sasl_password=PASSWORD,
        ssl_ca_file=connection.ssl_ca_file,
        topic_prefix="class-7.",
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:nbval",
            "-p",
            "no:schemathesis",
            *SELECTION,
            *(str(TASKQUEUE_TESTS / name) for name in FILES),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    summary = done.stdout.splitlines()[-1]
    passed = re.fullmatch(r"(\d+) passed, \d+ deselected in .*", summary)
    assert passed is not None, summary
    assert int(passed[1]) >= AT_LEAST
