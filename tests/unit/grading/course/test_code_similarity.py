"""Answers that are alike, by their code."""

from __future__ import annotations

from itertools import product

import pytest

from labkit.grading.course.code_similarity import LEAST_CODE, MOST_ANSWERS, MOST_CODE, similar_answers

RELEASED = '''
def send_all(servers, topic, records):
    """Send each, and return where it is."""
    raise NotImplementedError
'''
ANSWER = '''
def send_all(servers, topic, records):
    """Send each, and return where it is."""
    places = []
    client = KafkaProducer(bootstrap_servers=servers, acks="all", retries=5)
    for number in range(len(records)):
        name, content = records[number]
        data = json.dumps(content, sort_keys=True).encode("utf-8")
        answer = client.send(topic, key=bytes(name, "utf-8"), value=data).get(timeout=30)
        places.append([answer.partition, answer.offset])
    client.close()
    return places
'''
RENAMED = """
def send_all(servers,topic,records):
  # one after the other
  result=[]
  p = KafkaProducer(bootstrap_servers=servers, acks="all", retries=5)
  for i in range(len(records)):

    k, v = records[i]
    raw = json.dumps(v, sort_keys=True).encode("utf-8")
    r = p.send(topic, key=bytes(k, "utf-8"), value=raw).get(timeout=30)
    result.append([r.partition, r.offset])
  p.close()
  return result
"""
OTHER = '''
def send_all(servers, topic, records):
    """Send each, and return where it is."""
    with closing(Sender({"where": servers, "patience": 60})) as sender:
        under_way = {number: sender.put(topic, *record) for number, record in enumerate(records)}
        while not all(under_way.values()):
            sender.poll(0.1)
        if errors := [one.error for one in under_way.values() if one.failed]:
            raise errors[0]
        return [(under_way[number].partition, under_way[number].offset) for number in sorted(under_way)]
'''


def pairs(answers: dict[str, str], *known: str) -> list[tuple[str, str]]:
    return [(one.first, one.second) for one in similar_answers("q5", answers, known)]


def test_other_names_another_layout_and_comments_change_little() -> None:
    (found,) = similar_answers("q5", {"ben": RENAMED, "ada": ANSWER, "cleo": OTHER}, [RELEASED])
    assert found[:3] == ("q5", "ada", "ben")
    assert found.of_first > 0.9
    assert found.of_second > 0.9


def test_a_part_of_an_answer_is_told_from_the_whole() -> None:
    (found,) = similar_answers("q5", {"ada": ANSWER, "ben": ANSWER + OTHER}, [])
    assert found.of_first == 1
    assert found.of_second < 0.8


def test_what_was_handed_out_is_nobody_s_own() -> None:
    assert pairs({"ada": ANSWER, "ben": ANSWER}) == [("ada", "ben")]
    assert pairs({"ada": ANSWER, "ben": RENAMED}, RELEASED, ANSWER) == []
    released = "\n".join(f"x{n} = y{n}(z, {n}, [w{n} * {n}])" for n in range(200, 230))
    assert pairs({"ada": released + OTHER, "ben": released + ANSWER}) != []
    assert pairs({"ada": released + OTHER, "ben": released + ANSWER}, released) == []


def test_small_changes_of_what_was_handed_out_are_little_code_of_one_s_own() -> None:
    """Each is short, and lies in all passages of 25 characters around it."""
    changed = ANSWER.replace("retries=5", "retries=7").replace("timeout=30", "timeout=60").replace("sort_keys=True", "")
    assert pairs({"ada": changed, "ben": changed}) == [("ada", "ben")]
    assert pairs({"ada": changed, "ben": changed}, RELEASED, ANSWER) == []
    (found,) = similar_answers("q5", {"ada": changed + OTHER, "ben": OTHER + changed}, [RELEASED, ANSWER])
    assert found.less > 0.9
    assert LEAST_CODE < found.first_own < len(OTHER)
    assert LEAST_CODE < found.second_own < len(OTHER)


def test_what_stands_twice_in_an_answer_is_not_taken_for_handed_out() -> None:
    twice = ANSWER + ANSWER
    (found,) = similar_answers("q5", {"ada": twice, "ben": twice}, [OTHER])
    assert (found.of_first, found.of_second) == (1, 1)


def test_what_many_have_is_nobody_s_own() -> None:
    few = {f"s{number:02}": ANSWER for number in range(MOST_ANSWERS)}
    assert len(pairs(few)) == MOST_ANSWERS * (MOST_ANSWERS - 1) // 2
    assert pairs(few | {"one more": RENAMED}) == []


def test_short_answers_are_compared_with_nothing() -> None:
    short = "def double(x):\n    return 2 * x"
    assert len(short) < LEAST_CODE
    assert pairs({"ada": short, "ben": short}) == []


HOSTILE = {
    "nothing": "",
    "blank": " \n\t\n" * 100,
    "one letter": "x",
    "no Python": "¡ <<<>>> ''' \" ` ? $ " * 40,
    "unclosed": '"""' + "f'{" * 200,
    "NUL": "\0" * 500,
    "half of a letter": "\ud800" * 500,
    "brackets": "(" * 20_000,
    "one name": "é" * 20_000,
    "another language": "#include <stdio.h>\nint main() { return 0; }\n" * 20,
}


@pytest.mark.parametrize(("first", "second"), [*product(["no Python", "NUL"], HOSTILE)])
def test_what_is_no_python_is_compared_too(first: str, second: str) -> None:
    found = similar_answers("q5", {"ada": HOSTILE[first], "ben": HOSTILE[second]}, [RELEASED])
    assert bool(found) == (first == second)


def test_a_long_answer_is_compared_as_far_as_a_bound() -> None:
    filler = "".join(f"a{n} = {n} * b\n" for n in range(MOST_CODE))
    assert pairs({"ada": filler + ANSWER, "ben": OTHER + ANSWER}) == []
    assert pairs({"ada": filler, "ben": filler[: 2 * MOST_CODE]}) == [("ada", "ben")]


@pytest.mark.parametrize("answers", [{}, {"ada": ANSWER}])
def test_who_is_alone_is_like_nobody(answers: dict[str, str]) -> None:
    assert pairs(answers) == []


def test_the_order_of_students_and_the_run_change_nothing() -> None:
    answers = {"ada": ANSWER, "ben": RENAMED, "cleo": OTHER + ANSWER, "dan": ANSWER + OTHER}
    found = similar_answers("q5", answers, [RELEASED])
    assert similar_answers("q5", dict(reversed(answers.items())), [RELEASED]) == found
    assert [one.less for one in found] == sorted((one.less for one in found), reverse=True)
