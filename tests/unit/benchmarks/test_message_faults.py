"""The judge of runs with pollers that are killed: it sees what is wrong."""

from __future__ import annotations

from benchmarks.message_faults import held, judge


def got(message: str, token: str, until: float) -> dict[str, object]:
    return {"got": message, "token": token, "until": until, "deliveries": 1}


def acked(message: str, token: str) -> dict[str, object]:
    return {"acked": message, "token": token}


def run(*reports, created=("m",), done=()):
    return judge(created, reports, set(done), lease=2.0, seconds=1.0)


def test_a_run_in_order() -> None:
    found = run(got("m", "1", 10.0), got("m", "2", 12.0), acked("m", "2"))
    assert (found.lost, found.shared, found.after, found.again) == ((), (), (), 1)


def test_a_message_that_nobody_acknowledged_is_lost() -> None:
    assert run(got("m", "1", 10.0)).lost == ("m",)
    assert run().lost == ("m",)


def test_one_whose_poller_died_before_it_could_say_so_is_not() -> None:
    assert run(got("m", "1", 10.0), done=["m"]).lost == ()
    assert run(done=["m"]).lost == ("m",)


def test_two_within_a_lease_are_seen() -> None:
    assert run(got("m", "2", 11.9), got("m", "1", 10.0), acked("m", "2")).shared == ("m",)


def test_a_delivery_after_it_was_done_is_seen() -> None:
    assert run(got("m", "1", 10.0), acked("m", "1"), got("m", "2", 12.5)).after == ("m",)


def test_a_process_holds_what_it_has_got_and_not_acknowledged() -> None:
    assert held([got("m", "1", 10.0), got("n", "2", 10.0), acked("m", "1")]) == {"2"}
