"""Where tasks go."""

import random
import subprocess
import sys
from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as murmur2_of_kafka_python

from labkit.errors import LabkitError, SettingsError
from labkit.taskqueue.partitioners import (
    PARTITIONERS,
    STICKY_BATCH,
    key_hash,
    make_partitioner,
    murmur2,
    naive,
    naive_in_new_process,
    partitioner_names,
    round_robin,
    sticky,
)
from labkit.taskqueue.partitioners import random as at_random


# the first six stand in Kafka's own UtilsTest; the others were computed by its Utils.murmur2, 4.4.0
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
        (b"", 275646681),
        (b"a", -1563381124),
        (b"ab", 316155434),
        (b"abcd", -1323649548),
        (b"key-0", 29210041),
        ("Zürich".encode(), -1551140815),
        (b"\xff\xfe\xfd", 998637092),
        (bytes(range(256)), -1948347274),
    ],
)
def test_murmur2_is_that_of_java(data, expected):
    assert murmur2(data) == expected


def test_murmur2_of_many_keys_is_that_of_java():
    checksum = 0  # as in Java: sum = sum * 31 + murmur2("key-" + i), in a long
    for number in range(10_000):
        checksum = checksum * 31 + murmur2(f"key-{number}".encode()) & 0xFFFF_FFFF_FFFF_FFFF
    assert checksum == -6834933878394171568 & 0xFFFF_FFFF_FFFF_FFFF


@given(st.binary(max_size=100))
def test_murmur2_is_that_of_kafka_python(data):
    assert murmur2(data) & 0xFFFFFFFF == murmur2_of_kafka_python(data)


@pytest.mark.parametrize(("key", "partition"), [(b"key-0", 0), (b"key-1", 5), (b"key-42", 3), (b"21", 3), (b"a", 5)])
def test_a_key_goes_where_java_puts_it(key, partition):
    assert key_hash()(key, 7) == partition


@pytest.mark.parametrize("name", PARTITIONERS)
@given(keys=st.lists(st.none() | st.binary(max_size=8)), partitions=st.integers(1, 12), seed=st.integers())
def test_every_partition_exists(name, keys, partitions, seed):
    partition_of = PARTITIONERS[name](random.Random(seed))
    assert all(0 <= partition_of(key, partitions) < partitions for key in keys)


@pytest.mark.parametrize("name", PARTITIONERS)
def test_a_topic_may_grow(name):
    partition_of = PARTITIONERS[name](random.Random(1))
    keys = [b"%d" % number for number in range(1000)]
    assert {partition_of(key, 2) for key in keys} == {0, 1}
    assert {partition_of(key, 5) for key in keys} == {0, 1, 2, 3, 4}
    assert {partition_of(key, 1) for key in keys} == {0}


@pytest.mark.parametrize("name", ["sticky", "random"])
def test_a_seed_repeats_the_choices(name):
    def choices(seed):
        partition_of = PARTITIONERS[name](random.Random(seed))
        return [partition_of(None, 9) for _ in range(1000)]

    assert choices(1) == choices(1)
    assert choices(1) != choices(2)


def test_without_a_key_the_hash_leaves_the_choice_to_another():
    partition_of = key_hash(unkeyed=round_robin())
    assert [partition_of(None, 3) for _ in range(4)] == [0, 1, 2, 0]
    assert [partition_of(b"21", 7), partition_of(None, 3)] == [3, 1]


def test_without_a_key_the_hash_sticks():
    partition_of = key_hash()
    assert len({partition_of(None, 1000) for _ in range(STICKY_BATCH)}) == 1


def test_round_robin_takes_turns_whatever_the_key():
    partition_of = round_robin()
    assert [partition_of(key, 3) for key in (b"a", b"a", None, b"a", b"b")] == [0, 1, 2, 0, 1]


def test_two_round_robins_do_not_disturb_each_other():
    one, other = round_robin(), round_robin()
    assert [one(None, 2), other(None, 2), one(None, 2), other(None, 2)] == [0, 0, 1, 1]


def test_sticky_fills_a_batch_and_moves_on():
    partition_of = sticky(random.Random(1), batch=5)
    runs = [(partition, len(list(run))) for partition, run in groupby(partition_of(None, 4) for _ in range(500))]
    assert {length for _, length in runs} == {5}
    assert {partition for partition, _ in runs} == {0, 1, 2, 3}


def test_sticky_leaves_a_partition_that_is_gone():
    partition_of = sticky(random.Random(1), batch=100)
    assert partition_of(None, 10) > 0
    assert partition_of(None, 1) == 0


@pytest.mark.parametrize("make", [at_random, lambda rng: sticky(rng, batch=1)])
def test_chance_spreads_evenly(make):
    partition_of = make(random.Random(3))
    counts = Counter(partition_of(None, 4) for _ in range(40_000))
    # four standard deviations of a binomial count: 4 * sqrt(40000 * 1/4 * 3/4)
    assert all(abs(count - 10_000) < 347 for count in counts.values())


def test_the_naive_one_is_right_within_one_process():
    partition_of = naive()
    assert partition_of(b"customer-7", 6) == hash(b"customer-7") % 6 == partition_of(b"customer-7", 6)


def test_the_naive_ones_of_two_processes_disagree():
    keys = [b"customer-%d" % number for number in range(64)]
    one = naive_in_new_process(keys, 6, hash_seed=1)
    assert one == naive_in_new_process(keys, 6, hash_seed=1)
    assert one != naive_in_new_process(keys, 6, hash_seed=2)
    assert naive_in_new_process(keys, 6) != naive_in_new_process(keys, 6)
    assert {0 <= partition < 6 for partition in one} == {True}


def test_the_partitioners_come_without_kafka():
    """They serve notebooks and simulations that have no broker."""
    code = "import sys, labkit.taskqueue.partitioners; sys.exit(len({'kafka', 'confluent_kafka'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


OWN = """
def by_length(rng):
    return lambda key, partitions: len(key or b"") % partitions

def failing(rng):
    return lambda key, partitions: partitions // len(key)

def plain(key, partitions):
    return 0

nothing = 3
never = lambda rng: None
"""


@pytest.fixture
def own(own_distribution):
    own_distribution("own_partitioners", OWN, "labkit.partitioners", "length = own_partitioners:by_length [fast]")


@pytest.mark.parametrize("name", ["length", "own_partitioners:by_length"])
def test_one_of_somebody_else_s_is_made_by_its_place_or_its_entry_point(own, name):
    partition_of = make_partitioner(name, random.Random(1))
    assert [partition_of(key, 3) for key in (None, b"ab", b"abcd")] == [0, 2, 1]
    assert partitioner_names() == sorted({*PARTITIONERS, "length"})


def test_labkit_s_own_are_made_by_name():
    assert make_partitioner("key_hash", random.Random(1))(b"21", 7) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("key_hsh", "no partitioner 'key_hsh'; there are key_hash, length, .* Did you mean 'key_hash'"),
        ("lenght", "Did you mean 'length'"),
        ("no_such_module:f", "'no_such_module:f' could not be imported: No module named"),
        ("own_partitioners:by_lenght", "no attribute 'by_lenght'"),
        (
            "own_partitioners:plain",
            r"'own_partitioners:plain' raised TypeError: [^(]*\(\) missing .* It is made by a func",
        ),
        ("own_partitioners:nothing", "raised TypeError: 'int' object is not callable. It is made by"),
        ("own_partitioners:never", "is made as None. It is made by a function"),
    ],
)
def test_what_is_wrong_with_one_of_somebody_else_s_is_a_sentence(own, name, message):
    with pytest.raises(SettingsError, match=message) as failed:
        make_partitioner(name, random.Random(1))
    assert "labkit/taskqueue" not in str(failed.value)


def test_what_one_of_somebody_else_s_raises_names_it_and_the_place(own):
    partition_of = make_partitioner("own_partitioners:failing", random.Random(1))
    assert partition_of(b"a", 3) == 3
    with pytest.raises(
        LabkitError, match=r"'own_partitioners:failing' raised TypeError: .*own_partitioners\.py, line 6"
    ):
        partition_of(None, 3)
