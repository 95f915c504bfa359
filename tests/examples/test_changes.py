import csv
import json
import shutil
import threading
import time

import pytest
from cities import (
    RESIDENTS,
    SEED,
    called,
    crash,
    digest,
    new_directory,
    register_rows,
    rows,
    started,
    tables_equal_truth,
)

from examples.city.changes import Changes, NothingToChange
from examples.city.city import City
from examples.city.happenings import KINDS
from examples.city.records import CARD, DUMPED, ELDER, GRID, INSURED, LOW_INCOME, PENSION, REGISTERED, yuan
from examples.city.registers import at_first

COUNT, DUMP_EACH = 240, 100


@pytest.fixture(scope="module")
def directory():
    directory = new_directory()
    yield directory
    shutil.rmtree(directory)


def _city(directory, name):
    city = City(directory / name, RESIDENTS, SEED)
    city.start()
    return city


@pytest.fixture(scope="module")
def changed(directory):
    """A city after so many changes in one run, and what they were."""
    city, made = _city(directory, "changed"), []
    changes = Changes(city, dump_each=DUMP_EACH, late_s=(0.05, 0.2))
    assert changes.run(float("inf"), count=COUNT, each=made.append) == COUNT
    yield city, made, digest(city)
    crash(city)
    city.stop()


@pytest.fixture
def city(changed):
    return changed[0]


def test_the_departments_hold_what_the_truth_says(changed):
    city, made, _ = changed
    tables_equal_truth(city)
    assert [change.number for change in made] == list(range(1, COUNT + 1))
    assert {change.kind for change in made} == {*KINDS, "dump"}


def test_whatever_the_rate_and_though_it_was_killed_the_end_is_the_same(changed, directory):
    place = directory / "killed"
    flags = ("--residents", RESIDENTS, "--seed", SEED, "--rate", 100, "--dump-each", DUMP_EACH)
    process, _ = started(place, *flags)
    for line in process.stderr:
        if json.loads(line).get("made", 0) >= 80:
            break
    process.kill()
    process.communicate()
    city = City.open(place)
    city.start()
    changes = Changes(city, dump_each=DUMP_EACH, late_s=(0.05, 0.2))
    assert 80 <= changes.made < COUNT
    changes.run(400, count=COUNT - changes.made)
    assert digest(city) == changed[2]
    city.stop()


def test_a_transaction_left_open_by_a_kill_is_made_good(city):
    changes = Changes(city)
    record = _clean(city, INSURED)
    lost = record._replace(
        row={**record.row, "aae005": "10021234567"}, fields={**record.fields, "phone": "10021234567"}
    )
    other = _clean(city, REGISTERED)
    married = other._replace(row={**other.row, "hyzk": "22"}, fields={**other.fields, "marital_status": "married"})
    city.truth.change([lost, married], uncommitted=99)
    with pytest.raises(AssertionError):
        tables_equal_truth(city)
    changes.run(1, count=0)
    tables_equal_truth(city)
    assert city.truth.uncommitted() == {}


def test_a_late_one_commits_after_others_that_are_newer(city):
    late = _clean(city, INSURED)
    other = _clean(city, INSURED, but=late.person)
    changes, neighbour = Changes(city, late_s=(60, 60)), City.open(city.directory)
    neighbour.start()
    thread = threading.Thread(target=lambda: changes.make("late", resident=late.person))
    thread.start()
    while not neighbour.truth.uncommitted():
        time.sleep(0.01)
    Changes(neighbour).make("phone", resident=other.person)
    newest = _updated_at(neighbour, other)
    before = _updated_at(neighbour, late)
    changes._hurry.set()
    thread.join()
    assert before < _updated_at(neighbour, late) < newest
    assert neighbour.truth.uncommitted() == {}
    tables_equal_truth(neighbour)
    neighbour.stop()


def _updated_at(city, record):
    with city.hrss.owner.transaction():
        return city.hrss.owner.execute("select updated_at from ac01 where aac001 = %s", (record.key,)).fetchone()[0]


def test_a_backdated_one_goes_back_in_business_time(city):
    record = _clean(city, INSURED)
    Changes(city).make("backdated", resident=record.person)
    assert rows(city, INSURED)[record.key][-1] < record.row["aae036"]


def test_the_next_dump_has_new_rows_changed_ones_and_some_are_gone(changed):
    city, made, _ = changed
    first, second, third = ({r[0]: r for r in _lines(path)} for path in sorted(city.drop.iterdir())[:3])
    assert [change.number for change in made if change.kind == "dump"] == [100, 200]
    assert set(first) - set(second) or set(second) - set(third)
    assert set(second) - set(first)
    assert any(first[key] != second[key] for key in set(first) & set(second))
    assert len(set(first) - set(second)) < 0.05 * len(first)


def test_the_newest_dump_is_what_the_truth_says_and_nothing_half_written_lies_about(city):
    Changes(city).dump()
    newest = max(city.drop.iterdir())
    meant = [[*r.row.values()] for r in city.truth.records(ELDER) for _ in range(r.copies)]
    assert _lines(newest) == meant
    assert not list(city.directory.glob("*.part"))


def test_the_newest_register_of_the_grid_is_what_the_truth_says(city):
    Changes(city).dump()
    newest = max(city.grid_drop.iterdir())
    month = int(newest.stem[-2:])
    held = {line[0]: line for line in register_rows(newest, f"{newest.stem[5:9]}年{month}月")[2:]}
    assert held == {record.key: [*record.row.values()] for record in city.truth.records(GRID)}


def test_a_dump_that_broke_off_changes_nothing_in_truth(city):
    before = digest(city)
    assert Changes(city).dump(cut=0.4).records == 0
    newest = max(city.drop.iterdir())
    after = digest(city)
    assert {name: after[name] for name in before} == before
    assert newest.name not in before
    assert not newest.read_bytes().endswith(b"\r\n")


def test_a_corrected_number_makes_two_residents_until_the_other_department_hears_of_it(city):
    record = next(
        r for n, found in city.truth.by_resident() if ELDER in found and CARD not in found and not any(r.fault for r in found.values())
        for r in [found[INSURED]] if r.fields["alive"] and city.truth.expected_resident(n)[0].id_number == r.fields["id_number"]
        and len(city.truth.expected_resident(n)) == 1
    )  # fmt: skip
    Changes(city).make("correct", resident=record.person)
    assert len(city.truth.expected_resident(record.person)) == 2
    Changes(city).make("follow", resident=record.person)
    assert len(city.truth.expected_resident(record.person)) == 2
    Changes(city).dump()
    left = city.truth.records_of(record.person)
    assert ELDER not in left or len(city.truth.expected_resident(record.person)) == 1


def test_what_one_department_has_recorded_the_other_follows_in_turn(city):
    """Each in the order in which the changes came; and there is an end of it."""
    changes = Changes(city)
    while True:
        try:
            changes.make("follow")
        except NothingToChange:
            break
    first = _clean(city, REGISTERED)
    second = _clean(city, REGISTERED, but=first.person)
    changes.make("death_reported", resident=first.person)
    changes.make("correct", resident=second.person)
    (expected,) = city.truth.expected_resident(first.person)
    insured = city.truth.records_of(first.person)[INSURED]
    assert (expected.fields["alive"], insured.fields["alive"], insured.row["aac060"]) == (False, True, "1")
    right = city.truth.records_of(second.person)[INSURED].fields["id_number"]
    assert changes.make("follow").resident == first.person
    assert city.truth.records_of(first.person)[INSURED].row["aac060"] == "0"
    assert changes.make("follow").resident == second.person
    assert city.truth.records_of(second.person)[REGISTERED].row["gmsfhm"] == right
    tables_equal_truth(city)


def test_a_death_that_hrss_has_recorded_is_followed_by_civil_affairs_which_stops_what_it_pays(city):
    record = next(
        r for n, found in city.truth.by_resident() if LOW_INCOME in found and not any(r.fault for r in found.values())
        for r in [found[LOW_INCOME]] if r.fields["benefit_state"] == "paying" and found[INSURED].fields["alive"]
        and "alive" not in found[REGISTERED].fields and found[REGISTERED].fields["id_number"] == found[INSURED].fields["id_number"]
    )  # fmt: skip
    Changes(city).make("death", resident=record.person)
    assert city.truth.records_of(record.person)[LOW_INCOME] == record
    Changes(city).make("follow", resident=record.person)
    after = city.truth.records_of(record.person)
    assert after[REGISTERED].row["swrq"] is not None
    assert (after[LOW_INCOME].row["xszt"], after[LOW_INCOME].fields["benefit_state"]) == ("03", "stopped")
    assert after[LOW_INCOME].row["zzny"] == after[LOW_INCOME].fields["benefit_until"]
    tables_equal_truth(city)


def test_marriage_and_divorce(city):
    record = _clean(city, REGISTERED, says={"marital_status": "married"})
    Changes(city).make("divorce", resident=record.person)
    assert rows(city, REGISTERED)[record.key][6] == "40"
    with pytest.raises(NothingToChange):
        Changes(city).make("divorce", resident=record.person)
    Changes(city).make("marriage", resident=record.person)
    assert rows(city, REGISTERED)[record.key][6] == "22"
    (expected,) = city.truth.expected_resident(record.person)
    assert expected.fields["marital_status"] == city.truth.resident(record.person).marital_status == "married"


def test_a_revoked_allowance_stays_in_the_table_and_says_nothing_until_it_is_granted_again(city):
    record = _clean(city, LOW_INCOME, says={"benefit_state": "paying"}, change="aid_revoke")
    assert LOW_INCOME not in city.truth.records_of(record.person)
    assert city.truth.expected_resident(record.person)[0].benefits.get((LOW_INCOME, record.key)) is None
    assert rows(city, LOW_INCOME)[record.key][-2] == "1"
    assert record.key in {each.key for each in city.truth.rows(LOW_INCOME)}
    tables_equal_truth(city)
    Changes(city).make("aid_grant", resident=record.person)
    assert rows(city, LOW_INCOME)[record.key][-2] == "0"
    (expected,) = city.truth.expected_resident(record.person)
    said = expected.benefits[LOW_INCOME, record.key]
    assert said["benefit_amount_fen"] == city.truth.resident(record.person).low_income_fen
    assert rows(city, LOW_INCOME)[record.key][3] == yuan(said["benefit_amount_fen"])


def test_a_card_is_issued_and_cancelled_by_the_record_that_the_department_keeps(city):
    record = _clean(city, CARD, change="card_cancel")
    assert CARD not in city.truth.records_of(record.person)
    assert "disability_category" not in city.truth.expected_resident(record.person)[0].fields
    assert rows(city, CARD)[record.key][10] == "1"
    assert record.key in {each.key for each in city.truth.rows(CARD)}
    tables_equal_truth(city)
    Changes(city).make("card_issue", resident=record.person)
    issued = city.truth.records_of(record.person)[CARD]
    assert issued.key == record.key
    assert rows(city, CARD)[record.key][10] == "0"
    (expected,) = city.truth.expected_resident(record.person)
    who = city.truth.resident(record.person)
    assert expected.fields["disability_category"] == who.disability_category != ""
    assert expected.fields["disability_level"] == who.disability_level
    assert issued.row["cjzh"] == expected.id_number + issued.row["cjlb"] + issued.row["cjdj"]
    with pytest.raises(NothingToChange):
        Changes(city).make("card_issue", resident=record.person)


def test_another_level_is_another_number_of_the_same_record(city):
    record = _clean(city, CARD)
    Changes(city).make("card_level", resident=record.person)
    after = city.truth.records_of(record.person)[CARD]
    assert after.key == record.key
    assert after.row["cjdj"] != record.row["cjdj"]
    assert after.row["cjzh"] == record.row["cjzh"][:19] + after.row["cjdj"]
    assert after.fields == {**record.fields, "disability_level": after.row["cjdj"]}
    assert city.truth.resident(record.person).disability_level == after.row["cjdj"]
    tables_equal_truth(city)


def test_another_telephone_of_a_card_is_heard_of_where_nobody_else_knows_one(city):
    record = _clean(city, CARD)
    before = city.truth.expected_resident(record.person)[0].fields["phone"]
    Changes(city).make("card_phone", resident=record.person)
    assert city.truth.records_of(record.person)[CARD].fields["phone"] != record.fields["phone"]
    assert city.truth.expected_resident(record.person)[0].fields["phone"] == before
    child = next(r for r in city.truth.records(CARD) if not r.fault and INSURED not in city.truth.records_of(r.person))
    Changes(city).make("card_phone", resident=child.person)
    (expected,) = city.truth.expected_resident(child.person)
    assert expected.fields["phone"] == city.truth.records_of(child.person)[CARD].row["lxdh"] != child.row["lxdh"]
    assert expected.winners["name"] == (CARD, child.key)


def test_a_corrected_number_is_followed_by_civil_affairs_and_then_by_disabled_persons(city):
    """Each with a change of its own; and there is an end of it."""
    changes = Changes(city)
    while _follows(changes):
        pass
    record = _card_of_nobody_in_dumps(city)
    changes.make("correct", resident=record.person)
    right = city.truth.records_of(record.person)[INSURED].fields["id_number"]

    def numbers():
        found = city.truth.records_of(record.person)
        return [found[dataset].fields["id_number"] == right for dataset in (REGISTERED, CARD)]

    assert numbers() == [False, False]
    assert changes.make("follow").resident == record.person
    assert numbers() == [True, False]
    assert changes.make("follow").resident == record.person
    assert numbers() == [True, True]
    after = city.truth.records_of(record.person)[CARD]
    assert after.row["cjzh"] == right + record.row["cjzh"][18:]
    assert len(city.truth.expected_resident(record.person)) == 1
    assert not _follows(changes)
    tables_equal_truth(city)


def _follows(changes):
    try:
        changes.make("follow")
    except NothingToChange:
        return False
    return True


def _card_of_nobody_in_dumps(city):
    """A card of somebody who lives, is in the register of 民政, and in no register that comes as a dump."""
    for number, found in city.truth.by_resident():
        clean = not any(each.fault for each in found.values()) and len(city.truth.expected_resident(number)) == 1
        if (
            clean
            and {INSURED, REGISTERED, CARD} <= set(found)
            and not set(DUMPED) & set(found)
            and found[INSURED].fields["alive"]
        ):
            return found[CARD]
    raise AssertionError


def test_the_dead_have_no_card_once_disabled_persons_has_heard_of_it(city):
    first = {
        record.key for number in range(RESIDENTS) for record in at_first(SEED, number)
        if record.dataset == CARD and not record.deleted and not record.fault
    }  # fmt: skip
    changes = Changes(city)
    record = next(
        r for n, found in city.truth.by_resident() if {INSURED, REGISTERED, CARD} <= set(found)
        for r in [found[CARD]] if r.key in first and not any(each.fault for each in found.values())
        and len(city.truth.expected_resident(n)) == 1 and city.truth.expected_resident(n)[0].fields["alive"]
        and number_at_first(r) == r.fields["id_number"]
    )  # fmt: skip
    changes.make("death", resident=record.person)
    changes.make("follow", resident=record.person)
    assert CARD in city.truth.records_of(record.person)
    changes.make("follow", resident=record.person)
    assert CARD not in city.truth.records_of(record.person)
    with pytest.raises(NothingToChange):
        changes.make("follow", resident=record.person)
    tables_equal_truth(city)


def number_at_first(record):
    return next(r for r in at_first(SEED, record.person) if r.dataset == record.dataset).fields["id_number"]


def test_a_card_that_was_not_known_from_the_first_day_is_not_cancelled(city):
    known = {r.key for number in range(RESIDENTS) for r in at_first(SEED, number) if r.dataset == CARD}
    issued = _clean_without_card(city)
    Changes(city).make("card_issue", resident=issued)
    assert city.truth.records_of(issued)[CARD].key not in known
    with pytest.raises(NothingToChange):
        Changes(city).make("card_cancel", resident=issued)


def _clean_without_card(city):
    for number, found in city.truth.by_resident():
        living = INSURED in found and all(each.fields.get("alive", True) for each in found.values())
        if living and number < RESIDENTS and not any(each.fault for each in found.values()):
            held = {r.dataset for r in at_first(SEED, number)}
            if CARD not in found and CARD not in held:
                return number
    raise AssertionError


def test_only_what_was_known_from_the_first_day_is_revoked(city):
    """What a poll may never have seen would leave a tombstone in one run, and none in another."""
    since = {record.key for number in range(RESIDENTS) for record in at_first(SEED, number) if record.deleted}
    record = next(r for r in city.truth.rows(LOW_INCOME) if r.deleted and r.key in since)
    Changes(city).make("aid_grant", resident=record.person)
    with pytest.raises(NothingToChange):
        Changes(city).make("aid_revoke", resident=record.person)


def test_a_crash_between_two_departments_is_made_good(city, monkeypatch):
    """Who arrives is written into both; between them the program ends. It begins again with the same change."""

    def crash(_):
        raise KeyboardInterrupt

    changes, before = Changes(city), rows(city, INSURED)
    monkeypatch.setattr(city.civil_affairs, "write", crash)
    with pytest.raises(KeyboardInterrupt):
        _arrive_for_ever(changes)
    assert len(rows(city, INSURED)) > len(before)
    monkeypatch.undo()
    changes.make("arrive")
    tables_equal_truth(city)


def test_a_crash_after_the_department_of_the_api_is_made_good(city, monkeypatch):
    def crash(*_, **__):
        raise KeyboardInterrupt

    changes, before = Changes(city), city.truth.get("by_hand", "0")
    record = _clean(city, CARD)
    monkeypatch.setattr(city.truth, "change", crash)
    with pytest.raises(KeyboardInterrupt):
        changes.make("card_level", resident=record.person)
    with pytest.raises(AssertionError):
        tables_equal_truth(city)
    monkeypatch.undo()
    assert city.truth.get("by_hand", "0") == before
    changes.make("card_level", resident=record.person)
    tables_equal_truth(city)


def _arrive_for_ever(changes):
    while True:
        changes.make("arrive")


def test_a_mended_record_is_accepted(city):
    broken = next(r for r in city.truth.records() if r.reason and r.dataset in (INSURED, PENSION))
    Changes(city).make("mend", resident=broken.person)
    assert city.truth.records_of(broken.person)[broken.dataset].reason is None
    tables_equal_truth(city)


def test_by_hand_a_resident_is_moved_to_where_she_is_said_to(city):
    record = _clean(city, INSURED)
    said = called("change", city.directory, "move", "--resident", record.person, "--to", "370102013017")
    assert json.loads(said.stdout) == {"kind": "move", "resident": record.person, "records": 1}
    assert rows(city, INSURED)[record.key][7] == "370102013017"
    told = json.loads(called("truth", city.directory, "--resident", record.person).stdout)
    assert told["resident"]["community_code"] == "370102013017"


def test_what_can_not_be_done_is_said(city):
    with pytest.raises(NothingToChange, match="resident 987654"):
        Changes(city).make("move", resident=987_654)
    assert called("change", city.directory, "move", "--resident", 987_654).returncode == 1


def _clean(city, dataset, but=-1, says=None, change=None):
    """A record of a living resident without a fault. ``says``: what it must say; ``change``: that was then made."""
    for number, found in city.truth.by_resident():
        record = found.get(dataset)
        if record is None or number == but or any(one.fault for one in found.values()):
            continue
        if not all(one.fields.get("alive", True) for one in found.values()):
            continue
        if len(city.truth.expected_resident(number)) > 1 or INSURED not in found:
            continue
        if any(record.fields.get(name) != value for name, value in (says or {}).items()):
            continue
        if change is not None:
            try:
                Changes(city).make(change, resident=number)
            except NothingToChange:
                continue
        return record
    raise AssertionError(f"nobody has such a record of {dataset}")


def _lines(path):
    with path.open(encoding="gbk", newline="") as file:
        return list(csv.reader(file))[1:]
