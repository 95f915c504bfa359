import csv
import json
import shutil
import threading
import time

import pytest
from cities import RESIDENTS, SEED, called, digest, new_directory, rows, started, tables_equal_truth

from examples.city.changes import KINDS, Changes, NothingToChange
from examples.city.city import City
from examples.city.records import ELDER, INSURED, PENSION

COUNT, DUMP_EACH = 120, 50


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
    city.hrss.server.stop("immediate")
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
    flags = ("--residents", RESIDENTS, "--seed", SEED, "--rate", 60, "--dump-each", DUMP_EACH)
    process, _ = started(place, *flags)
    for line in process.stderr:
        if json.loads(line).get("made", 0) >= 40:
            break
    process.kill()
    process.communicate()
    city = City.open(place)
    city.start()
    changes = Changes(city, dump_each=DUMP_EACH, late_s=(0.05, 0.2))
    assert 40 <= changes.made < COUNT
    changes.run(400, count=COUNT - changes.made)
    assert digest(city) == changed[2]
    city.stop()


def test_a_transaction_left_open_by_a_kill_is_made_good(city):
    changes = Changes(city)
    record = _clean(city, INSURED)
    lost = record._replace(
        row={**record.row, "aae005": "10021234567"}, fields={**record.fields, "phone": "10021234567"}
    )
    city.truth.change([lost], uncommitted=99)
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
    assert [change.number for change in made if change.kind == "dump"] == [50, 100]
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
        r for n, found in city.truth.by_resident() if len(found) == 3 and not any(r.fault for r in found.values())
        for r in [found[INSURED]] if r.fields["alive"] and city.truth.expected_resident(n)[0].id_number == r.fields["id_number"]
        and len(city.truth.expected_resident(n)) == 1
    )  # fmt: skip
    Changes(city).make("correct", resident=record.person)
    assert len(city.truth.expected_resident(record.person)) == 2
    Changes(city).dump()
    left = city.truth.records_of(record.person)
    assert ELDER not in left or len(city.truth.expected_resident(record.person)) == 1


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


def _clean(city, dataset, but=-1):
    return next(
        r
        for _, found in city.truth.by_resident()
        for r in [found.get(dataset)]
        if r and r.person != but and r.fields.get("alive") and not any(one.fault for one in found.values())
    )


def _lines(path):
    with path.open(encoding="gbk", newline="") as file:
        return list(csv.reader(file))[1:]
