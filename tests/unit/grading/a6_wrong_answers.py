"""The classic wrong answers to `a6_message_api`, by the mistake's name, with the most points they bring."""

from __future__ import annotations

from typing import Any

MESSAGE_ID = """
import random, time
from uuid import NAMESPACE_URL, uuid1, uuid3

def message_id(namespace, message):
    moment = datetime.fromisoformat(message["timestamp"]).astimezone(UTC).isoformat(timespec="microseconds")
    canonical = {{**message, "timestamp": moment}}
    fields = [moment] + [message[name] for name in ("title", "body", "author", "topic")]
    compact = {{"ensure_ascii": False, "separators": (",", ":")}}
    return str({})
"""


def id_of(text: str) -> str:
    """The answer that makes an id of this text."""
    return MESSAGE_ID.format(f"uuid5(UUID(namespace), {text})")


COMPACT = "separators=(',', ':'), ensure_ascii=False"

#: A way to send, to be changed in places.
SEND = """
from uuid import uuid4

@with_faults
def send(client, messages, pause):
    key = str(uuid4())
    for number in range(5):
        last, seconds = number == 4, 0.5 * 2**number
        try:
            response = client.post("/message/create", json=messages, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            if last:
                raise
        else:
            if response.is_success:
                return response.json()
            if response.status_code not in (409, 429, 503) or last:
                response.raise_for_status()
            if "Retry-After" in response.headers:
                seconds = float(response.headers["Retry-After"])
        pause(seconds)
"""
SILENT = """
@with_faults
def send(client, messages, pause):
    key = str(uuid4())
    for number in range(5):
        seconds = 0.5 * 2**number
        try:
            response = client.post("/message/create", json=messages, headers={"Idempotency-Key": key})
        except httpx.TransportError as error:
            print(error)
        else:
            if response.status_code not in (409, 429, 503):
                return response.raise_for_status().json()
            seconds = float(response.headers.get("Retry-After", seconds))
        pause(seconds)
"""
LAST_PAUSE = """
@with_faults
def send(client, messages, pause):
    key, error = str(uuid4()), None
    for number in range(5):
        seconds = 0.5 * 2**number
        try:
            response = client.post("/message/create", json=messages, headers={"Idempotency-Key": key})
            if response.status_code not in (409, 429, 503):
                return response.raise_for_status().json()
            seconds = float(response.headers.get("Retry-After", seconds))
            response.raise_for_status()
        except httpx.HTTPStatusError as failed:
            if failed.response.status_code not in (409, 429, 503):
                raise
            error = failed
        except httpx.TransportError as failed:
            error = failed
        pause(seconds)
    raise error
"""
BY_HELPER = """
class Sender:
    def __init__(self, client, messages):
        self.client, self.request = client, {"json": messages, "headers": {"idempotency-key": f'"{uuid4()}"'}}

    def outcome(self):
        try:
            response = self.client.request("POST", "message/create", **self.request)
            response.raise_for_status()
            return response
        except httpx.HTTPError as error:
            return error

@with_faults
def send(client, messages, pause):
    sender, pauses = Sender(client, messages), [0.5, 1, 2, 4]
    while True:
        outcome = sender.outcome()
        if isinstance(outcome, httpx.Response):
            return outcome.json()
        response = getattr(outcome, "response", None)
        if not pauses or (response is not None and response.status_code not in {409, 429, 503}):
            raise outcome
        seconds = pauses.pop(0)
        after = response.headers.get("Retry-After") if response is not None else None
        pause(int(after) if after else seconds)
"""

WAIT = """
from time import sleep

@with_answers
def wait_for(client, job_id, patience, pause, clock):
    began, seconds, waited = clock(), 0.1, 0.0
    while True:
        try:
            response = client.get(f"/jobs/{job_id}")
            if response.status_code not in (404, 429, 503):
                response.raise_for_status()
                status = response.json()["status"]
                if status in ("DONE", "FAILED"):
                    return status
        except httpx.TransportError:
            pass
        if clock() - began + seconds > patience:
            raise TimeoutError
        pause(seconds)
        waited += seconds
        seconds = min(seconds * 2, 2)
"""
CHECKED_BEFORE_PAUSE = """        if clock() - began + seconds > patience:
            raise TimeoutError
        pause(seconds)
"""
CHECKED_AFTER_PAUSE = """        pause(seconds)
        if clock() - began > patience:
            raise TimeoutError
"""

TABLE = """
import secrets, time
from uuid import uuid1

@with_steps
class LeaseTable:
    def __init__(self, lease, clock):
        self.lease, self.clock = lease, clock
        self.waiting, self.held, self.done, self.number = [], {}, {}, 0

    def put(self, message_id, message):
        if message_id not in self.done and message_id not in [name for name, _ in self.waiting]:
            self.waiting.append((message_id, message))

    def poll(self):
        for message_id, message in self.waiting:
            if message_id not in self.held or self.held[message_id][1] <= self.clock():
                self.number += 1
                token = secrets.token_hex(16)
                self.held[message_id] = token, self.clock() + self.lease
                return message_id, message, token

    def ack(self, message_id, token):
        if message_id in self.done and self.done[message_id] == token:
            return True
        if message_id not in self.held or self.held[message_id][0] != token:
            return False
        if self.held[message_id][1] <= self.clock():
            return False
        self.settle(message_id, token)
        return True

    def settle(self, message_id, token):
        del self.held[message_id]
        for place, (name, _) in enumerate(self.waiting):
            if name == message_id:
                del self.waiting[place]
                break
        self.done[message_id] = token
"""
NEW_TOKEN = "secrets.token_hex(16)"
PUT_ONCE = "        if message_id not in self.done and message_id not in [name for name, _ in self.waiting]:\n    "
LOOKED_AT_TIME = "        if self.held[message_id][1] <= self.clock():\n            return False\n"
LOOKED_AT_TOKEN = """        if message_id not in self.held or self.held[message_id][0] != token:
            return False
"""
DELETED_BY_EXPIRY = """    def poll(self):
        over = {name for name, (_, end) in self.held.items() if end <= self.clock()}
        self.waiting = [one for one in self.waiting if one[0] not in over]
        self.held = {name: held for name, held in self.held.items() if name not in over}
"""
COMES_LAST = """    def poll(self):
        for name in [name for name, (_, end) in self.held.items() if end <= self.clock()]:
            self.waiting.sort(key=lambda one: one[0] == name)
            del self.held[name]
"""
DELETED_BY_POLL = """
from uuid import uuid4

@with_steps
class LeaseTable:
    def __init__(self, lease, clock):
        self.waiting, self.tokens, self.done = {}, {}, set()

    def put(self, message_id, message):
        if message_id not in self.waiting and message_id not in self.done:
            self.waiting[message_id] = message

    def poll(self):
        if not self.waiting:
            return None
        message_id = next(iter(self.waiting))
        self.tokens[message_id] = str(uuid4())
        return message_id, self.waiting.pop(message_id), self.tokens[message_id]

    def ack(self, message_id, token):
        if self.tokens.get(message_id) != token:
            return False
        self.done.add(message_id)
        return True
"""
BY_DATACLASS = """
from dataclasses import dataclass, field

@dataclass
class Held:
    message: dict
    token: str = ""
    until: float = 0.0
    done: bool = False

    def ends(self, now):
        return self.until <= now

@with_steps
@dataclass
class LeaseTable:
    lease: float
    clock: object
    known: dict = field(default_factory=dict)

    def put(self, message_id, message):
        self.known.setdefault(message_id, Held(message))

    def poll(self):
        free = ((name, held) for name, held in self.known.items() if not held.done and held.ends(self.clock()))
        message_id, held = next(free, (None, None))
        if held is None:
            return None
        held.token, held.until = uuid4().hex, self.clock() + self.lease
        return message_id, held.message, held.token

    def ack(self, message_id, token):
        held = self.known.get(message_id)
        if held is None or held.token != token:
            return False
        held.done = held.done or not held.ends(self.clock())
        return held.done
"""

APP = """
import asyncio
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse

@with_requests
def make_app(queue):
    app, seen = FastAPI(), {}

    @app.post("/message/create")
    async def create(request: Request):
        message, key = await request.json(), request.headers.get("Idempotency-Key")
        if key is None:
            return JSONResponse({"detail": "no key"}, 400)
        if key in seen:
            first, status, said = seen[key]
            if first != message:
                return JSONResponse({"detail": "another message"}, 422)
            return JSONResponse(said, status)
        seen[key] = message, 409, {"detail": "in progress"}
        try:
            number = await queue.put(message)
        except ConnectionError:
            del seen[key]
            return JSONResponse({"detail": "away"}, 503)
        seen[key] = message, 201, {"id": number}
        return JSONResponse({"id": number}, 201)

    return app
"""
IN_PROGRESS = '        seen[key] = message, 409, {"detail": "in progress"}\n'
UNHANDLED = """
        try:
            number = await queue.put(message)
        except ConnectionError:
            del seen[key]
            return JSONResponse({"detail": "away"}, 503)
"""
SECOND_WAITS = """
@with_requests
def make_app(queue):
    app, seen, lock = FastAPI(), {}, asyncio.Lock()

    @app.post("/message/create", status_code=201)
    async def create(message: dict, idempotency_key: Annotated[str | None, Header()] = None):
        if idempotency_key is None:
            raise HTTPException(400)
        async with lock:
            if idempotency_key not in seen:
                try:
                    seen[idempotency_key] = message, {"id": await queue.put(message)}
                except ConnectionError:
                    raise HTTPException(503)
            first, answer = seen[idempotency_key]
            if first != message:
                raise HTTPException(422)
            return answer
"""
BY_MODEL = """
from fastapi import Response
from pydantic import BaseModel

class Message(BaseModel):
    title: str

class Refused(Exception):
    def __init__(self, status):
        self.status = status

def key_of(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        raise Refused(400)
    return key

@with_requests
def make_app(queue):
    app, under_way, answers = FastAPI(), {}, {}

    @app.exception_handler(Refused)
    async def refuse(request, refused):
        return Response(status_code=refused.status)

    @app.post("/message/create", status_code=201)
    async def create(message: Message, request: Request):
        key = key_of(request)
        if key in under_way:
            raise Refused(422 if under_way[key] != message else 409)
        if key in answers:
            first, answer = answers[key]
            if first != message:
                raise Refused(422)
            return answer
        under_way[key] = message
        try:
            answers[key] = message, {"id": await queue.put(message.model_dump())}
        except ConnectionError:
            raise Refused(503) from None
        finally:
            del under_way[key]
        return answers[key][1]

    return app
"""


def changed(answer: str, *changes: tuple[str, str]) -> str:
    """The answer with these texts in the places of others, each of which stands in it."""
    for old, new in changes:
        assert old in answer, old
        answer = answer.replace(old, new)
    return answer


def deaths(**parts: Any) -> str:
    """The claim with these expressions in the places of the right ones."""
    right = {
        "lost": "sum(pollers[0] == 'before' for pollers in POLLERS)",
        "again": "sum(pollers.count('after') for pollers in POLLERS)",
        "longest": "(max(map(len, POLLERS)) - 1) * LEASE + WORK",
    }
    return f"deaths = {{{', '.join(f'{name!r}: {code}' for name, code in {**right, **parts}.items())}}}"


#: Other ways to be right.
RIGHT_ANSWERS: list[tuple[str, str]] = [
    ("q1", id_of("json.dumps(tuple(fields), **compact)")),
    (
        "q1",
        changed(
            id_of("'[' + ','.join(json.dumps(field, ensure_ascii=False) for field in fields) + ']'"),
            ('isoformat(timespec="microseconds")', 'strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")'),
        ),
    ),
    ("q2", SEND),
    ("q2", BY_HELPER),
    ("q2", LAST_PAUSE.replace("        pause(seconds)\n", "        if number < 4:\n            pause(seconds)\n")),
    ("q3", WAIT),
    ("q4", deaths(longest="max(len(pollers) * LEASE for pollers in POLLERS) - LEASE + float(WORK)")),
    ("q5", TABLE),
    ("q5", BY_DATACLASS),
    ("q5", changed(TABLE, (NEW_TOKEN, 'f"{message_id}~{uuid4().hex}"'))),
    ("q6", APP),
    ("q6", BY_MODEL),
    (  # FastAPI runs a plain function in a thread
        "q6",
        changed(
            BY_MODEL,
            ("message: Message, request: Request", "message: Message, key: Annotated[str, Depends(key_of)]"),
            ("        key = key_of(request)\n", ""),
            ("class Refused", "from fastapi import Depends\n\nclass Refused"),
        ),
    ),
]

#: question, mistake, points, answer
WRONG_ANSWERS: list[tuple[str, str, float, str]] = [
    ("q1", "a new id each time", 0, MESSAGE_ID.format("uuid4()")),
    ("q1", "a new id each time", 0, MESSAGE_ID.format("uuid1()")),
    ("q1", "a new id each time", 0, id_of("str(time.time_ns()) + str(fields)")),
    ("q1", "another id in each process", 0, MESSAGE_ID.format("UUID(int=hash(json.dumps(fields)) % 2**128)")),
    ("q1", "fields in the sender's order", 0, id_of("json.dumps(list(canonical.values()), **compact)")),
    ("q1", "the object as it came", 0, id_of("json.dumps(message, **compact)")),
    ("q1", "sorted by name", 0, id_of("json.dumps(canonical, sort_keys=True, **compact)")),
    ("q1", "the moment as it was written", 1, id_of("json.dumps([message['timestamp'], *fields[1:]], **compact)")),
    (
        "q1",
        "the moment in its own time zone",
        1,
        changed(id_of("json.dumps(fields, **compact)"), (".astimezone(UTC)", "")),
    ),
    (
        "q1",
        "no microseconds where there are none",
        2,
        changed(id_of("json.dumps(fields, **compact)"), ('timespec="microseconds"', "")),
    ),
    ("q1", "blanks", 0, id_of("json.dumps(fields, ensure_ascii=False)")),
    ("q1", "escaped letters", 2, id_of("json.dumps(fields, separators=(',', ':'))")),
    ("q1", "without the queue", 0, id_of("json.dumps(fields[:4], **compact)")),
    ("q1", "without author and moment", 0, id_of("json.dumps(fields[1:3] + fields[4:], **compact)")),
    ("q1", "another version of UUID", 0, MESSAGE_ID.format("uuid3(UUID(namespace), json.dumps(fields, **compact))")),
    ("q1", "another namespace", 0, MESSAGE_ID.format("uuid5(NAMESPACE_URL, json.dumps(fields, **compact))")),
    ("q1", "always the same", 0, MESSAGE_ID.format("namespace")),
    (
        "q2",
        "a new key for each try",
        0,
        changed(SEND, ('"Idempotency-Key": key', '"Idempotency-Key": str(uuid4())')),
    ),
    ("q2", "one key for all", 2, changed(SEND, ("key = str(uuid4())", 'key = "my-key"'))),
    ("q2", "no key", 0, changed(SEND, (', headers={"Idempotency-Key": key}', ""))),
    ("q2", "gives up after one try", 0, changed(SEND, ("range(5)", "range(1)"), ("number == 4", "True"))),
    ("q2", "gives up when no answer comes", 0, changed(SEND, ("if last:\n                raise", "raise"))),
    ("q2", "gives up when the server is busy", 0, changed(SEND, ("(409, 429, 503)", "()"))),
    ("q2", "gives up at 409", 3, changed(SEND, ("(409, 429, 503)", "(429, 503)"))),
    (
        "q2",
        "sends again what is wrong",
        2,
        changed(SEND, ("response.status_code not in (409, 429, 503) or last", "last")),
    ),
    ("q2", "never gives up", 3, changed(SEND, ("in range(5)", "in range(10**6)"), ("number == 4", "False"))),
    ("q2", "no pause", 0, changed(SEND, ("        pause(seconds)\n", ""))),
    ("q2", "always the same pause", 0, changed(SEND, ("0.5 * 2**number", "0.5"))),
    ("q2", "Retry-After passed over", 1, changed(SEND, ('"Retry-After" in response.headers', "False"))),
    ("q2", "a pause after the last try", 3, LAST_PAUSE),
    ("q2", "sleeps", 0, changed(SEND, ("        pause(seconds)", "        time.sleep(seconds)"))),
    ("q2", "sleeps", 0, "from time import sleep" + changed(SEND, ("        pause(seconds)", "        sleep(seconds)"))),
    (
        "q2",
        "gives up without a word",
        3,
        changed(
            SILENT.replace("        pause(seconds)\n", "        if number < 4:\n            pause(seconds)\n"),
        ),
    ),
    ("q2", "waits, and gives up without a word", 3, SILENT),
    ("q3", "no pause", 0, changed(WAIT, ("        pause(seconds)\n", ""), (" + seconds > patience", " > patience"))),
    ("q3", "always the same pause", 0, changed(WAIT, ("        seconds = min(seconds * 2, 2)\n", ""))),
    ("q3", "pauses without a bound", 1, changed(WAIT, ("min(seconds * 2, 2)", "seconds * 2"))),
    ("q3", "any change taken for the end", 0, changed(WAIT, ('status in ("DONE", "FAILED")', 'status != "NEW"'))),
    ("q3", "FAILED not taken for the end", 3, changed(WAIT, ('status in ("DONE", "FAILED")', 'status == "DONE"'))),
    ("q3", "gives up at 404", 1, changed(WAIT, ("(404, 429, 503)", "(429, 503)"))),
    (
        "q3",
        "gives up at a fault that passes",
        1,
        changed(WAIT, ("(404, 429, 503)", "(404,)"), ("            pass", "            raise")),
    ),
    (
        "q3",
        "asks again what it may not ask",
        2,
        changed(
            WAIT,
            ("if response.status_code not in (404, 429, 503)", "if response.is_success"),
            ("                response.raise_for_status()\n", ""),
        ),
    ),
    ("q3", "waits for ever", 1, changed(WAIT, ("clock() - began + seconds > patience", "False"))),
    ("q3", "time counted by pauses", 2, changed(WAIT, ("clock() - began + seconds", "waited + seconds"))),
    ("q3", "sleeps past the end", 1, changed(WAIT, (CHECKED_BEFORE_PAUSE, CHECKED_AFTER_PAUSE))),
    ("q3", "ends without a word", 1, changed(WAIT, ("raise TimeoutError", "return None"))),
    ("q3", "sleeps", 0, changed(WAIT, ("        pause(seconds)", "        sleep(seconds)"))),
    ("q3", "sleeps", 0, changed(WAIT, ("        pause(seconds)", "        time.sleep(seconds)"))),
    ("q4", "each death loses one", 2, deaths(lost="sum(len(pollers) > 1 for pollers in POLLERS)")),
    ("q4", "pollers that never come", 2, deaths(lost="sum(pollers.count('before') for pollers in POLLERS)")),
    ("q4", "each death is an effect", 2, deaths(again="sum(len(pollers) - 1 for pollers in POLLERS)")),
    ("q4", "messages counted", 2, deaths(again="sum('after' in pollers for pollers in POLLERS)")),
    ("q4", "all effects", 2, deaths(again="sum(pollers.count('after') + 1 for pollers in POLLERS)")),
    (
        "q4",
        "both ways swapped",
        1,
        deaths(
            lost="sum(pollers.count('after') for pollers in POLLERS)",
            again="sum(pollers[0] == 'before' for pollers in POLLERS)",
        ),
    ),
    ("q4", "work added to the lease", 2, deaths(longest="(max(map(len, POLLERS)) - 1) * (LEASE + WORK) + WORK")),
    ("q4", "nobody waits for the lease", 2, deaths(longest="max(map(len, POLLERS)) * WORK")),
    ("q4", "one lease for all", 2, deaths(longest="LEASE + WORK")),
    ("q4", "work forgotten", 2, deaths(longest="(max(map(len, POLLERS)) - 1) * LEASE")),
    ("q4", "longest wait, at least once", 2, deaths(longest="0.5")),
    (
        "q5",
        "given to a second poller",
        0,
        changed(TABLE, ("message_id not in self.held or self.held[message_id][1] <= self.clock()", "True")),
    ),
    ("q5", "deleted by the poll", 0, DELETED_BY_POLL),
    ("q5", "a lease without an end", 0, changed(TABLE, ("self.held[message_id][1] <= self.clock()", "False"))),
    ("q5", "a lease without an end", 0, changed(TABLE, ("self.clock()", "time.monotonic()"))),
    (
        "q5",
        "deleted when the lease ends",
        0,
        changed(
            TABLE,
            (
                "    def poll(self):\n",
                DELETED_BY_EXPIRY,
            ),
        ),
    ),
    ("q5", "one moment too long", 1, changed(TABLE, ("<= self.clock()", "< self.clock()"))),
    (
        "q5",
        "comes again last",
        4,
        changed(
            TABLE,
            (
                "    def poll(self):\n",
                COMES_LAST,
            ),
        ),
    ),
    (
        "q5",
        "last come, first served",
        0,
        changed(TABLE, ("in self.waiting:\n            if", "in self.waiting[::-1]:\n            if")),
    ),
    (
        "q5",
        "any token will do",
        6,
        changed(TABLE, (" and self.done[message_id] == token", ""), (" or self.held[message_id][0] != token", "")),
    ),
    ("q5", "a lease that is over counts", 4, changed(TABLE, (LOOKED_AT_TIME, ""))),
    (
        "q5",
        "an acknowledgement counts once",
        3,
        changed(TABLE, ("if message_id in self.done and self.done[message_id] == token", "if False")),
    ),
    (
        "q5",
        "a void acknowledgement deletes",
        6,
        changed(
            TABLE,
            (
                LOOKED_AT_TOKEN,
                "        held, end = self.held.pop(message_id, ('', 0.0))\n",
            ),
            (
                "if self.held[message_id][1] <= self.clock():\n            return",
                "if held != token or end <= self.clock():\n            return",
            ),
            ("        del self.held[message_id]\n", ""),
        ),
    ),
    ("q5", "put twice is two messages", 7, changed(TABLE, (PUT_ONCE, ""))),
    (
        "q5",
        "forgotten when it is done",
        7,
        changed(TABLE, ("message_id not in self.done and message_id", "message_id")),
    ),
    (
        "q5",
        "nothing kept of what is done",
        3,
        changed(
            TABLE,
            ("message_id not in self.done and message_id", "message_id"),
            ("        self.done[message_id] = token\n", ""),
        ),
    ),
    (
        "q5",
        "put again ends the lease",
        7,
        changed(
            TABLE,
            (
                "    def put(self, message_id, message):\n",
                "    def put(self, message_id, message):\n        self.held.pop(message_id, None)\n",
            ),
        ),
    ),
    ("q5", "the computer's clock", 7, changed(TABLE, ("self.clock()", "time.time()"))),
    ("q5", "the computer's clock", 7, "from time import time as now\n" + changed(TABLE, ("self.clock()", "now()"))),
    ("q5", "the same token again", 5, changed(TABLE, (NEW_TOKEN, "str(uuid5(UUID(int=0), message_id))"))),
    ("q5", "a token that can be guessed", 7, changed(TABLE, (NEW_TOKEN, 'f"token-of-a-delivery-{self.number}"'))),
    ("q5", "a token that can be guessed", 7, changed(TABLE, (NEW_TOKEN, "str(uuid1())"))),
    ("q5", "a token that can be guessed", 7, changed(TABLE, (NEW_TOKEN, "f'{random.getrandbits(128):032x}'"))),
    ("q5", "a token that can be guessed", 7, changed(TABLE, (NEW_TOKEN, "secrets.token_hex(4)"))),
    ("q5", "error", 0, changed(TABLE, ("return message_id, message, token", "return message"))),
    ("q6", "the key passed over", 0, changed(APP, ("if key in seen", "if False"))),
    (
        "q6",
        "known by the message",
        2,
        changed(APP, ("        if key in seen", "        key = message['title']\n        if key in seen")),
    ),
    ("q6", "another message under the same key", 4, changed(APP, ("first != message", "False"))),
    (
        "q6",
        "the same again is a conflict",
        0,
        changed(APP, ("return JSONResponse(said, status)", "return JSONResponse(said, 409)")),
    ),
    ("q6", "another status the second time", 0, changed(APP, ("message, 201, {", "message, 200, {"))),
    ("q6", "no key is needed", 4, changed(APP, ('return JSONResponse({"detail": "no key"}, 400)', "key = object()"))),
    (
        "q6",
        "422 where there is no key",
        4,
        changed(
            APP,
            ("request: Request)", "request: Request, idempotency_key: Annotated[str, Header()])"),
        ),
    ),
    ("q6", "looked, then put", 5, changed(APP, (IN_PROGRESS, ""), ("del seen[key]", "pass"))),
    ("q6", "the second waits", 5, SECOND_WAITS + "\n    return app\n"),
    ("q6", "in progress for ever", 5, changed(APP, ("del seen[key]", "pass"))),
    ("q6", "the error kept as the answer", 5, changed(APP, ("del seen[key]", "seen[key] = message, 503, {}"))),
    ("q6", "500 where the queue is away", 5, changed(APP, ('{"detail": "away"}, 503', '{"detail": "away"}, 500'))),
    (
        "q6",
        "500, and in progress for ever",
        5,
        changed(APP, (UNHANDLED, "\n        number = await queue.put(message)\n")),
    ),
    (
        "q6",
        "failed, and told as done",
        5,
        changed(APP, ('del seen[key]\n            return JSONResponse({"detail": "away"}, 503)', "number = None")),
    ),
    ("q6", "a request, and the same again", 0, "@with_requests\ndef make_app(queue): return FastAPI()"),
]
