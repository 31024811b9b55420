"""Dispatchers, bridges, Celery's workers and Redis are killed: nothing is lost, and every effect is had once."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from labkit.dispatch.dispatcher import BATCH
from labkit.faults import effects
from labkit.faults.checker import check
from labkit.faults.deployment import DispatchFault
from labkit.faults.dispatch_run import dispatch_under_faults
from labkit.faults.testbed import DispatchLoad, Testbed
from labkit.faults.verdict import DEAD_TWICE, DUPLICATE, EFFECT_TWICE, LOST
from labkit.taskqueue.timeouts import wait_until

PLANTED = "tests.integration.faults.planted"
IMPORTS = f"{effects.__name__},{PLANTED}.kinds"
#: So few that none of them is to become a dead letter; and so many that one of each sort is.
TASKS, MORE = 20, 60
FAULTS: list[DispatchFault] = ["kill celery worker", "kill dispatcher", "kill redis", "kill celery worker"]


@pytest.fixture
def bridge(own_lab, tmp_path):
    """Makes the scene of a bridge for tasks of a kind."""

    @contextmanager
    def make(**load):
        # Redis loses nothing here, so nothing is to be delivered again because a worker is slow
        load = {"tasks": TASKS, "classes": (), "seconds": 0.0, "visibility_timeout": 3600.0} | load
        scene = Testbed(own_lab, DispatchLoad(**load), tmp_path / "effects.sqlite")
        with scene.set_up():
            yield scene

    return make


def let_it_die(scene: Testbed, planted: str) -> None:
    """Start a dispatcher that kills itself when it has tasks, and give it some."""
    dying = scene.dispatcher(imports=f"{IMPORTS},{PLANTED}.{planted}")
    dying.start()
    scene.produce(TASKS)
    wait_until(lambda: not dying.alive(), timeout=120, what="the dispatcher was to kill itself")
    dying.kill()


def go_on(scene: Testbed) -> None:
    """Another dispatcher and a worker do what is left."""
    with scene.dispatcher(imports=IMPORTS), scene.worker("threads", imports=IMPORTS):
        wait_until(scene.is_done, timeout=120, what="Celery was to finish all tasks")


def test_nothing_is_lost_and_effects_are_had_once_whoever_is_killed(own_lab):
    run = dispatch_under_faults(own_lab, DispatchLoad(tasks=500, seconds=0.03), FAULTS, seed=1)
    print(run.verdicts, f"{run.seconds:.1f} s")
    assert run.ok, run.verdicts
    assert (run.tasks, run.lost, run.double_effects) == (500, 0, 0)
    assert run.dead == 10  # five that nobody handles, five that always fail
    assert run.in_vain == 0


@pytest.mark.long
@pytest.mark.parametrize("kind", ["effect", "guarded"])
def test_what_is_sent_twice_has_one_effect(bridge, kind):
    with bridge(kind=kind) as scene:
        let_it_die(scene, "dies_before_commit")
        sent, lag = scene.queued(), scene.lag()
        assert 0 < sent <= min(TASKS, BATCH)
        assert lag == TASKS  # so all of them are sent again
        go_on(scene)
        (history,) = scene.histories().values()
        assert scene.effects() == TASKS
    assert check(history).ok(allow=())


@pytest.mark.long
def test_a_handler_that_recognises_nothing_is_found_out(bridge):
    with bridge(kind="careless", session_timeout=10.0) as scene:  # one that is out sends again what it has sent
        let_it_die(scene, "dies_before_commit")
        sent = scene.queued()
        go_on(scene)
        (history,) = scene.histories().values()
    counts = check(history).counts
    assert (counts[LOST], counts[EFFECT_TWICE]) == (0, sent)


@pytest.mark.long
def test_a_bridge_that_commits_before_it_sends_is_found_out(bridge):
    with bridge() as scene:
        let_it_die(scene, "commits_before_sending")
        lost = TASKS - scene.lag()
        assert lost > 0
        assert scene.queued() == 0
        go_on(scene)
        (history,) = scene.histories().values()
    verdict = check(history)
    assert (verdict.counts[LOST], verdict.counts[EFFECT_TWICE]) == (lost, 0)
    assert "was committed as done" in str(verdict)


@pytest.mark.long
@pytest.mark.parametrize("classes", [("high", "low"), ()], ids=["dispatcher", "bridge"])
def test_without_redis_it_keeps_its_place_says_so_once_and_goes_on_by_itself(own_lab, tmp_path, classes):
    load = DispatchLoad(tasks=TASKS + MORE, classes=classes, seconds=0.0, visibility_timeout=10.0)
    scene = Testbed(own_lab, load, tmp_path / "effects.sqlite")
    with scene.set_up(), scene.worker("threads"), scene.dispatcher(log_dir=tmp_path) as dispatcher:
        scene.produce(TASKS)
        wait_until(scene.is_done, timeout=120, what="the first tasks were to be done")
        own_lab.kill_redis()
        scene.produce(MORE)  # one is of a kind that nobody handles
        wait_until(lambda: said(tmp_path, "waits for Redis") > 0, timeout=120, what="the dispatcher was to say so")
        dispatcher.check()
        assert scene.lag() == MORE
        own_lab.restart_redis()
        wait_until(scene.is_done, timeout=120, what="it was to go on")
        dispatcher.check()
        verdicts = {topic: check(history) for topic, history in scene.histories().items()}
    # Redis gives a task to another worker when its visibility time-out is over, and a slow machine may be slower than
    # any: so a task may be finished again and its letter written again. Its effect and its place are kept all the same.
    assert all(verdict.ok(allow=(DUPLICATE, DEAD_TWICE)) for verdict in verdicts.values()), verdicts
    assert (said(tmp_path, "waits for Redis"), said(tmp_path, "goes on: Redis answers again")) == (1, 1)


def said(folder: Path, words: str) -> int:
    """How many lines of the log hold these words."""
    return sum(
        words in line for log in folder.rglob("dispatcher.log") for line in log.read_text(encoding="utf-8").splitlines()
    )


@pytest.mark.long
def test_the_processes_of_a_killed_worker_end_in_the_middle_of_their_tasks(bridge, own_lab):
    with bridge(seconds=60.0, concurrency=2) as scene, scene.dispatcher(), scene.worker("prefork") as worker:
        pool = psutil.Process(worker.pid).children(recursive=True)
        scene.produce(4)
        wait_until(lambda: scene.queued() == 4, timeout=120, what="the tasks were to be sent")
        worker.kill()
        _, alive = psutil.wait_procs(pool, timeout=120)
        assert len(pool) >= 2
        assert alive == []
    with redis.Redis.from_url(own_lab.redis_url) as client:
        client.flushall()  # nobody is to wait for these tasks
