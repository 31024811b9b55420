"""What an error says about Redis, and what about the command."""

from __future__ import annotations

import logging

import pytest
import redis
from redis._parsers.base import BaseParser

from labkit.errors import RedisRefused, RedisUnreachable, SettingsError
from labkit.redis_state import Refusals, asked, is_away, redis_client, state_of
from tests.unit.failover import ANSWERS, failover_server

#: As Redis 6.2, 7 and Valkey send them.
AWAY = {
    "LOADING Redis is loading the dataset in memory": "loading",
    "OOM command not allowed when used memory > 'maxmemory'.": "full",
    "OOM command not allowed when used memory > 'maxmemory'. script: f_3, on @user_script:7.": "full",
    "ERR Error running script (call to f_3): @user_script:7: @user_script: 7: -OOM command not allowed": "full",
    "READONLY You can't write against a read only replica.": "replica",
    "ERR Error running script (call to f_3): @user_script:1: @user_script: 1: -READONLY You can't": "replica",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "busy",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)": "replica",
    "MISCONF Redis is configured to save RDB snapshots, but it is currently not able to": "save",
    "NOREPLICAS Not enough good replicas to write.": "replicas",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "master",
    "CLUSTERDOWN The cluster is down": "cluster",
    "TRYAGAIN Multiple keys request during rehashing of slot": "cluster",
    "NOSCRIPT No matching script. Please use EVAL.": "scripts",
    "EXECABORT Transaction discarded because of previous errors.": "transaction",
    "NOAUTH Authentication required.": "password",
    "WRONGPASS invalid username-password pair or user is disabled.": "password",
    "NOPERM this user has no permissions to run the 'set' command": "user",
    "ERR max number of clients reached": "answer",
}
ABOUT_THE_COMMAND = [
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR unknown command 'FLY'",
    "BUSYGROUP Consumer Group name already exists",
    "BUSYKEY Target key name already exists.",
    "ERR Error compiling script (new function): user_script:1: unexpected symbol",
]


@pytest.mark.parametrize(("answer", "word"), AWAY.items())
def test_a_state_of_redis_is_told_in_words(answer, word):
    error = BaseParser.parse_error(answer)
    assert word in (state_of(error) or "")
    with (
        pytest.raises(RedisUnreachable, match=rf"The key could not be read, since Redis .*{word}"),
        asked("The key could not be read"),
    ):
        raise error


@pytest.mark.parametrize("answer", AWAY)
def test_the_same_within_a_pipeline(answer):
    error = BaseParser.parse_error(answer)
    with redis.Redis().pipeline() as pipe:
        pipe.annotate_exception(error, 1, ("SET", "key", "value"))
    assert is_away(error)


@pytest.mark.parametrize(
    "error", [redis.TimeoutError("frozen"), redis.ConnectionError("refused"), redis.InvalidResponse]
)
def test_without_an_answer_it_is_away_too(error):
    with pytest.raises(RedisUnreachable), asked("The key could not be read"):
        raise error


@pytest.mark.parametrize("answer", ABOUT_THE_COMMAND)
def test_what_is_wrong_with_a_command_is_no_outage(answer):
    error = BaseParser.parse_error(answer)
    assert not is_away(error)
    with (
        pytest.raises(RedisRefused, match="The key could not be read, since Redis refuses it: ") as refused,
        asked("The key could not be read"),
    ):
        raise error
    assert ("LABKIT_TOPIC_PREFIX" in str(refused.value)) is answer.startswith("WRONGTYPE")


def test_what_is_refused_is_said_once_for_each_thing_that_comes_of_it(caplog):
    refusals = Refusals(logging.getLogger("labkit.worker"))
    for number in range(3):
        for therefore in ("records are missing", "it is not counted"):
            refusals.say(RedisRefused(f"Key {number} could not be read."), therefore)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert ["Key 0" in record.getMessage() for record in caplog.records] == [True, True]


def test_other_errors_say_nothing_of_redis():
    assert not is_away(OSError("LOADING"))


def test_what_is_no_url_of_a_redis():
    with pytest.raises(SettingsError, match="'localhost'"):
        redis_client("localhost")


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_who_has_an_old_connection_finds_the_new_master_behind_the_same_address(answer):
    with failover_server(answer) as server, redis_client(server.url) as client:
        for _ in range(2):
            assert client.echo("a") == b"OK"
            server.fail_over()
            assert client.echo("a") == b"OK"
            with client.pipeline(transaction=False) as pipe:
                server.fail_over()
                assert pipe.echo("a").echo("b").execute() == [b"OK"] * 2


def test_a_replica_that_no_other_has_followed_is_asked_twice_and_away():
    with failover_server(ANSWERS["redis 7"]) as server, redis_client(server.url) as client:
        server.failed_over_at = 100
        for number in (2, 3):
            with pytest.raises(redis.ReadOnlyError):
                client.echo("a")
            assert server.connections == number
