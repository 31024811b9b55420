"""Counting what was turned away."""

from labkit.measure.turned_away import COLUMNS, TurnedAway, turned_away_frame


def test_one_row_per_moment_action_and_class_in_the_order_of_time():
    given = [(2.0, "shed_newest", 1), (1.0, "refuse", 0), (2.0, "shed_newest", 1), (2.0, "shed_newest", 0)]
    frame = turned_away_frame(TurnedAway(at=at, action=action, priority=rank) for at, action, rank in given)
    assert tuple(frame.columns) == COLUMNS
    assert [tuple(row) for row in frame.itertuples(index=False)] == [
        (1.0, "refuse", 0, 1),
        (2.0, "shed_newest", 0, 1),
        (2.0, "shed_newest", 1, 2),
    ]


def test_nothing_turned_away_has_the_same_columns():
    full = turned_away_frame([TurnedAway(at=1.0, action="spill", priority=0)])
    assert turned_away_frame([]).dtypes.to_dict() == full.dtypes.to_dict()
    assert turned_away_frame([]).empty
