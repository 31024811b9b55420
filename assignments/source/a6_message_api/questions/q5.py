"""A table of leases: the model, what is drawn, and the ways to get it wrong, each as a table."""

SET_BACK = 3600.0


class World:
    """The clock that is handed in and the computer's own, in seconds."""

    def __init__(self):
        self.now, self.wall = 100.0, 1.7e9


class Table:
    """The model. Messages are names; a token is the number of its delivery, from 1 on."""

    secrecy = "new each time"

    def __init__(self, lease, world):
        self.lease, self.world = lease, world
        self.waiting, self.leases, self.done, self.number = [], {}, {}, 0

    def now(self):
        return self.world.now

    def put(self, name):
        if name not in self.waiting and name not in self.done:
            self.waiting.append(name)

    def poll(self):
        """The next message and its token, or None."""
        self.expire()
        for name in self.order():
            if self.is_free(name):
                self.number += 1
                self.leases[name] = (self.token(name), self.now() + self.lease)
                return name, self.leases[name][0]
        return None

    def ack(self, name, token):
        """Whether it counts."""
        if self.is_done(name, token):
            return True
        if not self.holds(name, token):
            return False
        self.settle(name, token)
        return True

    def expire(self):
        pass

    def order(self):
        return list(self.waiting)

    def token(self, name):
        return self.number

    def is_over(self, end):
        return end <= self.now()

    def is_free(self, name):
        return name not in self.leases or self.is_over(self.leases[name][1])

    def is_done(self, name, token):
        return name in self.done and self.done[name] == token

    def holds(self, name, token):
        held, end = self.leases.get(name, (None, 0.0))
        return held == token and not self.is_over(end)

    def settle(self, name, token):
        self.waiting.remove(name)
        del self.leases[name]
        self.done[name] = token


def played(table):
    """What polls and acknowledgements answer in a table of this class."""

    def play(steps, lease):
        world = World()
        mine, given, answers = table(lease, world), [], []
        for step in steps:
            what, _, rest = step.partition(" ")
            if what == "put":
                mine.put(rest)
            elif what == "poll":
                found = mine.poll()
                given += [found] if found else []
                answers.append(found[0] if found else None)
            elif what == "ack":
                answers.append(acknowledged(mine, given, *map(int, rest.split(" by "))))
            elif what == "wait":
                world.now, world.wall = world.now + float(rest), world.wall + float(rest)
            elif what == "set":
                world.wall -= SET_BACK
            else:
                answers.append(table.secrecy)
        return answers

    return play


def acknowledged(table, given, number, by=None):
    """Of the delivery of this number, with its token or that of another one."""
    if max(number, by or 0) > len(given):
        return "no such delivery"
    return table.ack(given[number - 1][0], given[(by or number) - 1][1])


def walk(rng, steps, **weights):
    """Steps in some order, of which the model has made each, so that deliveries are acknowledged that there were."""
    lease, world, given, taken, new = rng.choice([4, 10, 30]), World(), [], [], 0
    model = Table(lease, world)
    for what in ["put", *rng.choices(list(weights), list(weights.values()), k=steps)]:
        if what == "poll":
            found = model.poll()
            given += [found] if found else []
            taken.append("poll")
        elif what == "wait":
            seconds = rng.choice([1, lease // 2, lease - 1, lease, lease + 1])
            world.now += seconds
            taken.append(f"wait {seconds}")
        elif what in ("put", "again"):
            new += what == "put"
            name = f"m{new if what == 'put' else rng.randrange(1, new + 1)}"
            model.put(name)
            taken.append(f"put {name}")
        elif given:
            numbers = rng.choices(range(1, len(given) + 1), k={"ack": 0, "old": 1, "other": 2}[what]) or [len(given)]
            acknowledged(model, given, *numbers)
            taken.append("ack " + " by ".join(map(str, numbers)))
    return taken, lease


def polled(rng):
    return walk(rng, 18, put=3, poll=6, wait=4, ack=2)


def acknowledged_by(rng):
    return walk(rng, 24, put=2, poll=5, wait=3, ack=3, old=4, other=2)


def repeated(rng):
    return walk(rng, 20, put=2, again=5, poll=5, wait=2, ack=3)


def set_back(rng):
    """A lease ends, though the computer's clock was set back meanwhile."""
    lease, early = rng.choice([10, 30]), rng.randrange(1, 8)
    others = [f"put m{number}" for number in range(rng.randrange(4))]
    return ["put a", "poll", f"wait {early}", "set back", *others, f"wait {lease - early}", "poll", "poll"], lease


class NotLeased(Table):
    def is_free(self, name):
        return True


class DeletedByPoll(Table):
    def poll(self):
        if not self.waiting:
            return None
        name, self.number = self.waiting.pop(0), self.number + 1
        self.leases[name] = (self.number, 0.0)
        return name, self.number

    def is_over(self, end):
        return False

    def is_done(self, name, token):
        return False

    def settle(self, name, token):
        self.done[name] = token


class EndlessLease(Table):
    def is_over(self, end):
        return False


class DeletedByExpiry(Table):
    def expire(self):
        for name, (_, end) in list(self.leases.items()):
            if self.is_over(end):
                self.waiting.remove(name)
                del self.leases[name]


class OneMomentLong(Table):
    def is_over(self, end):
        return end < self.now()


class ComesLast(Table):
    def expire(self):
        for name, (_, end) in list(self.leases.items()):
            if self.is_over(end):
                self.waiting.remove(name)
                self.waiting.append(name)
                del self.leases[name]


class NewestFirst(Table):
    def order(self):
        return self.waiting[::-1]


class AnyToken(Table):
    def is_done(self, name, token):
        return name in self.done

    def holds(self, name, token):
        return name in self.leases and not self.is_over(self.leases[name][1])


class LateAck(Table):
    def holds(self, name, token):
        return name in self.leases and self.leases[name][0] == token


class OneAck(Table):
    def is_done(self, name, token):
        return False


class VoidAckDeletes(Table):
    def ack(self, name, token):
        if self.is_done(name, token):
            return True
        held, end = self.leases.pop(name, (None, 0.0))
        if held != token or self.is_over(end):
            return False
        self.waiting.remove(name)
        self.done[name] = token
        return True


class PutTwice(Table):
    def put(self, name):
        self.waiting.append(name)


class Forgotten(Table):
    def put(self, name):
        if name not in self.waiting:
            self.waiting.append(name)


class NothingKept(Forgotten, OneAck):
    pass


class PutEndsLease(Table):
    def put(self, name):
        super().put(name)
        self.leases.pop(name, None)


class WallClock(Table):
    def now(self):
        return self.world.wall


class SameToken(Table):
    secrecy = "used before"

    def token(self, name):
        return name


class Guessable(Table):
    secrecy = "can be guessed"


answer = played(Table)
not_leased = played(NotLeased)
deleted_by_poll = played(DeletedByPoll)
endless_lease = played(EndlessLease)
deleted_by_expiry = played(DeletedByExpiry)
one_moment_long = played(OneMomentLong)
comes_last = played(ComesLast)
newest_first = played(NewestFirst)
any_token = played(AnyToken)
late_ack = played(LateAck)
one_ack = played(OneAck)
void_ack_deletes = played(VoidAckDeletes)
put_twice = played(PutTwice)
forgotten = played(Forgotten)
nothing_kept = played(NothingKept)
put_ends_lease = played(PutEndsLease)
wall_clock = played(WallClock)
same_token = played(SameToken)
guessable = played(Guessable)
