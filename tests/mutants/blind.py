"""What tells that a source is bad, made blind one at a time: the test of that badness must see it."""

from __future__ import annotations

from mutants.wrong_code import Mutant

_CITIZEN, _DATES, _MONEY, _TEXTS = (f"contracts/{name}.py" for name in ("citizen", "dates", "money", "texts"))
_FILES, _DUMPS, _UNPACKING, _SQL, _REST = (
    f"connectors/{name}.py" for name in ("files", "_dumps", "_unpacking", "sql", "_rest_client")
)
_EXCHANGE = "connectors/exchange.py"
_HERE = "tests/badsources"


def _value(path: str, old: str, new: str, wrong: str) -> Mutant:
    return Mutant(f"blind to {wrong}", path, old, new, f"{_HERE}/test_bad_values.py::test_refused[{wrong}]")


def _blind(of: str, path: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(f"blind: {test} of {of}", path, old, new, f"{_HERE}/test_bad_{of}.py::{test}")


BLIND = [
    _value(_CITIZEN, "    if born > on:\n", "    if False:\n", "an ID number of somebody who is not born yet"),
    _value(_CITIZEN, "    if _MASKED.fullmatch(text):\n", "    if False:\n", "an ID number with asterisks"),
    _value(
        _CITIZEN,
        "    if _SCIENTIFIC.fullmatch(text):\n",
        "    if False:\n",
        "an ID number that a spreadsheet wrote as 3.70102E+17",
    ),
    _value(_CITIZEN, "    if len(text) != 18:\n", "    if False:\n", "an ID number of 16 characters"),
    _value(_DATES, "    if on is not None and value > on:\n", "    if False:\n", "a day to come"),
    _value(_MONEY, '    if sign == "-" and amount:\n', "    if False:\n", "a negative amount"),
    _value(_TEXTS, "        if not _FIXED.fullmatch(digits):\n", "        if False:\n", "a telephone number of three digits"),
    _blind("files", _FILES,
        '        if self._last and self._last["final_newline"] and not shape.final_newline:\n',
        "        if False:\n",
        "test_cut",
    ),
    _blind("files", _DUMPS, "    if missing := [column for column in wanted if column not in header]:", "    if missing := []:", "test_renamed_column"),
    _blind("files", _FILES, "        return file.period > _month_after(self._now())\n", "        return False\n", "test_future"),
    _blind("files", _FILES,
        "        if absent > self._declared.disappear_limit * had:\n",
        "        if False:\n",
        "test_too_many_gone",
    ),
    _blind("files", _FILES, "        if unreadable:\n            doubts.append(", "        if False:\n            doubts.append(", "test_unreadable_key"),
    _blind("files", _UNPACKING, "        if len(inside) != 1:\n", "        if len(inside) < 1:\n", "test_two_in_one"),
    _blind("files", _UNPACKING, "                if room < 0:\n", "                if False:\n", "test_bomb"),
    _blind("files", _FILES,
        '        if last is None or self._manifest(last["sha"]).exists():\n',
        "        if True:\n",
        "test_lost_state",
    ),
    _blind("tables", _SQL, "        if rows is not None:\n            self._before[dataset] = rows\n        raise PositionLost(", "        return\n        raise PositionLost(", "test_restored"),
    _blind("tables", "connectors/_dialects.py", "sa.create_engine(_existing(url), ", "sa.create_engine(url, ", "test_away"),
    _blind("tables", "connectors/_ledger.py", "    if absent <= limit * had:\n", "    if True:\n", "test_too_many_gone"),
    _blind("tables", "connectors/_sql_full.py", "    return list(found.values())\n", "    return list(rows)\n", "test_one_key_twice"),
    _blind("tables", "streams/intake.py", "sum(window) > self.declared.refuse_limit * len(window)", "False", "test_new_codes"),
    _blind("exchanges", _EXCHANGE, " if mark in page.marks]", "]", "test_changed_amid"),
    _blind("exchanges", _EXCHANGE, "            self._raise_if_unwritable(dataset, known)\n", "", "test_flag_refused"),
    _blind("exchanges", _EXCHANGE, 'named = where if any(part in (None, "") for part in key) else joined_key(key)', "named = joined_key(key)", "test_no_key"),
    _blind("exchanges", _EXCHANGE, "- {*self.declared.key, *self.declared.where, *mapped}", "- {*self.exchange.order}", "test_repeated"),
    _blind("apis", _REST, "        if status in (429, 503):\n", "        if False:\n", "test_answers[429 or 503: too many requests]"),
    _blind("apis", "connectors/_rest_paging.py", "        if self._alike >= 2:\n", "        if False:\n", "test_endless"),
]  # fmt: skip
