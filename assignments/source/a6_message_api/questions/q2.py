"""Sending again: the model, the server of the notebook without HTTP, what is drawn, and the ways to get it wrong."""

PASS = ("409", "429", "503")
REFUSED = ("400", "401", "404", "422")
TRIES, MOST = 5, 12


class NotReached(Exception):
    """No answer has come."""


class Endless(Exception):
    """It is sent again and again."""


class Server:
    """What a sender sees of the notebook's server; a key is a number, and None is none."""

    def __init__(self):
        self.done, self.known, self.new = {}, {}, 0

    def begin(self, number, faults):
        """A call of send() begins, and its next requests have these faults."""
        self.title, self.faults, self.keys, self.pauses, self.created = f"Order {number}", list(faults), [], [], 0

    def new_key(self):
        self.new += 1
        return self.new

    def post(self, key):
        """The status and the seconds to wait, or None. Raises `NotReached`."""
        self.keys.append(0 if key is None else self.known.setdefault(key, len(self.known) + 1))
        if len(self.keys) > MOST:
            raise Endless
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "refused":
            raise NotReached
        status, _, after = fault.partition(" after ")
        if status.isdecimal():
            return status, float(after) if after else None
        if key is None:
            return "400", None
        if key not in self.done:
            self.done[key], self.created = self.title, self.created + 1
        if self.done[key] != self.title:
            return "422", None
        if fault == "lost":
            raise NotReached
        return "200", None


def passing(rng):
    """One to three calls, each of which comes through at last."""
    return [[[fault(rng) for _ in range(rng.randrange(TRIES))] for _ in range(rng.randrange(1, 4))]]


def lasting(rng):
    """A call that does not come through, or just so, and perhaps another one after it."""
    if rng.random() < 0.5:
        faults = [fault(rng) for _ in range(rng.randrange(3))] + [rng.choice(REFUSED)]
    else:
        faults = [fault(rng) for _ in range(TRIES + rng.choice([0, 0, 1, 2]))]
    return [[faults, *([[]] if rng.random() < 0.5 else [])]]


def fault(rng):
    status = rng.choice(["409", "429", "503", "503"])
    return rng.choice(["lost", "lost", "refused", status, f"{status} after {rng.randrange(1, 10)}"])


def played(send):
    """What comes of the calls when this is how they send."""

    def play(calls):
        server = Server()
        return [told(send, server, number, faults) for number, faults in enumerate(calls, 1)]

    return play


def told(send, server, number, faults):
    server.begin(number, faults)
    try:
        end = send(server)
    except NotReached:
        end = "TransportError"
    except Endless:
        end = "never"
    else:
        end = [f"id of {server.done[end]}"] if isinstance(end, int) else end
    pauses = server.pauses[: 4 if end == "never" else None]
    return {"keys": server.keys, "created": server.created, "pauses": pauses, "end": end}


def sender(key=Server.new_key, tries=TRIES, passes=PASS, catches=True, pauses=(0.5, 1.0, 2.0, 4.0), heeds=True, **end):
    """A way to send: `key` makes one, at first or for `each` try; `passes` are statuses that are tried again."""

    def send(server):
        own = key(server)
        for number in range(tries):
            own = key(server) if "each" in end and number else own
            last = number == tries - 1
            after = None
            try:
                status, after = server.post(own)
            except NotReached:
                if not catches:
                    raise
                status = "no answer"
            if status == "200":
                return own
            if status != "no answer" and status not in passes:
                return "HTTPStatusError"
            if pauses and (not last or "last_pause" in end):
                server.pauses.append(after if after and heeds else pauses[min(number, len(pauses) - 1)])
        if "silent" in end:
            return None
        return "TransportError" if status == "no answer" else "HTTPStatusError"

    return played(send)


answer = sender()
new_key = sender(each=True)
constant_key = sender(key=lambda server: 0)
no_key = sender(key=lambda server: None)
one_try = sender(tries=1)
statuses_only = sender(catches=False)
transport_only = sender(passes=())
not_409 = sender(passes=PASS[1:])
all_statuses = sender(passes=PASS + REFUSED)
endless = sender(tries=MOST + 1, pauses=tuple(0.5 * 2**number for number in range(MOST)))
hurried = sender(pauses=())
even = sender(pauses=(0.5,))
unheeding = sender(heeds=False)
last_pause = sender(last_pause=True, pauses=(0.5, 1.0, 2.0, 4.0, 8.0))
silent = sender(silent=True)
silent_at_last = sender(silent=True, last_pause=True, pauses=(0.5, 1.0, 2.0, 4.0, 8.0))


def sleeps(calls):
    """As the notebook's sleep does, when a call comes to one."""
    right = answer(calls)
    if any(one["pauses"] for one in right):
        raise RuntimeError
    return right
