"""Choosing a transport by its name."""

import subprocess
import sys

import pytest

from labkit.errors import SettingsError
from labkit.lab.connection import Connection
from labkit.taskqueue.transport import connect_transport

NOWHERE = Connection(bootstrap_servers="127.0.0.1:1")


@pytest.mark.parametrize("name", ["kafka-python", "confluent-kafka"])
def test_a_transport_is_made_without_a_connection(name):
    transport = connect_transport(NOWHERE, name)
    assert (transport.name, transport.connection) == (name, NOWHERE)


def test_an_unknown_name_is_told():
    with pytest.raises(SettingsError, match=r"'carrier-pigeon'.*'kafka-python' and 'confluent-kafka'"):
        connect_transport(NOWHERE, "carrier-pigeon")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "imported", "other"),
    [("kafka-python", "kafka", "confluent_kafka"), ("confluent-kafka", "confluent_kafka", "kafka")],
)
def test_only_the_library_that_is_used_is_imported(name, imported, other):
    code = (
        "import sys\n"
        "from labkit.lab.connection import Connection\n"
        "from labkit.taskqueue.transport import connect_transport\n"
        "assert not {'kafka', 'confluent_kafka'} & sys.modules.keys()\n"
        f"connect_transport(Connection(bootstrap_servers='127.0.0.1:1'), {name!r})\n"
        f"assert {imported!r} in sys.modules\n"
        f"assert {other!r} not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
