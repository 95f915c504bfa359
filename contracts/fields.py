"""Canonical fields: what records can say about a resident, under one name whatever the source calls it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal[
    "id_number", "name", "code", "day", "month", "money", "phone", "division", "text", "flag", "number", "as_of"
]


class CanonicalField(NamedTuple):
    """``kind`` decides the parser; ``codeset`` names the national code set of a ``code``."""

    name: str
    kind: Kind
    english: str
    chinese: str
    codeset: str | None = None


FIELDS: dict[str, CanonicalField] = {
    field.name: field
    for field in (
        CanonicalField("id_number", "id_number", "citizen ID number (GB 11643), 18 characters", "公民身份号码"),
        CanonicalField("name", "name", "name", "姓名"),
        CanonicalField("sex", "code", "sex (GB/T 2261.1): male, female, unknown, unspecified", "性别", "sex"),
        CanonicalField("birth_on", "day", "day of birth", "出生日期"),
        CanonicalField("ethnic_group", "code", "ethnic group (GB/T 3304), two digits", "民族", "ethnic_group"),
        CanonicalField("phone", "phone", "telephone number, digits only", "联系电话"),
        CanonicalField("community_code", "division", "community of residence (12-digit division code)", "居住社区代码"),
        CanonicalField("address", "text", "address of residence", "居住地址"),
        CanonicalField("alive", "flag", "whether the resident is alive", "是否健在"),
        CanonicalField(
            "marital_status",
            "code",
            "marital status (GB/T 2261.2): unmarried, married, widowed, divorced, unspecified",
            "婚姻状况",
            "marital_status",
        ),
        CanonicalField(
            "disability_category",
            "code",
            "category of disability (GB/T 26341): visual, hearing, speech, physical, intellectual, mental, multiple",
            "残疾类别",
            "disability_category",
        ),
        CanonicalField(
            "disability_level",
            "code",
            "level of disability (GB/T 26341): 1 to 4, of which 1 is the most severe",
            "残疾等级",
            "disability_level",
        ),
        CanonicalField("living_alone", "flag", "whether an elder lives alone", "是否独居"),
        CanonicalField(
            "care_level", "code", "care level of an elder: independent, partial, full", "护理等级", "care_level"
        ),
        CanonicalField(
            "benefit_kind",
            "code",
            "kind of benefit: pension, old_age_allowance, low_income",
            "待遇种类",
            "benefit_kind",
        ),
        CanonicalField("benefit_scheme", "text", "insurance scheme behind the benefit, as coded by 人社", "险种类型"),
        CanonicalField("benefit_amount_fen", "money", "amount a month in 分 (fen)", "月金额(分)"),
        CanonicalField("benefit_from", "month", "first month", "起始年月"),
        CanonicalField("benefit_until", "month", "last month", "终止年月"),
        CanonicalField("benefit_state", "code", "state: paying, suspended, stopped", "待遇状态", "benefit_state"),
        CanonicalField("household_number", "text", "number of the household in its register", "户号"),
        CanonicalField(
            "household_relation",
            "code",
            "relation to the head of the household (GB/T 4761), two digits; 02 is the head",
            "与户主关系",
            "kinship",
        ),
        CanonicalField("household_building", "text", "building that the household lives in", "楼栋"),
        CanonicalField("household_unit", "text", "unit (stairway) of the building", "单元"),
        CanonicalField("household_room", "text", "room", "房号"),
        CanonicalField("as_of", "as_of", "when the department last dealt with the record", "经办时间"),
    )
}

RESIDENT_FIELDS: tuple[str, ...] = tuple(
    name for name in FIELDS if not name.startswith(("benefit_", "household_")) and name != "as_of"
)
HOUSEHOLD_FIELDS: tuple[str, ...] = tuple(name for name in FIELDS if name.startswith("household_"))
BENEFIT_FIELDS: tuple[str, ...] = tuple(name for name in FIELDS if name.startswith("benefit_"))
