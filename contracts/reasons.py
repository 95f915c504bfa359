"""Why a record is refused (quarantine reasons) and how a value was mended: two closed lists.

Both are part of the contract with the departments: a code is never reused for another meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why a record, or the value of one field, can't be accepted."""

    ID_CHARACTER = "id_character"
    ID_LENGTH = "id_length"
    ID_CHECK_DIGIT = "id_check_digit"
    ID_BIRTH_DATE = "id_birth_date"
    ID_BIRTH_DATE_FUTURE = "id_birth_date_future"
    ID_SCIENTIFIC_NOTATION = "id_scientific_notation"
    ID_PRECISION_LOSS = "id_precision_loss"
    ID_MASKED = "id_masked"
    CREDIT_CODE = "credit_code"
    DIVISION_CODE = "division_code"
    DATE_UNREADABLE = "date_unreadable"
    DATE_IMPOSSIBLE = "date_impossible"
    DATE_FUTURE = "date_future"
    CODE_UNKNOWN = "code_unknown"
    MONEY_UNREADABLE = "money_unreadable"
    MONEY_NEGATIVE = "money_negative"
    NUMBER_UNREADABLE = "number_unreadable"
    NAME_UNREADABLE = "name_unreadable"
    NAME_TOO_LONG = "name_too_long"
    PHONE_UNREADABLE = "phone_unreadable"
    TEXT_UNREADABLE = "text_unreadable"
    FIELD_MISSING = "field_missing"
    FIELD_CONFLICT = "field_conflict"
    KEY_MISSING = "key_missing"
    RECORD_UNREADABLE = "record_unreadable"


class Explanation(NamedTuple):
    """What a reason means and who can do what about it, in both languages."""

    english: str
    chinese: str
    mend: str
    mend_zh: str


REASONS: dict[Reason, Explanation] = {
    Reason.ID_CHARACTER: Explanation(
        "the ID number holds a character that is neither a digit nor a final X (GB 11643)",
        "公民身份号码含有非法字符。",
        "correct the number in the department system",
        "在业务系统中改正号码。",
    ),
    Reason.ID_LENGTH: Explanation(
        "the ID number has neither 18 nor 15 characters (GB 11643)",
        "公民身份号码位数不对。",
        "correct the number in the department system",
        "在业务系统中改正号码。",
    ),
    Reason.ID_CHECK_DIGIT: Explanation(
        "the check character of the ID number does not fit (GB 11643, ISO 7064 MOD 11-2)",
        "公民身份号码校验码不符。",
        "compare with the identity card and correct the number in the department system",
        "与身份证核对，在业务系统中改正号码。",
    ),
    Reason.ID_BIRTH_DATE: Explanation(
        "the birth date inside the ID number does not exist",
        "公民身份号码中的出生日期不存在。",
        "correct the number in the department system",
        "在业务系统中改正号码。",
    ),
    Reason.ID_BIRTH_DATE_FUTURE: Explanation(
        "the birth date inside the ID number lies in the future",
        "公民身份号码中的出生日期在将来。",
        "correct the number in the department system",
        "在业务系统中改正号码。",
    ),
    Reason.ID_SCIENTIFIC_NOTATION: Explanation(
        "a spreadsheet turned the ID number into scientific notation; its last digits are lost",
        "公民身份号码被电子表格转成科学计数法，末位已丢失。",
        "export again with the column as text",
        "将该列设为文本后重新导出。",
    ),
    Reason.ID_PRECISION_LOSS: Explanation(
        "a spreadsheet rounded the ID number to 15 digits; the last three are zeros",
        "公民身份号码被电子表格截断，末三位变为 0。",
        "export again with the column as text",
        "将该列设为文本后重新导出。",
    ),
    Reason.ID_MASKED: Explanation(
        "the source masks the ID number; it is never guessed",
        "来源已对公民身份号码脱敏，不作猜测。",
        "agree with the department on an unmasked exchange",
        "与部门商定提供未脱敏的数据。",
    ),
    Reason.CREDIT_CODE: Explanation(
        "not a unified social credit code (GB 32100)",
        "统一社会信用代码不合规。",
        "correct the code in the department system",
        "在业务系统中改正代码。",
    ),
    Reason.DIVISION_CODE: Explanation(
        "not a division code of 6, 9 or 12 digits of this province, now or in the past",
        "行政区划代码不存在。",
        "correct the code, or add the division to the table",
        "改正代码，或在区划表中补上该区划。",
    ),
    Reason.DATE_UNREADABLE: Explanation(
        "the date is written in no known form",
        "日期格式无法识别。",
        "correct the value, or declare its form in the source file",
        "改正该值，或在来源文件中声明其格式。",
    ),
    Reason.DATE_IMPOSSIBLE: Explanation(
        "no such day in the calendar",
        "日期不存在。",
        "correct the value",
        "改正该值。",
    ),
    Reason.DATE_FUTURE: Explanation(
        "a date that must have passed lies in the future",
        "日期在将来。",
        "correct the value",
        "改正该值。",
    ),
    Reason.CODE_UNKNOWN: Explanation(
        "the code is in neither the declared code table nor the national code set",
        "代码不在代码表中。",
        "correct the code, or add it to the code table in the source file",
        "改正代码，或将其加入来源文件的代码表。",
    ),
    Reason.MONEY_UNREADABLE: Explanation(
        "not an amount of money",
        "金额无法识别。",
        "correct the value",
        "改正该值。",
    ),
    Reason.MONEY_NEGATIVE: Explanation(
        "a negative amount",
        "金额为负。",
        "correct the value",
        "改正该值。",
    ),
    Reason.NUMBER_UNREADABLE: Explanation(
        "not a whole number",
        "数字无法识别。",
        "correct the value",
        "改正该值。",
    ),
    Reason.NAME_UNREADABLE: Explanation(
        "the name holds characters that no name has (digits, control or replacement characters)",
        "姓名含有非法字符。",
        "correct the name, or declare the encoding of the source",
        "改正姓名，或声明来源的编码。",
    ),
    Reason.NAME_TOO_LONG: Explanation(
        "a name of more than 50 characters",
        "姓名超过 50 个字符。",
        "correct the name",
        "改正姓名。",
    ),
    Reason.PHONE_UNREADABLE: Explanation(
        "not a telephone number",
        "电话号码无法识别。",
        "correct the value",
        "改正该值。",
    ),
    Reason.TEXT_UNREADABLE: Explanation(
        "the text holds control or replacement characters: wrong encoding, or damage",
        "文本含有控制字符或乱码。",
        "declare the encoding of the source, or correct the value",
        "声明来源的编码，或改正该值。",
    ),
    Reason.FIELD_MISSING: Explanation(
        "a required field is empty",
        "必填项为空。",
        "fill the field in",
        "补填该项。",
    ),
    Reason.FIELD_CONFLICT: Explanation(
        "two fields of the record contradict each other (birth date or sex against the ID number, category or level of a"
        " disability against the card's number)",
        "同一记录中的字段互相矛盾(出生日期或性别与公民身份号码不符，残疾类别或等级与残疾人证号不符)。",
        "compare with the identity card, or the disability card, and correct the wrong one",
        "与身份证或残疾人证核对，改正有误的一项。",
    ),
    Reason.KEY_MISSING: Explanation(
        "the record has no key",
        "记录缺少主键。",
        "fill the key in",
        "补填主键。",
    ),
    Reason.RECORD_UNREADABLE: Explanation(
        "the event is not a change of a record as the contract writes it",
        "记录无法按契约解析。",
        "look at the raw event; mend the connector or the source",
        "查看原始事件，修正连接器或来源。",
    ),
}


class Mend(StrEnum):
    """How a value was brought into canonical form; the original is kept beside it."""

    SPACES = "spaces"
    FULL_WIDTH = "full_width"
    QUOTE_PREFIX = "quote_prefix"
    LOWERCASE_X = "lowercase_x"
    OLD_15_DIGIT = "old_15_digit"
    SEPARATORS = "separators"
    DATE_FORM = "date_form"
    EXCEL_SERIAL = "excel_serial"
    CODE_ALIAS = "code_alias"
    NAME_DOT = "name_dot"
    MONEY_FORM = "money_form"
    NUMBER_FORM = "number_form"
    PHONE_FORM = "phone_form"
    DIVISION_SUCCESSOR = "division_successor"
