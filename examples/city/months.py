"""What a month does to the registers that are delivered as dumps: 老龄's and that of the communities' grids.

A register hears what 人社 has corrected or recorded, mends some of its faults, loses some people and gains others. Who has moved
stands in the grid's register with the old address until somebody of the grid comes by.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from examples.city.happenings import changed_to
from examples.city.people import communities
from examples.city.records import CARE, ELDER, GRID, INSURED, Record, dumped_on, has_grid, key_of
from examples.city.registers import joining, settling, without_fault


class Month(NamedTuple):
    """Which dump of which city; ``size``: how many residents it was built with."""

    seed: int
    size: int
    dump: int


def elder_later(rng: random.Random, resident: int, found: Mapping[str, Record], month: Month) -> Record | None:
    """The elder's row in this dump; None for who is not, or no longer, in it."""
    record = found.get(ELDER)
    if record is None:
        return joining(month.seed, resident, month.dump) if resident < month.size else None
    chance, known = rng.random(), _known(found)
    if chance < 0.004 or (known.get("alive") is False and chance < 0.5):
        return None
    later = {"更新日期": dumped_on(month.dump, int(chance * 1e6) % 28)}
    if record.fault:
        return _mended(month, record, later) if chance < 0.10 else record
    if (corrected := _corrected(record, known, "身份证号", later)) is not None:
        return corrected
    if chance < 0.016:
        code = rng.choice(communities())[0]
        return changed_to(record, {"社区代码": code, **later}, community_code=code)
    if chance < 0.024:
        return _called_otherwise(rng, record, later)
    if chance < 0.030 and record.fields["care_level"] != "full":
        worse = "full" if record.fields["care_level"] == "partial" else "partial"
        return changed_to(record, {"护理等级": CARE[worse], **later}, care_level=worse)
    return record


def grid_later(rng: random.Random, resident: int, found: Mapping[str, Record], month: Month) -> Record | None:
    """The resident's row in the grid's register of this month; None for who is not, or no longer, in it."""
    record, insured = found.get(GRID), found.get(INSURED)
    if record is None:
        return _settled(resident, insured, month)
    chance, known = rng.random(), _known(found)
    if known.get("alive") is False and chance < 0.5:
        return None
    later = {"登记日期": dumped_on(month.dump, int(chance * 1e6) % 28)}
    if record.fault:
        return _mended(month, record, later) if chance < 0.10 else record
    if (corrected := _corrected(record, known, "公民身份号码", later)) is not None:
        return corrected
    if chance < 0.02:
        return _called_otherwise(rng, record, later)
    code = known.get("community_code", record.fields["community_code"])
    if chance < 0.07 and insured is not None and not insured.fault and code != record.fields["community_code"]:
        return _moved(rng, record, code, later) if has_grid(code) else None
    return record


def _corrected(record: Record, known: Mapping[str, Any], column: str, later: Mapping[str, Any]) -> Record | None:
    """With the ID number that 人社 has by now, where it is another one."""
    right = known.get("id_number", record.fields["id_number"])
    return (
        None if right == record.fields["id_number"] else changed_to(record, {column: right, **later}, id_number=right)
    )


def _called_otherwise(rng: random.Random, record: Record, later: Mapping[str, Any]) -> Record:
    phone = f"1002{rng.randrange(10**7):07d}"
    return changed_to(record, {"联系电话": phone, **later}, phone=phone)


def _known(found: Mapping[str, Record]) -> Mapping[str, Any]:
    """What 人社 says."""
    return found[INSURED].fields if INSURED in found else {}


def _mended(month: Month, record: Record, later: Mapping[str, Any]) -> Record:
    """A row that stands twice does so for ever: it means what it meant."""
    return changed_to(without_fault(month.seed, record), later) if record.copies == 1 else record


def _settled(resident: int, insured: Record | None, month: Month) -> Record | None:
    """Somebody who came to the city after it was built, and lives where she came to."""
    if resident < month.size or insured is None or insured.fault or not insured.fields["alive"]:
        return None
    record = settling(month.seed, resident, month.dump)
    stays = record is not None and record.row["社区代码"] == insured.fields["community_code"]
    return record if stays else None


def _moved(rng: random.Random, record: Record, code: str, later: Mapping[str, Any]) -> Record:
    """In another community with a grid she has a household of her own."""
    building, unit, room = f"{rng.randint(1, 59)}号楼", f"{rng.randint(1, 6)}单元", f"{rng.randint(1, 25)}01"
    number = f"H{key_of(GRID, record.person)[2:]}-2"
    row = {
        "社区代码": code, "楼栋": building, "单元": unit, "房号": room, "户号": number, "与户主关系": "户主", **later,
    }  # fmt: skip
    return changed_to(
        record,
        row,
        community_code=code,
        household_number=number,
        household_relation="02",
        household_building=building,
        household_unit=unit,
        household_room=room,
    )
