"""What a source file may declare, as far as no other test needs it whole."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from pydantic import ValidationError

from contracts.sources import Source

MOVED = [{"name": "卫健委"}, {"name": "民政局", "since": "2024-07-01"}, {"name": "数据局", "since": "2026-01-01"}]


def source(owner):
    dataset = {"pattern": "{period}.csv", "key": ["id"], "map": {"name": "name"}}
    return Source.model_validate(
        {
            "system": "ageing",
            "title": "老龄",
            "owner": owner,
            "connector": {"kind": "files", "folder": "drop"},
            "datasets": {"elder": dataset},
        }
    )


@pytest.mark.parametrize(
    ("day", "owner"),
    [("1999-01-01", "卫健委"), ("2024-06-30", "卫健委"), ("2024-07-01", "民政局"), ("2025-12-31", "民政局"),
     ("2026-01-01", "数据局"), ("2030-01-01", "数据局")],
)  # fmt: skip
def test_a_system_belongs_to_whoever_has_it_that_day(day, owner):
    assert source(MOVED).owner_on(date.fromisoformat(day)) == owner


def test_a_system_that_never_moved():
    assert source("老龄办").owner_on(date(1999, 1, 1)) == source("老龄办").owner_now() == "老龄办"


def test_who_comes_later_does_not_answer_today():
    later = date.today() + timedelta(days=30)  # noqa: DTZ011 - far from any midnight
    assert source([{"name": "卫健委"}, {"name": "民政局", "since": later.isoformat()}]).owner_now() == "卫健委"


@pytest.mark.parametrize(
    "owner",
    [
        [],
        [{"name": "卫健委"}, {"name": "民政局"}],
        [MOVED[0], MOVED[2], MOVED[1]],
        [MOVED[1], MOVED[1]],
        [{"name": "卫健委", "since": "2025-01-01"}, MOVED[1]],
    ],
)
def test_owners_out_of_order_are_refused(owner):
    with pytest.raises(ValidationError):
        source(owner)
