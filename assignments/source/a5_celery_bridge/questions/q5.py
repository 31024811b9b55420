"""What comes of payments that are delivered again, by how their effect is kept apart from its second time."""

from collections import Counter

NAMES = ["ada", "grace", "mary", "joan"]


def bank(rng):
    accounts = {name: rng.randrange(100, 1000) for name in rng.sample(NAMES, 2)}
    tasks = [[f"task-{rng.getrandbits(32):08x}", rng.choice(list(accounts)), rng.randrange(1, 90)] for _ in range(3)]
    return accounts, tasks


def in_turn(rng):
    """Two tasks with the same content, one that comes again at once, and all again in another process."""
    accounts, tasks = bank(rng)
    tasks.append([f"task-{rng.getrandbits(32):08x}", *tasks[0][1:]])
    return [{"how": "in turn", "accounts": accounts, "tasks": [*tasks, tasks[1], None, *tasks]}]


def killed(rng):
    accounts, tasks = bank(rng)
    return [{"how": "killed", "accounts": accounts, "tasks": tasks[:1]}]


def together(rng):
    return [{**killed(rng)[0], "how": "together"}]


def paid(case, tasks):
    """The balances when each of these is paid."""
    balances = dict(case["accounts"])
    for _, account, amount in tasks:
        balances[account] += amount
    return balances


def outcomes(case, *times):
    """What may come of the one task: that it is paid so often."""
    found = [paid(case, case["tasks"] * often) for often in times]
    return sorted(found, key=lambda balances: sorted(balances.items()))


def first_of(case, key=lambda task: task[0]):
    """The tasks of which none with the same key has come before."""
    found = {}
    for task in filter(None, case["tasks"]):
        found.setdefault(key(task), task)
    return list(found.values())


def of_way(case, *, turn=None, dies=(1,), beside=(1,)):
    if case["how"] == "in turn":
        return [paid(case, first_of(case) if turn is None else turn)]
    return outcomes(case, *(dies if case["how"] == "killed" else beside))


def answer(case):
    return of_way(case)


def never_acknowledged(case):
    """What finds its mark raises an error."""
    times = Counter(task[0] for task in case["tasks"] if task)
    again = [task_id for task_id, often in times.items() if often > 1]
    return [balances | ({"come again for ever": again} if again else {}) for balances in of_way(case)]


def unmarked(case):
    return of_way(case, turn=[task for task in case["tasks"] if task], dies=(1, 2), beside=(2,))


def in_memory(case):
    """One process remembers what it has done."""
    times = Counter()
    process = 0
    for task in case["tasks"]:
        process += task is None
        if task is not None:
            times[(process, *task)] = 1
    return of_way(case, turn=[list(task) for _, *task in times], dies=(1, 2), beside=(2,))


def mark_first(case):
    return of_way(case, dies=(0, 1))


def effect_first(case):
    return of_way(case, dies=(1, 2), beside=(1, 2))


def looked_first(case):
    return of_way(case, beside=(1, 2))


def by_content(case):
    return of_way(case, turn=first_of(case, lambda task: tuple(task[1:])))


def by_account(case):
    return of_way(case, turn=first_of(case, lambda task: task[1]))


def uncommitted(case):
    return of_way(case, turn=[], dies=(0,), beside=(0,))


def absolute(case):
    """The amount is the new balance."""
    turn = first_of(case)
    if case["how"] == "in turn":
        return [case["accounts"] | {account: amount for _, account, amount in turn}]
    return [case["accounts"] | {account: amount for _, account, amount in case["tasks"]}]
