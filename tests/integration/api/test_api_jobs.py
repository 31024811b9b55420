"""Jobs over HTTP."""

from __future__ import annotations

import threading
from uuid import uuid4

import httpx
import pytest

from labkit.errors import ApiRefused
from labkit.jobs import JobStatus
from tests.integration.api.conftest import TOKEN

ALLOWED = {"Authorization": f"token {TOKEN}"}


def test_a_job_is_there_when_one_asks_for_its_version(client):
    made = client.create_job(1234)
    assert (made.job_id, made.status, made.version) == (1234, JobStatus.NEW, 1)
    assert client.job(1234, version=1, wait=30) == made
    assert [event.status for event in client.job_events(1234)] == [JobStatus.NEW]


def test_a_known_job_stays_as_it_is(api, client):
    client.create_job(77)
    client.job(77, version=1, wait=30)
    again = httpx.post(f"{api.url}/jobs", json={"job_id": 77, "status": "NEW"}, headers=ALLOWED, timeout=120)
    assert again.status_code == 200
    new = httpx.post(f"{api.url}/jobs", json={}, headers=ALLOWED, timeout=120)
    assert new.status_code == 201
    assert new.headers["location"] == f"/jobs/{new.json()['job_id']}"


def test_a_request_with_a_key_makes_one_job(client):
    key = str(uuid4())
    assert client.create_job(key=key).job_id == client.create_job(key=key).job_id


@pytest.mark.parametrize("body", [{"status": "DONE"}, {"job_id": 0}, {"job_id": 2**53}, {"job_id": "1"}, {"x": 1}, []])
def test_a_job_begins_as_new_and_its_id_is_a_number(api, body):
    assert httpx.post(f"{api.url}/jobs", json=body, headers=ALLOWED, timeout=120).status_code == 422


def test_a_version_that_does_not_come_is_409_and_an_unknown_job_404(client, api):
    client.create_job(88)
    client.job(88, version=1, wait=30)
    late = httpx.get(f"{api.url}/jobs/88", params={"version": 3, "wait": 0.05}, headers=ALLOWED, timeout=120)
    assert (late.status_code, late.json()["type"]) == (409, "urn:labkit:not-there-yet")
    with pytest.raises(ApiRefused) as caught:
        client.job(999_999)
    assert caught.value.status == 404


def test_pages_and_filters(client):
    ids = list(range(5_000, 5_007))
    for job_id in ids:
        client.create_job(job_id)
    client.job(ids[-1], version=1, wait=30)
    assert [job.job_id for job in client.jobs(JobStatus.NEW, page=2) if job.job_id in ids] == ids
    assert list(client.jobs(JobStatus.FAILED)) == []
    assert client.overview().jobs[JobStatus.NEW] >= len(ids)


def test_changes_come_live(client, api):
    since = client.overview().changes
    heard: list[int] = []
    first = threading.Event()

    def listen() -> None:
        from labkit.api.client import ApiClient

        with ApiClient(api.url, token=TOKEN) as own:
            for job in own.watch_jobs(20, since=since):
                heard.append(job.job_id)
                first.set()
                if job.job_id == 6_002:
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    client.create_job(6_001)
    assert first.wait(60)
    client.create_job(6_002)
    listener.join(60)
    assert heard == [6_001, 6_002]


def test_a_stream_goes_on_after_the_last_event(api, client):
    client.create_job(7_001)
    client.job(7_001, version=1, wait=30)
    cursor = client.overview().changes
    client.create_job(7_002)
    client.job(7_002, version=1, wait=30)
    answer = httpx.get(
        f"{api.url}/jobs/stream", params={"seconds": 0}, headers=ALLOWED | {"Last-Event-ID": str(cursor)}, timeout=120
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("event: job") == 1
    assert '"job_id":7002' in answer.text
