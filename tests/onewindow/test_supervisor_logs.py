"""The logs of the roles stay of a size."""

from __future__ import annotations

import sys

from onewindow import supervisor
from onewindow.supervisor import Supervisor

SPEAK = "import sys, time; print('x' * 2_000, flush=True); sys.stdin.read(); time.sleep(60)"


def test_a_log_that_is_full_is_kept_once_and_begun_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "_LOG_BYTES", 1_000)
    looked = Supervisor(tmp_path, ["streams"], commands=lambda *_: [sys.executable, "-c", SPEAK])
    log = tmp_path / "run" / "streams.log"
    looked.start()
    try:
        while log.stat().st_size < 2_000:
            pass
        looked.tend()
        assert log.stat().st_size == 0
        assert (tmp_path / "run" / "streams.log.1").stat().st_size == 2_001
        assert looked.roles[0].log_from == 0
    finally:
        looked.stop()
