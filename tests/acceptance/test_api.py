"""`labkit api` as a user types it, the lines of docs/http_api.md as they stand there, and the page in a browser."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from playwright.sync_api import expect

from labkit.api.client import ApiClient, new_message
from labkit.taskqueue.timeouts import wait_until
from tests.ports import own_ports

DOCS = (Path(__file__).parents[2] / "docs" / "http_api.md").read_text(encoding="utf-8")
AUTHOR = UUID("6f1f4c50-6f3f-4d3a-9b6f-3c1f0c0e7a11")
START_TIMEOUT = 180.0


class Command:
    """A running `labkit api`, and what it has said so far."""

    def __init__(self, words: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
        self._out, self._err = folder / f"{uuid4().hex}.out", folder / f"{uuid4().hex}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "labkit", "api", *words],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def wait_until_ready(self) -> Command:
        wait_until(self._has_said_all, timeout=START_TIMEOUT, what="the API was to start")
        return self

    @property
    def said(self) -> str:
        return self._out.read_text()

    @property
    def page(self) -> str:
        return re.search(r"The page: (\S+)", self.said).group(1)

    @property
    def url(self) -> str:
        return re.match(r"http://[^/]+", self.page).group()

    @property
    def token(self) -> str:
        return self.page.partition("token=")[2]

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(120) == 0, self._err.read_text()
        assert self._err.read_text() == ""

    def _has_said_all(self) -> bool:
        assert self.process.poll() is None, self._err.read_text()
        return "Ctrl-C stops it." in self.said


def run(words: list[str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture
def environment(environment, tmp_path) -> dict[str, str]:
    return environment | {
        "LABKIT_TOPIC_PREFIX": f"{uuid4().hex[:12]}.",
        "LABKIT_JOBS_URL": f"sqlite:///{tmp_path / 'jobs.sqlite'}",
        "LABKIT_API_PORT": "0",
    }


@pytest.fixture
def serve(tmp_path, environment):
    started: list[Command] = []

    def start(*words: str, **more: str) -> Command:
        started.append(Command(words, tmp_path, environment | more))
        return started[-1].wait_until_ready()

    yield start
    for command in started:
        command.process.kill()
        command.process.wait()


def test_it_prints_where_to_go_and_ctrl_c_ends_it(serve, tmp_path):
    command = serve()
    line = re.search(r"curl .*", command.said).group()
    said = subprocess.run(line.replace("curl", "curl -s", 1), shell=True, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == {"jobs": [], "next": None}
    assert len(command.token) == 48
    assert httpx.get(f"{command.url}/jobs", timeout=120).status_code == 401
    assert httpx.get(f"{command.url}/jobs?token={command.token}", timeout=120).status_code == 200
    command.end()
    assert command.said.endswith("Stopped.\n")
    log = (tmp_path / "results" / "logs" / "api.log").read_text()
    assert "GET /jobs 200" in log
    assert command.token not in log


@pytest.mark.long
def test_without_a_token_on_this_machine(serve):
    command = serve("--no-token")
    assert command.token == ""
    assert httpx.get(f"{command.url}/jobs", timeout=120).status_code == 200
    assert httpx.get(f"{command.url}/jobs", headers={"Host": "evil.example"}, timeout=120).status_code == 403


def test_without_a_token_for_others_is_refused(tmp_path, environment):
    words = [sys.executable, "-m", "labkit", "api", "--no-token", "--host", "0.0.0.0"]
    ended = run(words, cwd=tmp_path, env=environment)
    assert ended.returncode == 1
    assert "Leave the token on" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_documented_lines_work_as_written(serve, environment):
    command = serve("--port", "0", LABKIT_API_TOKEN="secret")
    blocks = re.findall(r"```bash\n(.*?)```", DOCS, re.DOTALL)
    script = "set -euo pipefail\n" + "".join(f"{block}echo; echo =====\n" for block in blocks)
    script = script.replace("http://127.0.0.1:8000", command.url)
    ran = run(["bash", "-c", script], env=environment)
    assert ran.returncode == 0, ran.stderr
    answers = ran.stdout.split("=====\n")
    assert len(answers) == len(blocks) + 1
    said = ran.stdout
    assert '"job_id":1234,"status":"NEW","version":1' in said
    assert "event: job" in said
    assert '"title":"Order 17"' in said
    assert '"station":"acknowledged"' in said
    assert "201 Created" in said
    assert '"type":"urn:labkit:unknown-job"' in said
    assert '{"status":"ready"}' in said
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    code = code.replace("http://127.0.0.1:8000", command.url)
    python = run([sys.executable, "-c", code], env=environment)
    assert (python.stdout, python.stderr) == ("acknowledged\n", "")


def test_the_three_lines_without_a_token_work_as_written(serve, environment):
    command = serve("--no-token")
    (block,) = re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)
    (with_token,) = [one for one in re.findall(r"```bash\n(.*?)```", DOCS, re.DOTALL) if "-H 'Authorization" in one]
    assert with_token.replace(" -H 'Authorization: Bearer secret'", "") == block
    create, jobs, poll = (line.replace("http://127.0.0.1:8000", command.url) for line in block.splitlines())

    def typed(line: str) -> str:
        said = run(["bash", "-c", line], env=environment)
        assert said.returncode == 0, said.stderr
        return said.stdout

    made = json.loads(typed(create))
    assert (made["job_id"], made["status"], made["version"]) == (1234, "NEW", 1)
    wait_until(lambda: json.loads(typed(jobs))["jobs"], timeout=START_TIMEOUT, what="the job was to be listed")
    assert [job["job_id"] for job in json.loads(typed(jobs))["jobs"]] == [1234]
    assert typed(poll) == ""
    with ApiClient(command.url) as client:
        (message_id,) = client.create([new_message("emails", "Hello", author=AUTHOR)])
    assert json.loads(typed(poll))["id"] == str(message_id)
    assert json.loads(typed(create.replace(" -H 'Content-Type: application/json'", "")))["status"] == 415
    command.end()


@pytest.mark.parametrize(
    ("topics", "why"),
    [("job-status", "the topic of the jobs"), ("orders,__consumer_offsets", "Kafka's own"), ("a.dead", "dead letters")],
)
def test_topics_of_another_kind_are_refused_when_it_starts(tmp_path, environment, topics, why):
    unprefixed = environment | {"LABKIT_API_TOPICS": topics, "LABKIT_TOPIC_PREFIX": ""}
    ended = run([sys.executable, "-m", "labkit", "api"], cwd=tmp_path, env=unprefixed)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert why in ended.stderr
    assert ended.stderr.count("\n") == 1


#: What is cut: a text that is wider than its place, where no scroll bar leads on, and what lies beyond the window.
CUT = """() => [...document.querySelectorAll("body *")].filter(node => {
  const style = getComputedStyle(node), rest = node.getBoundingClientRect();
  if (node.tagName === "SELECT") {
    const text = document.createElement("canvas").getContext("2d");
    text.font = style.font;
    return text.measureText(node.selectedOptions[0].text).width + 30 > node.clientWidth;
  }
  return rest.right > innerWidth + 1 || node.clientWidth && node.scrollWidth > node.clientWidth + 1;
}).map(node => node.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_shows_why_a_job_failed_and_cuts_nothing(serve, page, tmp_path, environment, width):
    command = serve()
    with ApiClient(command.url, token=command.token) as client:
        client.create_job(9007199254740991)
    words = ("jobs", "consume", "--group", "g", "--timeout", "2", "--service", "constant:1ms", "--failing", "1")
    consumed = run([sys.executable, "-m", "labkit", *words, "--attempts", "1"], cwd=tmp_path, env=environment)
    assert "was to fail" in consumed.stderr
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(command.page)
    expect(page.locator("[data-reason='9007199254740991']")).to_contain_text("failed: ")
    expect(page.locator("[data-reason='9007199254740991']")).to_contain_text("attempt 1 was to fail")
    expect(page.locator("[data-job='9007199254740991'] .chip")).to_have_text("FAILED")
    page.click("#send")
    page.click("#take")
    page.locator("#polled .link").click()
    expect(page.locator("#way li").last).to_contain_text("not yet")
    assert page.evaluate(CUT) == []
    assert page.complaints == []


def test_a_student_creates_polls_and_follows_a_message_on_the_page(serve, page):
    command = serve()
    page.goto(command.page)
    expect(page.locator("#state")).to_have_text("live")
    assert command.token not in page.url, "nobody reads it over the shoulder"

    page.fill("#title", "<img src=x onerror=alert(1)>")
    page.click("#send")
    expect(page.locator("#created")).to_contain_text("Queued in orders")
    message_id = page.locator("#created .link").inner_text()
    expect(page.locator("[data-queue=orders] .number")).to_have_text("1")
    page.click("#again")
    expect(page.locator("#created")).to_contain_text("nothing new was queued")
    assert page.locator("#created .link").inner_text() == message_id

    page.click("#take")
    expect(page.locator("#polled b")).to_have_text("<img src=x onerror=alert(1)>")
    assert page.locator("#polled img").count() == 0, "it was text, and stays text"
    page.click("[data-verb=ack]")
    expect(page.locator("#polled")).to_contain_text("Acknowledged.")
    page.locator("#polled .link").click()
    expect(page.locator("#way li").last).to_contain_text("acknowledged")
    expect(page.locator("#way li.reached")).to_have_count(4)
    expect(page.locator("[data-queue=orders] .number")).to_have_text("0")
    assert page.complaints == []


@pytest.mark.long
def test_the_page_shows_live_what_others_do(serve, page):
    command = serve()
    with ApiClient(command.url, token=command.token) as client:
        client.create_job(1)
        client.job(1, version=1)
        page.goto(command.page)
        expect(page.locator("[data-job='1'] .chip")).to_have_text("NEW")
        client.create_job(2)
        expect(page.locator("#jobs tr").first).to_have_attribute("data-job", "2")
        expect(page.locator("#counts .NEW")).to_have_text("NEW 2")
        client.create([new_message("emails", "Hello", author=AUTHOR)])
        expect(page.locator("[data-queue=emails] .number")).to_have_text("1")
    page.click("#new-job button")
    expect(page.locator("#jobs tr")).to_have_count(3)
    assert page.complaints == []


@pytest.mark.long
def test_the_page_asks_for_the_token_and_comes_back_after_the_server(serve, page):
    (port,) = map(str, own_ports(1))
    command = serve("--port", port, LABKIT_API_TOKEN="secret")
    page.goto(f"{command.url}/")
    expect(page.locator("#no-token")).to_contain_text("Open the address that “labkit api” printed in its terminal")
    page.fill("#token", "wrong")
    page.click("#login button")
    expect(page.locator("#no-token")).to_contain_text("This is not the token of this server")
    page.fill("#token", "secret")
    page.click("#login button")
    expect(page.locator("#state")).to_have_text("live")
    expect(page.locator("#login")).to_be_hidden()
    expect(page.locator("#no-token")).to_be_hidden()
    command.end()
    expect(page.locator("#state")).to_contain_text("does not answer")
    serve("--port", port, LABKIT_API_TOKEN="secret")
    expect(page.locator("#state")).to_have_text("live", timeout=120_000)
