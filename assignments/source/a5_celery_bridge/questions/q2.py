"""What a worker holds back from another one, by the student's numbers, and the ways to count it wrong."""

from math import ceil
from random import Random


def drawn(student):
    """The processes of a worker, the multiplier, the seconds of a task, and how many there are."""
    draw = Random(f"{student} holds")
    processes, multiplier, seconds = draw.randrange(2, 6), draw.randrange(4, 9), draw.randrange(20, 60)
    tasks = multiplier * processes + draw.randrange(processes + 1, (multiplier - 2) * processes)
    return processes, multiplier, seconds, tasks - (tasks % (2 * processes) == 0)


def told(student, **changed):
    processes, multiplier, seconds, tasks = drawn(student)
    fair = ceil(tasks / (2 * processes)) * seconds
    return {"first": multiplier * processes, "last": multiplier * seconds, "fair": fair} | changed


def measure(rng, student):
    return told(student)


def processes_forgotten(rng, student):
    processes, multiplier, seconds, tasks = drawn(student)
    return told(student, first=multiplier, last=ceil((tasks - multiplier) / processes) * seconds)


def one_by_one(rng, student):
    _, _, seconds, tasks = drawn(student)
    right = told(student)
    return told(student, last=right["first"] * seconds, fair=ceil(tasks / 2) * seconds)


def running_not_counted(rng, student):
    processes, multiplier, seconds, tasks = drawn(student)
    first = min(tasks, (multiplier + 1) * processes)
    return told(student, first=first, last=ceil(first / processes) * seconds)


def shared_evenly(rng, student):
    _, _, _, tasks = drawn(student)
    right = told(student)
    return told(student, first=ceil(tasks / 2), last=right["fair"])


def all_taken(rng, student):
    processes, _, seconds, tasks = drawn(student)
    return told(student, first=tasks, last=ceil(tasks / processes) * seconds)


def begun(rng, student):
    seconds, right = drawn(student)[2], told(student)
    return told(student, last=right["last"] - seconds, fair=right["fair"] - seconds)


def in_part(rng, student):
    processes, _, seconds, tasks = drawn(student)
    return told(student, fair=tasks / (2 * processes) * seconds)


def one_worker(rng, student):
    processes, _, seconds, tasks = drawn(student)
    return told(student, fair=ceil(tasks / processes) * seconds)
