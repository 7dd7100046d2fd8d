"""A period is split into whole days and the incomplete days at its edges."""

import datetime

from hypothesis import assume, given
from hypothesis import strategies as st

from sales.totals.periods import midnight, split_period

timestamps = st.datetimes(timezones=st.just(datetime.UTC)) | st.dates().map(midnight)


@given(st.none() | timestamps, st.none() | timestamps, timestamps)
def test_a_split_period_contains_each_timestamp_exactly_once(start, stop, timestamp):
    if start is not None and stop is not None:
        assume(start != stop)
        start, stop = min(start, stop), max(start, stop)
    days, edges = split_period(start, stop)

    contained = [within(timestamp, *edge) for edge in edges] + ([within(timestamp.date(), *days)] if days else [])

    assert sum(contained) == within(timestamp, start, stop)
    assert all(midnight(day) >= start for day in (days or ())[:1] if day and start)


def within(value, start, stop):
    return (start is None or start <= value) and (stop is None or value < stop)
