"""An API that knows a request by its key: the model without HTTP, what is drawn, and the ways to get it wrong."""

MESSAGES = ["tea", "milk", "coffee", "cake"]


class Queue:
    """Takes messages, and may be away."""

    def __init__(self):
        self.messages, self.away = [], False

    def put(self, message):
        """Its number. Raises `ConnectionError`."""
        if self.away:
            raise ConnectionError
        self.messages.append(message)
        return len(self.messages)


class Api:
    """The model. A request begins, puts its message, and ends: others may begin in between."""

    def __init__(self, queue):
        self.queue, self.seen = queue, {}

    def begin(self, key, message):
        """Its answer, or None if the message is to be put."""
        if key == "none":
            return self.without_key(message)
        if key not in self.seen:
            self.note(key, message)
            return None
        first, said = self.seen[key]
        if first != message:
            return self.other_message(said)
        return self.again(said)

    def end(self, key, message):
        """Put the message; the answer."""
        try:
            said = created(self.queue.put(message))
        except ConnectionError:
            return self.failed(key, message)
        self.seen[key] = (message, said)
        return said

    def note(self, key, message):
        self.seen[key] = (message, None)

    def without_key(self, message):
        return "400"

    def other_message(self, said):
        return "422"

    def again(self, said):
        return said or "409"

    def failed(self, key, message):
        self.seen.pop(key, None)
        return "503"


def created(number):
    return f'201 {{"id": {number}}}'


def in_turn(rng):
    """Few keys and few messages, so that they come again; some without a key."""
    keys = ["none", "k1", "k2", "k3", "k4"]
    return [[f"{rng.choice(keys)} {rng.choice(MESSAGES[:2])}" for _ in range(9)]]


def at_once(rng):
    """A request before, two at once under one key, and the same again."""
    key, message = rng.choice(["k1", "k2"]), rng.choice(MESSAGES)
    return [["k3 tea", f"{key} {message} + {key} {message}", f"{key} {message}", "k3 tea"]]


def away(rng):
    """The queue is away for some of the steps; the same requests come again later."""
    first = [f"k{number} {rng.choice(MESSAGES)}" for number in range(1, 4)]
    steps = [f"{step} while away" if rng.random() < 0.6 else step for step in first[1:]]
    again = rng.sample(first, 3)
    return [[f"{first[0]} while away", *steps, *again, *rng.sample(first, 2)]]


def played(api):
    """What comes of the steps with an API of this class."""

    def play(steps):
        queue = Queue()
        mine, answers = api(queue), []
        for step in steps:
            text = step.removesuffix(" while away")
            queue.away = text != step
            requests = [request.split(" ") for request in text.split(" + ")]
            before, said = len(queue.messages), [mine.begin(*request) for request in requests]
            said = [one or mine.end(*request) for one, request in zip(said, requests, strict=True)]
            answers += sorted(mine.seen[one[5:]][1] if one.startswith("wait ") else one for one in said)
            queue.messages[before:] = sorted(queue.messages[before:])
        return {"answers": answers, "queue": queue.messages}

    return play


class Keyless(Api):
    def begin(self, key, message):
        return "400" if key == "none" else None


class ByMessage(Api):
    def begin(self, key, message):
        return "400" if key == "none" else super().begin(message, message)

    def end(self, key, message):
        return super().end(message, message)


class AnyMessage(Api):
    def other_message(self, said):
        return self.again(said)


class Conflict(Api):
    def again(self, said):
        return "409"


class OtherStatus(Api):
    def again(self, said):
        return said.replace("201", "200") if said else "409"


class KeyOptional(Api):
    def without_key(self, message):
        return None

    def end(self, key, message):
        said = super().end(key, message)
        if key == "none":
            self.seen.pop(key, None)
        return said


class KeyByFastapi(Api):
    def without_key(self, message):
        return "422"


class CheckThenAct(Api):
    def note(self, key, message):
        pass


class SecondWaits(Api):
    """Who waits is given the answer of the first when that is through."""

    def begin(self, key, message):
        self.key = key
        return super().begin(key, message)

    def again(self, said):
        return said or f"wait {self.key}"


class Stuck(Api):
    def failed(self, key, message):
        return "503"


class ErrorKept(Api):
    def failed(self, key, message):
        self.seen[key] = (message, "503")
        return "503"


class Unhandled(Api):
    def failed(self, key, message):
        self.seen.pop(key, None)
        return "500"


class UnhandledAndStuck(Api):
    def failed(self, key, message):
        return "500"


class ToldAsDone(Api):
    def failed(self, key, message):
        said = '201 {"id": null}'
        self.seen[key] = (message, said)
        return said


answer = played(Api)
keyless = played(Keyless)
by_message = played(ByMessage)
any_message = played(AnyMessage)
conflict = played(Conflict)
other_status = played(OtherStatus)
key_optional = played(KeyOptional)
key_by_fastapi = played(KeyByFastapi)
check_then_act = played(CheckThenAct)
second_waits = played(SecondWaits)
stuck = played(Stuck)
error_kept = played(ErrorKept)
unhandled = played(Unhandled)
unhandled_and_stuck = played(UnhandledAndStuck)
told_as_done = played(ToldAsDone)
