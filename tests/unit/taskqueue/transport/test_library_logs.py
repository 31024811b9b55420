"""Where the client libraries' messages go."""

import logging
from uuid import uuid4

from labkit.taskqueue.transport.library_logs import route_logs


def test_a_library_logs_to_the_transport_and_once(caplog, capsys):
    library = f"library-{uuid4().hex}"
    route_logs(library)
    route_logs(library)
    with caplog.at_level(logging.WARNING, "labkit.transport"):
        logging.getLogger(f"{library}.net").warning("broker %s is away", 1)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [(f"{library}.net", "broker 1 is away")]
    assert capsys.readouterr().err == ""


def test_the_transports_level_counts(caplog):
    library = f"library-{uuid4().hex}"
    route_logs(library)
    with caplog.at_level(logging.ERROR, "labkit.transport"):
        logging.getLogger(library).warning("not now")
    assert caplog.records == []
