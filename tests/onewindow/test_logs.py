"""What libraries say again and again is heard once a minute."""

from __future__ import annotations

import logging

from onewindow.logs import Lenient, OncePerMinute


def record(message, *values, name="aiokafka.consumer.fetcher"):
    return logging.LogRecord(name, logging.WARNING, "fetcher.py", 7, message, values, None)


def test_a_message_is_heard_once_a_minute():
    now = [100.0]
    heard = OncePerMinute(clock=lambda: now[0]).filter
    assert heard(record("error %s", 1))
    assert not heard(record("error %s", 2))
    assert heard(record("another %s", 2))
    now[0] += 61
    assert heard(record("error %s", 3))


def test_what_the_broker_says_of_two_things_is_heard_twice():
    heard = OncePerMinute(clock=lambda: 100.0).filter
    assert heard(record("%s is damaged", "a-0", name="broker.log"))
    assert heard(record("%s is damaged", "a-1", name="broker.log"))
    assert not heard(record("%s is damaged", "a-1", name="broker.log"))


class FullDisk:
    def write(self, _text):
        raise OSError(28, "No space left on device")

    def flush(self):
        self.write("")


def test_a_line_that_can_not_be_written_is_left_out(tmp_path):
    full = Lenient(FullDisk())
    assert full.write("a line") == 6
    with (tmp_path / "role.log").open("w") as file:
        Lenient(file).write("another")
        Lenient(file).flush()
        assert (tmp_path / "role.log").read_text() == "another"
