"""What is remembered between two judgements."""

from dataclasses import dataclass

from labkit.backpressure import Action, AdmissionDecision, AdmissionState, QueueView


@dataclass(frozen=True)
class Diary:
    """Lets everything in, and remembers what it saw and when."""

    name = "diary"

    def begin(self):
        return ()

    def judge(self, sight, state, now):
        return AdmissionDecision(action=Action.ADMIT), (*state, (now, sight))


def test_the_strategy_sees_what_the_door_sees_and_keeps_its_state():
    gate = AdmissionState(Diary())
    assert gate.state == ()
    assert gate.judge(1.0, lag=3).action is Action.ADMIT
    gate.judge(2.0, lag=4, rank=1, lowest=2)
    assert gate.state == ((1.0, QueueView(lag=3)), (2.0, QueueView(lag=4, rank=1, lowest=2)))


def test_answers_are_averaged_since_the_last_judgement():
    gate = AdmissionState(Diary())
    gate.answered(1.0)
    gate.answered(4.0)
    gate.judge(5.0, lag=0)
    gate.judge(6.0, lag=0)
    gate.answered(3.0)
    gate.judge(7.0, lag=0)
    assert [(sight.answered, sight.latency) for _, sight in gate.state] == [(2, 2.5), (0, None), (1, 3.0)]
