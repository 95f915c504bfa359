"""残联's own system: its register, and the API by which a pipeline reaches it."""

import base64
import json
import socket
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from urllib.parse import quote, urlencode, urlsplit

import pytest

from examples.city.card_api import CardApi, Page, Tokens
from examples.city.disabled_persons import CLIENT, COLUMNS, CardRegister, DisabledPersons
from examples.city.people import person
from examples.city.records import CARD, card_of, revoked

SECRET = "s3cr=t&c"


class Clock:
    """Seconds that pass when the test says so."""

    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def register(tmp_path):
    register = CardRegister(tmp_path / "cards.sqlite")
    register.create()
    return register


@pytest.fixture
def api(register, clock):
    with closing(CardApi(register.page, Tokens(CLIENT, SECRET, lasts_s=60, monotonic=clock))) as api:
        yield api


def card(number, **changed):
    who = person(1, number)._replace(disability_category="physical", disability_level="2")
    record = card_of(who, "2024-05-06")
    return record._replace(row={**record.row, "jbsj": f"2024-12-{number % 20 + 1:02d} 08:00:00", **changed})


def write(register, *records, now=None):
    with register.changing() as connection:
        register.write(connection, records, now)


def load(register, *records):
    with register.changing() as connection:
        register.load(connection, records)


def asked(api, method, path, *, token=None, form=None, headers=None):
    """The status of an answer, and its JSON."""
    with closing(HTTPConnection("127.0.0.1", api.port, timeout=10)) as http:
        body = urlencode(form) if form is not None else None
        login = {"Authorization": f"Bearer {token}"} if token else {}
        http.request(method, "/api/v1" + path, body, login | (headers or {}))
        answer = http.getresponse()
        return answer.status, json.loads(answer.read())


def login(api, **changed):
    form = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET} | changed
    return asked(api, "POST", "/oauth/token", form=form)


def cards(api, token=None, **query):
    token = token or login(api)[1]["access_token"]
    status, said = asked(api, "GET", "/cards?" + urlencode(query), token=token)
    assert status == 200, said
    return said["data"]


def keys(page):
    return [each["cjrbh"] for each in page["list"]]


def all_pages(api, size, between=lambda: None, **query):
    """Every card as often as it came, page after page."""
    found, page = [], cards(api, size=size, **query)
    while True:
        found += page["list"]
        if page["next"] is None:
            return found
        between()
        page = cards(api, size=size, cursor=page["next"], **query)


# login ----------------------------------------------------------------------------------------------------------------


def test_a_login_gives_a_token_and_says_how_long_it_holds(api):
    status, said = login(api)
    assert (status, said["token_type"], said["expires_in"]) == (200, "Bearer", 60)
    assert login(api)[1]["access_token"] != said["access_token"]


@pytest.mark.parametrize(
    ("form", "status"),
    [({"client_secret": "s3cr=t"}, 401), ({"client_secret": ""}, 401), ({"client_id": "another"}, 401),
     ({"client_secret": "秘密"}, 401), ({"grant_type": "password"}, 400)],
)  # fmt: skip
def test_another_login_gives_none(api, form, status):
    found, said = login(api, **form)
    assert found == status
    assert "access_token" not in said
    assert SECRET not in json.dumps(said)


def test_a_form_that_is_no_form_gives_none(api):
    assert asked(api, "POST", "/oauth/token", form={"client_secret": "x" * 5_000})[0] == 413
    assert asked(api, "POST", "/oauth/token", form={}, headers={"Content-Length": "many"})[0] == 413


@pytest.mark.parametrize("token", [None, "wrong", "Bearer"])
def test_without_a_token_nothing_is_said(api, register, token):
    load(register, card(1))
    status, said = asked(api, "GET", "/cards", token=token)
    assert status == 401
    assert "data" not in said


def test_a_token_expires_and_another_login_helps(api, clock):
    token = login(api)[1]["access_token"]
    clock.now += 59.9
    assert asked(api, "GET", "/cards", token=token)[0] == 200
    clock.now += 0.1
    assert asked(api, "GET", "/cards", token=token)[0] == 401
    assert asked(api, "GET", "/cards", token=login(api)[1]["access_token"])[0] == 200


def test_tokens_that_have_expired_are_forgotten(clock):
    tokens = Tokens(CLIENT, SECRET, lasts_s=60, monotonic=clock)
    for _ in range(5):
        tokens.given(CLIENT, SECRET)
    clock.now += 60
    tokens.given(CLIENT, SECRET)
    assert len(tokens._until) == 1


# cards ----------------------------------------------------------------------------------------------------------------


def test_a_card_is_given_with_all_its_columns(api, register):
    record = card(1)
    load(register, record)
    (shown,) = cards(api)["list"]
    assert shown == {**record.row, "gxsj": "2024-12-02 08:00:00.000"}
    assert list(shown) == list(COLUMNS)


def test_no_cards_are_a_page_without_any(api):
    assert cards(api) == {"total": 0, "list": [], "next": None}


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 100])
def test_page_by_page_each_comes_once_though_many_changed_in_the_same_moment(api, register, size):
    load(register, *(card(number) for number in (1, 21, 41, 2, 22)))
    write(register, card(3), card(4))
    found = [each["cjrbh"] for each in all_pages(api, size)]
    assert sorted(found) == sorted(each["cjrbh"] for each in register.rows())
    assert len(found) == 7
    changed = [(each["gxsj"], each["cjrbh"]) for each in all_pages(api, size)]
    assert changed == sorted(changed)


def test_a_page_is_never_larger_than_the_api_allows(api, register):
    load(register, *(card(number) for number in range(501)))
    page = cards(api, size=100_000)
    assert (len(page["list"]), page["total"]) == (500, 501)
    assert len(cards(api)["list"]) == 100
    assert len(cards(api, size=500, cursor=page["next"])["list"]) == 1


def test_what_changes_while_pages_are_read_comes_at_their_end(api, register):
    """Nothing is passed over: neither who stood before the border, nor who stood behind it."""
    load(register, *(card(number) for number in range(1, 7)))
    changes = iter([card(2, lxdh="10030000001"), card(6, lxdh="10030000002"), card(9)])

    def between():
        for record in changes:
            write(register, record)
            return

    found = all_pages(api, 2, between)
    newest = {each["cjrbh"]: each for each in found}
    assert newest == {each["cjrbh"]: each for each in register.rows()}
    assert len(newest) == 7
    assert [each["cjrbh"] for each in found].count(card(2).key) == 2


def test_only_what_has_changed_since_is_given_and_counted(api, register):
    load(register, *(card(number) for number in range(1, 7)))
    at = datetime(2026, 11, 28, 4, 0, tzinfo=UTC)
    write(register, card(3, cjdj="4"), now=at)
    write(register, card(5, cjdj="4"), now=at + timedelta(seconds=5))
    page = cards(api, updated_since="2026-11-28 12:00:00.000")
    assert (keys(page), page["total"]) == ([card(3).key, card(5).key], 2)
    assert keys(cards(api, updated_since="2026-11-28 12:00:00.001")) == [card(5).key]
    assert keys(cards(api, updated_since="2026-11-28T04:00:05Z")) == [card(5).key]
    assert cards(api, updated_since="2026-11-28 12:00:05.001") == {"total": 0, "list": [], "next": None}
    first = cards(api, size=1, updated_since="2026-11-28 12:00:00.000")
    assert keys(cards(api, size=1, updated_since="2026-11-28 12:00:00.000", cursor=first["next"])) == [card(5).key]


def test_a_change_is_later_than_all_before_it_though_the_clock_goes_back(api, register):
    at = datetime(2026, 11, 28, 4, 0, tzinfo=UTC)
    for number, moment in ((1, at), (2, at), (3, at - timedelta(hours=1))):
        write(register, card(number), now=moment)
    assert [each["gxsj"][11:] for each in cards(api)["list"]] == ["12:00:00.000", "12:00:00.001", "12:00:00.002"]


def test_a_card_that_was_cancelled_is_given_with_its_mark(api, register):
    load(register, card(1), card(2))
    write(register, revoked(card(1)))
    assert {each["cjrbh"]: each["zxbz"] for each in cards(api)["list"]} == {card(1).key: "1", card(2).key: "0"}


@pytest.mark.parametrize(
    "query",
    ["size=0", "size=-1", "size=many", "size=%C2%B2", "size=" + "9" * 5_000, "updated_since=yesterday", "updated_since=0001-01-01T00:00:00%2B14:00",
     "cursor=x", "cursor=%ff", "cursor=MjAyNA==", "cjzh=37990119700515101942", "gmsfhm=379901197005151019", "page=2"],
)  # fmt: skip
def test_an_address_that_is_not_understood_is_refused_and_not_repeated(api, query):
    status, said = asked(api, "GET", "/cards?" + query, token=login(api)[1]["access_token"])
    assert status == 400
    assert "1970" not in json.dumps(said)


def test_no_address_holds_anything_of_a_person(api, register):
    load(register, *(card(number) for number in range(1, 4)))
    page = cards(api, size=1)
    last = page["list"][0]
    assert base64.urlsafe_b64decode(page["next"]).decode() == f"{last['gxsj']}|{last['cjrbh']}"


def test_elsewhere_there_is_nothing(api):
    assert asked(api, "GET", "/nothing")[0] == asked(api, "GET", "/../cards")[0] == 404
    assert asked(api, "POST", "/cards", form={})[0] == asked(api, "GET", "/oauth/token")[0] == 404


def test_nothing_is_logged(api, capfd):
    asked(api, "GET", "/cards?cjzh=" + quote("37990119700515101942"))
    with socket.create_connection(("127.0.0.1", api.port)) as rude:
        rude.sendall(b"GET /api/v1/cards HTTP/1.1\r\n")  # and goes away
    assert login(api)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_two_are_answered_at_the_same_time(clock):
    both = threading.Barrier(2, timeout=10)

    def page(*_):
        both.wait()
        return Page([], 0, None)

    with closing(CardApi(page, Tokens(CLIENT, SECRET, lasts_s=60, monotonic=clock))) as api:
        token, found = login(api)[1]["access_token"], []
        threads = [threading.Thread(target=lambda: found.append(cards(api, token))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [{"total": 0, "list": [], "next": None}] * 2


# the department -------------------------------------------------------------------------------------------------------


def test_it_comes_back_on_its_port_with_its_secret_and_its_cards(tmp_path):
    department = DisabledPersons(tmp_path)
    department.start()
    department.commit([card(1)])
    before = department.reader_url, department.password_file.read_text()
    department.stop()
    department = DisabledPersons(tmp_path)
    department.start()
    assert (department.reader_url, department.password_file.read_text()) == before
    assert [each["cjrbh"] for each in department.register.rows()] == [card(1).key]
    assert department.password_file.stat().st_mode & 0o777 == 0o600
    department.stop()


def test_it_takes_another_port_where_its_own_is_taken_and_says_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (tmp_path / "disabled_persons.port").write_text(str(taken))
        department = DisabledPersons(tmp_path)
        department.start()
        port = urlsplit(department.reader_url).port
        assert port != taken
        socket.create_connection(("127.0.0.1", port)).close()
        department.stop()


def test_who_joins_writes_too_and_leaves_it_up(tmp_path):
    department, neighbour = DisabledPersons(tmp_path), DisabledPersons(tmp_path)
    department.start()
    neighbour.start()
    assert (department.owned, neighbour.owned) == (True, False)
    assert neighbour.reader_url == department.reader_url
    neighbour.commit([card(1)])
    neighbour.stop()
    assert [each["cjrbh"] for each in department.register.rows()] == [card(1).key]
    socket.create_connection(("127.0.0.1", urlsplit(department.reader_url).port)).close()
    department.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(department.reader_url).port))


def test_a_filling_that_is_broken_off_leaves_what_was_there(tmp_path):
    department = DisabledPersons(tmp_path)
    department.start()
    department.commit([card(1)])

    def fill():
        with department.filling():
            department.load(CARD, [card(2)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert [each["cjrbh"] for each in department.register.rows()] == [card(1).key]
    with department.filling():
        department.load(CARD, [card(2)])
    assert [each["cjrbh"] for each in department.register.rows()] == [card(2).key]
    department.stop()
