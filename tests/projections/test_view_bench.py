"""The measurement measures what it says."""

from __future__ import annotations

from viewcases import AUTHORITY, LOG, TOPIC, rows

from projections import bench
from projections.databases import open_view
from projections.engine import ViewEngine
from projections.tables import resident


def test_a_measurement_is_of_two_records_for_each_resident():
    assert bench.measure(400, batch=100) > 0
    for apart in (True, False):
        made = bench.arrivals(400, apart=apart)
        view = ViewEngine(open_view("sqlite://"), AUTHORITY)
        view.prepare(LOG)
        assert view.take(TOPIC, 0, first=0, to=len(made), arrivals=made).applied == 400
        assert rows(view, resident, "records") == [(2,)] * 200
        view.engine.dispose()
