"""Where labkit depends on what kafka-python does not promise: a new version of it fails here, not in a class room."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
from operator import attrgetter
from pathlib import Path

import kafka
import pytest

import labkit.taskqueue.transport
from labkit.taskqueue.transport.kafka_python import overrides

TRANSPORTS = Path(labkit.taskqueue.transport.__file__).parent

#: What is overridden, or called by a name that begins with an underscore, and the sum of its source in that version.
PARTS = {
    "kafka.admin.client:KafkaAdminClient._find_coordinator_ids": "d1995367c5c6",
    "kafka.admin.client:KafkaAdminClient._send_request_to_controller": "26d1551a50c3",
    "kafka.cluster:ClusterMetadata.get_coordinator": "8954c92f515d",
    "kafka.cluster:ClusterMetadata.metadata_request": "21bd6ac3202c",
    "kafka.consumer.fetcher:Fetcher": "dcab47b00eb3",
    "kafka.consumer.group:KafkaConsumer._poll_once": "8d14bf9d1722",
    "kafka.consumer.subscription_state:SubscriptionState.assign_from_subscribed": "df73fc6e8a79",
    "kafka.coordinator.base:BaseCoordinator.join_group_async": "f9b7d8038dab",
    "kafka.coordinator.consumer:ConsumerCoordinator._perform_assignment": "6c2d497eab59",
    "kafka.coordinator.consumer:ConsumerCoordinator._on_join_prepare_async": "1f4f6f97894b",
    "kafka.net.manager:KafkaConnectionManager.__init__": "6f9e40f17413",
    "kafka.net.manager:KafkaConnectionManager._build_transport": "0362b0a78387",
    "kafka.net.manager:KafkaConnectionManager._connect": "866ba191c36e",
    "kafka.net.selector:NetworkSelector.call_soon_threadsafe": "c5926aa4d337",
    "kafka.net.selector:NetworkSelector.call_soon_with_future": "032b758a56ed",
    "kafka.net.selector:NetworkSelector.close": "73662f6ca48e",
    "kafka.net.selector:NetworkSelector.run": "491eb51ca403",
    "kafka.net.selector:NetworkSelector.run_forever": "8ab046a3410b",
    "kafka.net.selector:NetworkSelector.stop": "f2acdccafd35",
    "kafka.net.transport:KafkaTCPTransport._sock_recv": "2594a6a62ec5",
    "kafka.producer.record_accumulator:RecordAccumulator": "f1fa41b6bc0a",
    "kafka.producer.sender:Sender": "b08a1aba3bb7",
    "kafka.producer.transaction_manager:TransactionManager": "061b9eecbbd5",
    "kafka.producer.transaction_manager:TransactionalRequestResult": "cd4498a17b15",
    # DefaultRecordBatch._read_msg as it was
    "labkit.taskqueue.transport.kafka_python.overrides:_read_strictly": "b203a6ee5e4f",
}


def test_the_overrides_were_made_for_the_version_that_is_installed():
    assert kafka.__version__ == overrides.MADE_FOR, "look at each override whether it still holds, then at the sums"


@pytest.mark.parametrize(("part", "expected"), PARTS.items(), ids=lambda text: text.rpartition(":")[2])
def test_what_is_overridden_is_as_it_was(part, expected):
    module, _, name = part.partition(":")
    source = inspect.getsource(attrgetter(name)(importlib.import_module(module)))
    assert hashlib.sha256(source.encode()).hexdigest()[:12] == expected


def private_names_of_others(path):
    """The attributes in a module that begin with one underscore and are not its own objects'."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = node.value
            if not (isinstance(owner, ast.Name) and owner.id in ("self", "cls", "KafkaError")):
                yield f"{path.name}:{node.lineno} {ast.unparse(node)}"


def test_no_other_module_touches_private_parts():
    modules = [*TRANSPORTS.glob("kafka_python/*.py"), *TRANSPORTS.glob("confluent/*.py")]
    others = [
        path for path in modules if path.name not in ("overrides.py", "network_overrides.py", "fetch_overrides.py")
    ]
    found = [name for path in others for name in private_names_of_others(path)]
    assert found == []


def test_checksums_are_in_c():
    """kafka-python takes its own in Python where it does not find the other, without a word."""
    assert inspect.isbuiltin(kafka.record.util._crc32c)
