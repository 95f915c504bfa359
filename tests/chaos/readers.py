"""Readers that look all the while: at the view, in one snapshot each time; at the status; at what the roles use.

Each is a thread; what it saw goes into the history, and the newest stands in ``latest``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psutil
import sqlalchemy as sa

from chaos.history import Entry, History
from contracts.errors import OneWindowError
from onewindow import run_files
from onewindow.settings import Deployment
from onewindow.status import Watcher
from projections.bulk import Collision
from projections.databases import open_view, reading
from projections.tables import assertion, community, position

FLOWING = ("hrss",)
"""Systems whose datasets change several times a second; the others deliver now and then."""
_COMMUNITY = (
    "residents", "deceased", "female", "male", "provisional", "living_alone", "care_partial", "care_full",
    "disability_cards", "pensions_paying", "allowances_paying", "low_incomes_paying", "benefit_fen_paying",
    "households",
)  # fmt: skip
_LIVES = "(alive is null or alive)"
_COUNTED = {
    "residents": _LIVES,
    "deceased": f"not {_LIVES}",
    "female": f"{_LIVES} and sex = 'female'",
    "male": f"{_LIVES} and sex = 'male'",
    "provisional": f"{_LIVES} and provisional",
    "living_alone": f"{_LIVES} and living_alone",
    "care_partial": f"{_LIVES} and care_level = 'partial'",
    "care_full": f"{_LIVES} and care_level = 'full'",
    "disability_cards": f"{_LIVES} and disability_category is not null",
}
_RESIDENTS = sa.text(
    "select "
    + ", ".join(f"coalesce(sum(case when {rule} then 1 else 0 end), 0) as {name}" for name, rule in _COUNTED.items())
    + " from resident where community_code is not null"
)
_BENEFITS = sa.text(
    "select coalesce(sum(case when kind = 'pension' then 1 else 0 end), 0) as pensions_paying,"
    " coalesce(sum(case when kind = 'old_age_allowance' then 1 else 0 end), 0) as allowances_paying,"
    " coalesce(sum(case when kind = 'low_income' then 1 else 0 end), 0) as low_incomes_paying,"
    " coalesce(sum(amount_fen), 0) as benefit_fen_paying"
    " from benefit join resident on resident.resident_id = benefit.resident_id"
    " where state = 'paying' and community_code is not null"
)
_HOUSEHOLDS = sa.text("select count(*) as households from household where community_code is not null")
_OF_RESIDENTS = sa.text("select coalesce(sum(records), 0), coalesce(sum(held), 0) from resident")
_OF_RECORDS = sa.text(
    "select count(*), coalesce(sum(case when held_reason is not null then 1 else 0 end), 0) from assertion where live"
)
_NOBODYS = sa.text(
    "select count(*) from assertion where live and not exists"
    " (select 1 from resident where resident.resident_id = assertion.resident_id)"
)
_UNINHABITED = sa.text(
    "select count(*) from household where not exists (select 1 from household_member as m where m.system = household.system"
    " and m.dataset = household.dataset and m.household_number = household.household_number)"
)
_RECORDLESS = sa.text(
    "select count(*) from resident where not exists"
    " (select 1 from assertion where live and assertion.resident_id = resident.resident_id)"
)


class Reader:
    """A thread that looks again and again, every ``each_s``."""

    def __init__(self, history: History, each_s: float) -> None:
        self.history, self._each_s = history, each_s
        self.latest: Entry | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when the last look is over."""
        self._stop.set()
        self._thread.join(60)
        self.close()

    def close(self) -> None:
        """Let go of connections."""

    def _run(self) -> None:
        while not self._stop.wait(self._each_s):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a reader that ends would see nothing wrong any more
                self.history.add("trouble", what=f"{type(self).__name__}: {type(error).__name__}: {error}"[:500])

    def look(self) -> None:
        raise NotImplementedError


class ViewReader(Reader):
    """Reads the view in one snapshot: sums, positions, owners, records. ``url`` names the view at that moment; ``flows``
    says whether changes are made now."""

    def __init__(
        self, history: History, url: Callable[[], str], flows: Callable[[], bool], each_s: float = 0.2
    ) -> None:
        super().__init__(history, each_s)
        self._url, self._flows = url, flows
        self._engine: sa.Engine | None = None
        self._at = ""
        self._known: dict[str, list[Any]] = {}
        self.reads = 0

    def look(self) -> None:
        begun = self.history.now
        if self._url() != self._at:
            self.close()
            self._at = self._url()
            self._engine = open_view(self._at, busy_timeout_s=2.0)
        assert self._engine is not None
        try:
            with reading(self._engine) as view:
                if not sa.inspect(view).has_table("resident"):
                    return
                seen = snapshot(view)
        except (OneWindowError, Collision, sa.exc.DBAPIError) as error:
            self.history.add("unread", error=type(error).__name__)
            return
        records = seen.pop("all")
        changed = {key: record for key, record in records.items() if self._known.get(key) != record}
        gone = [key for key in self._known if key not in records]
        self._known = records
        self.reads += 1
        self.latest = self.history.add(
            "read", begun=round(begun, 3), **seen, records=changed, gone=gone, flows=self._flows()
        )

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def snapshot(view: sa.Connection) -> dict[str, Any]:
    """Everything that is checked, in one transaction of the caller's. ``lag``: seconds since the newest commit that is
    shown, of each dataset of the log capture."""
    totals = view.execute(
        sa.select(*(sa.func.coalesce(sa.func.sum(community.c[name]), 0).label(name) for name in _COMMUNITY))
    ).one()
    counted = {**view.execute(_RESIDENTS).one()._mapping, **view.execute(_BENEFITS).one()._mapping}
    counted |= view.execute(_HOUSEHOLDS).one()._mapping
    of_residents, of_records = view.execute(_OF_RESIDENTS).one(), view.execute(_OF_RECORDS).one()
    sums = {name: int(totals._mapping[name]) - int(counted[name]) for name in _COMMUNITY}
    sums |= {"records": int(of_residents[0]) - int(of_records[0]), "held": int(of_residents[1]) - int(of_records[1])}
    positions = {
        f"{row.topic}/{row.partition}": row.next_offset
        for row in view.execute(sa.select(position.c.topic, position.c.partition, position.c.next_offset))
    }
    repeated = view.scalar(sa.select(sa.func.coalesce(sa.func.sum(position.c.repeated), 0)))
    rows = view.execute(
        sa.select(
            assertion.c.system, assertion.c.dataset, assertion.c.record_key, assertion.c.revision, assertion.c.live,
            assertion.c.resident_id, assertion.c.committed_at,
        )
    )  # fmt: skip
    newest: dict[str, str] = {}
    records = {}
    for system, dataset, key, revision, live, owner, committed_at in rows:
        records[f"{system}.{dataset}/{key}"] = [revision, bool(live), owner]
        if system in FLOWING and committed_at and committed_at > newest.get(f"{system}.{dataset}", ""):
            newest[f"{system}.{dataset}"] = committed_at
    now = time.time()
    return {
        "sums": sums,
        "orphans": {
            "nobody's records": view.scalar(_NOBODYS),
            "residents without a record": view.scalar(_RECORDLESS),
            "households without a member": view.scalar(_UNINHABITED),
        },
        "positions": positions,
        "repeated": int(repeated or 0),
        "all": records,
        "lag": {name: round(now - datetime.fromisoformat(at).timestamp(), 3) for name, at in newest.items()},
    }


class StatusReader(Reader):
    """Looks at the status as ``onewindow status`` does, and now and then runs that command itself."""

    def __init__(self, history: History, deployment: Deployment, each_s: float = 1.0, command_s: float = 30.0) -> None:
        super().__init__(history, each_s)
        self._deployment, self._watcher, self._command_s = deployment, Watcher(deployment), command_s
        self.found: dict[str, Any] | None = None
        self._next_command = command_s

    def look(self) -> None:
        begun = self.history.now
        found = self._watcher.look()
        self._note(found, begun, "look")
        self.found = found
        if self.history.now > self._next_command:
            begun, self._next_command = self.history.now, self.history.now + self._command_s
            done = subprocess.run(
                [sys.executable, "-m", "onewindow", "-C", str(self._deployment.directory), "status", "--json"],
                capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            if not done.stdout or "Traceback" in done.stderr:
                self.history.add("trouble", what=f"onewindow status: exit {done.returncode}: {done.stderr[-300:]}")
                return
            self._note(json.loads(done.stdout), begun, "command")

    def _note(self, found: dict[str, Any], begun: float, by: str) -> None:
        entry = self.history.add(
            "status",
            begun=round(begun, 3),
            by=by,
            state=found["state"],
            problems={problem["where"]: problem["code"] for problem in found["problems"]},
            sources={
                f"{source['system']}.{source['dataset']}": {
                    "state": source["state"],
                    "code": source["error"]["code"] if source["error"] else None,
                    "pending": source["pending"],
                }
                for source in found["sources"]
            },
            outbox=found["outbox_rows"],
            behind=found["view_behind_events"],
        )
        if by == "look":
            self.latest = entry

    @property
    def caught_up(self) -> bool:
        """Whether all that was read is in the view."""
        return self.found is not None and self._watcher.caught_up(self.found)

    def close(self) -> None:
        self._watcher.close()  # it opens again what it needs, if it looks once more


class ResourceReader(Reader):
    """What each role uses."""

    def __init__(self, history: History, deployment: Deployment, roles: list[str], each_s: float = 2.0) -> None:
        super().__init__(history, each_s)
        self._directory, self._roles = deployment.directory, roles

    def look(self) -> None:
        found = {}
        for role in self._roles:
            about = run_files.read(self._directory, role)
            try:
                process = psutil.Process(about["pid"])
                found[role] = {
                    "rss_mb": round(process.memory_info().rss / 2**20, 1),
                    "files": process.num_fds(),
                    "pid": process.pid,
                }
            except (KeyError, psutil.Error):
                continue
        used = sum(path.stat().st_size for path in self._directory.glob("*.sqlite*"))
        self.latest = self.history.add("resources", roles=found, databases_mb=round(used / 2**20, 1))
