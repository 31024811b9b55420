"""What is in hand and not worked on: what is due comes first, then what came first."""

from __future__ import annotations

from labkit.taskqueue.engine.unbegun_items import UnbegunItems
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import Record


def item(offset: int) -> WorkItem:
    return WorkItem(Record("t", 0, offset, None, b"", (), 0), 0.0)


def test_what_is_due_begins_before_what_waits():
    items, unbegun = [item(offset) for offset in range(4)], UnbegunItems()
    for one in items[:2]:
        unbegun.append(one)
    unbegun.postpone(items[2], 7.0)
    unbegun.postpone(items[3], 5.0)
    assert unbegun.next_due() == 5.0
    assert [unbegun.take(4.9), unbegun.take(5.0)] == [items[0], items[3]]
    assert unbegun.next_due() == 7.0
    assert [unbegun.take(6.0), unbegun.take(6.0), unbegun.take(7.0)] == [items[1], None, items[2]]
    assert unbegun.next_due() is None


def test_all_are_taken_due_or_not():
    items, unbegun = [item(offset) for offset in range(3)], UnbegunItems()
    unbegun.append(items[0])
    unbegun.append(items[1])
    unbegun.postpone(items[2], 5.0)
    assert unbegun.take_all() == items
    assert unbegun.take_all() == []
    assert unbegun.take(9.0) is None
