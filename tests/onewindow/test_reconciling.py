"""A source compared with what the pipeline holds: real intake, store and view; the source and the way between by hand."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from connectors.base import Delete, Page, Upsert
from contracts.changes import FastChange, FastSource, encode
from contracts.errors import ComparisonOpen, SettingInvalid
from contracts.events import RESIDENT_TOPIC
from contracts.identity import Hasher
from contracts.sources import DatasetSource, Source
from onewindow import cutover, reconciling
from onewindow.holdings import NOTHING, Decided, Held, Holdings, Shown
from onewindow.logins import login
from onewindow.reconciling import PASSES, Comparison, Sum, verdict
from onewindow.source_copy import Content, Reading, SourceCopy
from projections.databases import open_view
from projections.engine import Arrival, LogIdentity, ViewEngine
from projections.tables import assertion
from projections.winners import Authority
from streams import store as tables
from streams.intake import Incoming, Intake
from streams.standing import unpack
from streams.store import Store

HASHER = Hasher(b"0123456789abcdef")
DECLARED = DatasetSource.model_validate(
    {
        "table": "ac01", "key": ["nr"], "refuse_limit": 1.0, "where": {"kind": ["a", "x"]},
        "map": {"name": {"column": "name", "required": True}, "care_level": {"column": "care", "codes": {"1": "independent"}}},
    }
)  # fmt: skip


def person(nr, name="王小芳", care="1", kind="a"):
    return {"nr": nr, "name": name, "care": care, "kind": kind}


class City:
    """A source as a dictionary, and the pipeline behind it, which follows only when it is told to."""

    def __init__(self, folder):
        self.folder, self.source = folder, {}
        self.store, self.view = Store(open_view(f"sqlite:///{folder}/streams.sqlite")), None
        self.store.prepare("cluster", {})
        self.intake = Intake(
            self.store, "hrss", "person", DECLARED, owner_on=lambda _: "人社", hasher=HASHER, partitions=1
        )
        self.engine = open_view(f"sqlite:///{folder}/view.sqlite")
        self.view = ViewEngine(self.engine, Authority({}))
        self.view.prepare(LogIdentity("cluster", {}))
        self._offsets, self._log = count(), count()
        self._comparisons = count()
        self.reads = 0

    def key(self, nr):
        return HASHER.record("hrss", "person", nr)

    def put(self, *records):
        for each in records:
            self.source[each["nr"]] = each

    def follow(self, *keys):
        """Take the records of these keys, all if none is named, as they are in the source now."""
        for nr in keys or list(self.source):
            offset = next(self._offsets)
            record = self.source.get(nr)
            op, body = ("delete", {}) if record is None else ("upsert", record)
            value = encode(FastChange(op, body, FastSource("hrss", "person", 1, offset, 0)))
            self.intake.take(0, offset, [Incoming(offset, self.key(nr), f"e{offset}", "", value)])
        self.show()

    def show(self):
        for number, events in self.store.unsent(0, 10_000):
            said = [each for each in unpack(events) if each.topic == RESIDENT_TOPIC]
            first = next(self._log)
            arrivals = [Arrival(first, each.origin, each.number, each.value) for each in said]
            self.view.take(RESIDENT_TOPIC, 0, first=first, to=first + 1, arrivals=arrivals)
            self.store.sent([number])

    def in_store(self, statement, **values):
        with self.store.engine.begin() as connection:
            assert connection.execute(statement.values(**values) if values else statement).rowcount == 1

    def in_view(self, statement, **values):
        with self.engine.begin() as connection:
            assert connection.execute(statement.values(**values) if values else statement).rowcount == 1

    def pages(self):
        self.reads += 1
        yield Page([Upsert(nr, record, "now") for nr, record in list(self.source.items())], {})

    def compared(self, *, read=None, wait=lambda: None):
        folder = self.folder / f"c{next(self._comparisons)}"
        folder.mkdir()

        def reading(copy):
            copy.read((read or self.pages)(), Reading("hrss", "person", DECLARED, HASHER), lambda *_: None)

        made = Comparison(folder, Holdings(self.store.engine, self.engine, "hrss", "person"), reading, wait)
        try:
            made.run()
        finally:
            made.close()
        return made

    def close(self):
        self.store.engine.dispose()
        self.engine.dispose()


@pytest.fixture
def city(tmp_path):
    city = City(tmp_path)
    city.put(*(person(f"{number:03}") for number in range(40)))
    city.put(person("refused", care="9"), person("filtered", kind="b"))
    city.follow()
    yield city
    city.close()


def record_of(city, nr):
    return tables.record.c.record_key == city.key(nr)


def assertion_of(city, nr):
    return assertion.c.record_key == city.key(nr)


def counts(made):
    return {kind: many for kind, many in made.findings.counts.items() if many}


def test_records_that_were_decided_under_an_older_mapping_are_not_compared(city):
    """Each would differ; a remap is what helps."""
    city.intake.adopt()
    with city.store.engine.begin() as connection:
        city.store.note_remap(connection, city.intake.topic, "", whole=True)
    source = Source.model_validate({
        "system": "hrss", "title": "人社", "owner": "", "connector": {"kind": "sql", "url": "sqlite:///x"},
        "datasets": {"person": DECLARED},
    })  # fmt: skip
    assert reconciling._in_force(city.store.engine, source, "person") == DECLARED
    mended = DECLARED.model_copy(update={"where": {"kind": ["a"]}})
    Intake(city.store, "hrss", "person", mended, owner_on=lambda _: "人社", hasher=HASHER, partitions=1).adopt()
    with pytest.raises(ComparisonOpen) as caught:
        reconciling._in_force(city.store.engine, source, "person")
    assert caught.value.fix.startswith("onewindow remap hrss.person")


def test_a_report_that_can_not_be_written_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(cutover.asking, "refusals", lambda *_: [])
    deployment = SimpleNamespace(settings=SimpleNamespace(name="x"), hasher=HASHER)
    with pytest.raises(SettingInvalid, match="can't be written"):
        cutover.write(deployment, {"system": "hrss", "datasets": []}, tmp_path / "nowhere" / "report.json")


def test_a_login_without_a_name_is_a_number(monkeypatch):
    def getuser():
        raise KeyError("no such uid")

    monkeypatch.setattr("getpass.getuser", getuser)
    assert login() == f"uid {os.getuid()}"


def test_what_is_the_same_is_read_once(city):
    made = city.compared()
    assert counts(made) == {"equal": 40, "refused": 1, "filtered": 1}
    assert (made.findings.equal, made.passes, made.rows, city.reads) == (True, 1, 42, 1)
    assert made.findings.source.hexadecimal() == made.findings.pipeline.hexadecimal()
    assert all(not keys for keys in made.findings.keys.values())


def test_each_planted_difference_is_found_by_its_key(city):
    city.in_view(sa.delete(assertion).where(assertion_of(city, "001")))
    city.in_store(sa.delete(tables.record).where(record_of(city, "002")))
    city.in_view(sa.delete(assertion).where(assertion_of(city, "002")))
    city.in_store(sa.update(tables.record).where(record_of(city, "003")), fingerprint="00" * 12)
    city.in_view(sa.update(assertion).where(assertion_of(city, "004")), fields={"name": "王小芳", "care_level": "full"})
    del city.source["005"], city.source["refused"]
    city.in_view(sa.update(assertion).where(assertion_of(city, "006")), resident_id="f" * 32)
    made = city.compared()
    assert counts(made) == {"equal": 34, "missing": 2, "different": 3, "extra": 1, "filtered": 1}
    assert made.findings.keys == {
        "missing": sorted(map(city.key, ("001", "002"))),
        "different": sorted(map(city.key, ("003", "004", "006"))),
        "extra": [city.key("005")],
        "in_motion": [],
    }
    assert (made.findings.equal, made.passes) == (False, 2)
    assert made.findings.source.hexadecimal() != made.findings.pipeline.hexadecimal()


def test_the_checksums_differ_by_whatever_differs(city):
    def sums():
        found = city.compared().findings
        return found.source.hexadecimal(), found.pipeline.hexadecimal()

    right, _ = sums()
    city.in_view(sa.update(assertion).where(assertion_of(city, "004")), fields={"name": "王小芳", "care_level": "full"})
    by_view = sums()
    assert by_view[0] == right != by_view[1]
    city.follow("004")  # the same again changes nothing in the view
    city.in_store(sa.update(tables.record).where(record_of(city, "003")), fingerprint="00" * 12)
    by_both = sums()
    assert by_both[0] == right
    assert by_both[1] not in (right, by_view[1])


def test_a_newer_version_that_is_refused_is_no_difference_and_one_that_never_came_is(city):
    city.put(person("001", care="9"))
    city.follow("001")
    assert counts(city.compared()) == {"equal": 39, "refused": 2, "filtered": 1}
    city.put(
        person("002", care="9"), person("filtered", name="李四", kind="b"), person("refused", name="李四", care="9")
    )
    made = city.compared()
    assert counts(made) == {"equal": 38, "refused": 1, "different": 3}
    city.put(person("new", care="9"))
    assert counts(city.compared())["missing"] == 1


def test_a_record_that_no_event_can_hold_is_refused_whatever_it_is(city):
    city.put({"nr": "odd", "name": "\ud800", "care": "1", "kind": "a"})
    assert counts(city.compared())["missing"] == 1
    state = tables.record.insert().values(
        dataset="hrss.person", record_key=city.key("odd"), partition=0, version="1", fingerprint="", state="quarantined",
        owner=None, revision=0,
    )  # fmt: skip
    city.in_store(state)
    assert counts(city.compared()) == {"equal": 40, "refused": 2, "filtered": 1}


def test_what_is_on_its_way_has_arrived_after_the_wait(city):
    city.put(person("001", name="李四"), person("new"))
    del city.source["002"]
    made = city.compared(wait=lambda: city.follow("001", "new", "002"))
    assert counts(made) == {"equal": 40, "refused": 1, "filtered": 1}
    assert (made.passes, city.reads) == (1, 1)


def test_under_constant_change_nothing_differs(city):
    """Each reading is out of date before it is compared, each time for other records."""
    turn = count()

    def changes():
        number = next(turn)
        mine = [f"{each:03}" for each in range(40) if each % 4 == number % 4]
        city.put(*(person(nr, name=f"第{number}次") for nr in mine))
        city.put(person(f"n{number}"))
        gone = city.source.pop(f"n{number - 1}", None)
        return mine, number, gone

    def read():
        yield from city.pages()
        mine, number, gone = changes()
        city.follow(*mine, f"n{number}", *([f"n{number - 1}"] if gone else []))

    made = city.compared(read=read)
    assert made.findings.equal
    assert not any(counts(made).get(kind) for kind in ("missing", "extra", "different", "in_motion"))
    assert 1 < made.passes < PASSES
    assert made.findings.source.hexadecimal() == made.findings.pipeline.hexadecimal()


def test_what_changes_in_each_pass_is_in_motion_after_so_many_and_nothing_else_is(city):
    turn = count()

    def read():
        yield from city.pages()
        city.put(person("001", name=f"第{next(turn)}次"))
        city.follow("001")

    made = city.compared(read=read)
    assert counts(made) == {"equal": 39, "refused": 1, "filtered": 1, "in_motion": 1}
    assert (made.findings.equal, made.passes, city.reads) == (True, PASSES, PASSES)
    assert made.findings.keys["in_motion"] == [city.key("001")]


def test_what_is_refused_again_in_each_pass_is_in_motion_though_the_view_hears_nothing_of_it(city):
    turn = count()

    def read():
        yield from city.pages()
        city.put(person("refused", name="甲" * (2 + next(turn)), care="9"))
        city.follow("refused")

    made = city.compared(read=read)
    assert counts(made) == {"equal": 40, "filtered": 1, "in_motion": 1}


def test_a_record_that_goes_on_changing_and_never_arrives_is_missing_and_not_in_motion(city):
    turn = count()

    def read():
        city.put(person("lost", name=f"第{next(turn)}次"))
        yield from city.pages()

    made = city.compared(read=read)
    assert counts(made) == {"equal": 40, "refused": 1, "filtered": 1, "missing": 1}
    assert made.passes == 2


def test_a_difference_is_said_only_when_it_stays_while_the_pipeline_has_passed_two_readings(city):
    """It looks lost in the whole first pass, and was only changed between reading and comparing."""
    waits = count()

    def read():
        yield from city.pages()
        if city.reads == 1:
            city.put(person("001", name="李四"))
            city.follow("001")

    made = city.compared(read=read, wait=lambda: next(waits))
    assert counts(made) == {"equal": 40, "refused": 1, "filtered": 1}
    assert (made.passes, next(waits)) == (2, 1)


def test_the_examples_are_bounded_and_the_counts_are_not(city, monkeypatch):
    monkeypatch.setattr(reconciling, "KEPT", 3)
    monkeypatch.setattr(reconciling, "_CHUNK", 4)
    city.put(*(person(f"m{number}") for number in range(11)))
    made = city.compared()
    assert counts(made)["missing"] == 11
    assert len(made.findings.keys["missing"]) == 3


def test_what_comes_last_of_a_key_counts_and_what_is_flagged_as_deleted_is_not_there(tmp_path):
    copy, reading = SourceCopy(tmp_path / "copy"), Reading("hrss", "person", DECLARED, HASHER)
    first = [Upsert("1", person("1"), "x"), Upsert("2", person("2"), "x"), Upsert("1", person("1", name="李四"), "x")]
    copy.read([Page(first, {}), Page([Delete("2", "x")], {})], reading, lambda *_: None)
    rows = dict(copy.rows())
    assert rows == {
        HASHER.record("hrss", "person", "1"): reading.content(HASHER.record("hrss", "person", "1"), first[2].record)
    }
    copy.read([Page(first[1:2], {})], reading, lambda *_: None)
    assert [key for key, _ in copy.rows()] == [HASHER.record("hrss", "person", "2")]
    copy.close()


def test_nothing_of_a_person_is_in_the_files(city):
    city.put(person("370102199001011234"), person("002", name="欧阳小明"))
    city.compared()
    data = b"".join(path.read_bytes() for path in (city.folder / "c0").iterdir())
    assert data
    for text in ("欧阳小明", "370102199001011234", "王小芳"):
        assert text.encode() not in data


def held(state, print_="p", says="", *, shown_held=False):
    return Held(Decided("1", print_, state), Shown(1, says, held=shown_held))


@pytest.mark.parametrize(
    ("source", "known", "said"),
    [
        (Content("p", "s"), held("accepted", says="s"), "equal"),
        (Content("p", "s"), held("accepted", says="s", shown_held=True), "different"),
        (Content("p", "s"), held("accepted", says="other"), "different"),
        (Content("q", "s"), held("accepted", says="s"), "different"),
        (Content("p", "s"), held("accepted"), "missing"),
        (Content("p", "s"), held("gone", ""), "missing"),
        (Content("p", "s"), NOTHING, "missing"),
        (Content("p", ""), held("quarantined"), "refused"),
        (Content("p", ""), held("quarantined", says="older"), "refused"),
        (Content("q", ""), held("quarantined"), "different"),
        (Content("q", ""), held("quarantined", ""), "refused"),
        (Content("p", ""), held("filtered"), "filtered"),
        (Content("p", ""), held("filtered", says="still"), "different"),
        (Content("q", ""), held("filtered"), "different"),
        (None, held("accepted", says="s"), "extra"),
        (None, held("accepted"), "extra"),
        (None, held("gone", "", says="still"), "extra"),
        (None, held("quarantined", says="older"), "extra"),
        (None, held("quarantined"), "gone"),
        (None, held("filtered"), "gone"),
        (None, NOTHING, "gone"),
    ],
)
def test_verdicts(source, known, said):
    assert verdict(source, known) == said


def test_a_checksum_knows_no_order_and_forgets_nothing():
    forth, back, less = Sum(), Sum(), Sum()
    for key in ("a", "b", "c"):
        forth.add(key, "1")
    for key in ("c", "b", "a"):
        back.add(key, "1")
    less.add("a", "1")
    assert forth.hexadecimal() == back.hexadecimal() != less.hexadecimal()
    assert len(less.hexadecimal()) == 64


ROWS, ALLOWED_MB = 200_000, 40
CHILD = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, {here!r})
from test_reconciling import HASHER, DECLARED, peak_mb
from contracts.sources import Source
from connectors.sql import SqlConnector
from onewindow.holdings import Holdings
from onewindow.reconciling import Comparison
from onewindow.source_copy import Reading
from projections.databases import open_view
folder = Path({folder!r})
source = Source.model_validate({{"system": "hrss", "title": "x", "owner": "x",
    "connector": {{"kind": "sql", "url": f"sqlite:///{{folder}}/hrss.db"}}, "datasets": {{"person": DECLARED.model_dump()}}}})
engines = [open_view(f"sqlite:///{{folder}}/{{name}}.sqlite") for name in ("streams", "view")]
work = folder / "work"
work.mkdir()
connector = SqlConnector(source, None, work)
def read(copy):
    copy.read(connector.copy("person"), Reading("hrss", "person", DECLARED, HASHER), lambda *_: None)
before, began = peak_mb(), time.monotonic()
made = Comparison(work, Holdings(*engines, "hrss", "person"), read, lambda: None)
made.run()
print(round(peak_mb() - before, 1), dict(made.findings.counts), round({rows} / (time.monotonic() - began)))
"""


def peak_mb():
    """Not ru_maxrss, which a process inherits from the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process's memory is read from /proc")
@pytest.mark.timeout(300)
def test_two_hundred_thousand_rows_need_little_memory(tmp_path):
    """A source, a store and a view of so many."""
    made = City(tmp_path)
    reading = Reading("hrss", "person", DECLARED, HASHER)
    owner, states, shown = HASHER.provisional, [], []
    for number in range(ROWS):
        key = HASHER.record("hrss", "person", str(number))
        content = reading.content(key, person(str(number)))
        states.append(("hrss.person", key, 0, "1", content.print, "accepted", owner(key), 1))
        fields = '{"care_level":"independent","name":"王小芳"}'
        shown.append(("hrss", "person", key, owner(key), 1, True, fields, "{}", "{}", None, True))
    made.close()
    with sqlite3.connect(tmp_path / "streams.sqlite") as store:
        store.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)", states)
    names = "system, dataset, record_key, resident_id, revision, live, fields, originals, mends, as_of, provisional"
    with sqlite3.connect(tmp_path / "view.sqlite") as view:
        view.executemany(f"INSERT INTO assertion ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", shown)
    with sqlite3.connect(tmp_path / "hrss.db") as source:
        source.execute("CREATE TABLE ac01 (nr TEXT PRIMARY KEY, name TEXT, care TEXT, kind TEXT)")
        source.executemany("INSERT INTO ac01 VALUES (?, '王小芳', '1', 'a')", [(str(each),) for each in range(ROWS)])
    for connection in (store, view, source):
        connection.close()
    script = CHILD.format(here=str(Path(__file__).parent), folder=str(tmp_path), rows=ROWS)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    grown, said = done.stdout.split(" ", 1)
    print(done.stdout)
    assert f"{{'equal': {ROWS}}}" in said
    assert 0 < float(grown) < ALLOWED_MB
