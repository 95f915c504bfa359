"""Faults of the services of a city: nodes of Apache Kafka, and the database of the view and of streams."""

from __future__ import annotations

import signal
import time

import psycopg

from chaos.faults.base import Fault
from chaos.proxy import HEALTHY, Toxics
from contracts.errors import DatabaseUnreachable

ON = ("services",)


class KillNode(Fault):
    nemesis, title, weight, on = "N1", "kill -9 of one of three Kafka nodes", 10, ON

    def _node(self) -> int:
        return self.rng.choice(list(self.town.kafka.nodes))

    def begin(self) -> str:
        self.node = self._node()
        self.town.kafka.kill_node(self.node)
        self.seconds = self.rng.uniform(1, 6)
        return f"node {self.node}"

    def end(self) -> None:
        self.town.kafka.start_node(self.node)


class KillController(KillNode):
    nemesis, title, weight, on = "N1", "kill -9 of the Kafka controller", 6, ON

    def _node(self) -> int:
        return self.town.controller()


class PauseNode(Fault):
    nemesis, title, weight, on = "N2", "SIGSTOP of a Kafka node", 6, ON

    def begin(self) -> str:
        self.node = self.rng.choice(list(self.town.kafka.nodes))
        self.seconds = self.rng.uniform(2, 12)
        self.town.kafka.processes[self.node].signal(signal.SIGSTOP)
        return f"node {self.node}, {self.seconds:.0f} s"

    def end(self) -> None:
        self.town.kafka.processes[self.node].signal(signal.SIGCONT)


class CrashDatabase(Fault):
    nemesis, title, weight, on = "N8", "kill -9 of the view's database", 6, ON
    shows = (DatabaseUnreachable.code,)

    def begin(self) -> str:
        pair = self.town.pair
        pair.processes[pair.primary].kill()
        self.seconds = self.rng.uniform(0.5, 5)
        return "primary"

    def end(self) -> None:
        pair = self.town.pair
        pair.start_server(pair.primary)


class CutDatabaseSessions(Fault):
    nemesis, title, weight, on = "N8", "sessions at the view's database cut in mid-transaction", 8, ON

    def begin(self) -> str:
        ended = 0
        with self.town.pair.admin() as connection:
            for _ in range(self.rng.randint(2, 6)):
                row = connection.execute(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                    " where backend_type = 'client backend' and pid <> pg_backend_pid() and datname in ('view', 'streams')"
                ).fetchone()
                ended += row[0] if row else 0
                time.sleep(self.rng.uniform(0.05, 0.4))  # they come back, and are cut again
        return f"{ended} sessions"


class ReadOnlyDatabase(Fault):
    """The database answers and refuses to write, as a primary does that was demoted."""

    nemesis, title, weight, on = "N8", "the view's database is read-only", 5, ON

    def begin(self) -> str:
        self._set("on")
        self.seconds = self.rng.uniform(2, 6)
        return "primary"

    def _set(self, value: str) -> None:
        with self.town.pair.admin() as connection:
            connection.execute("set default_transaction_read_only = off")
            connection.execute(f"alter system set default_transaction_read_only = {value}")
            connection.execute("select pg_reload_conf()")

    def end(self) -> None:
        self._set("off")


class LostTail(Fault):
    """The standby stops hearing of what is committed, the primary dies, and the standby takes over without its tail."""

    nemesis, title, weight, on = "N8", "promotion of a standby that lost its tail", 5, ON
    rolls_back = True

    def begin(self) -> str:
        pair = self.town.pair
        pair.replication.poison(Toxics(cut=("down",)))
        time.sleep(self.rng.uniform(1, 3))  # what is committed now will be lost
        with pair.admin() as connection, pair.admin(pair.standby) as behind:
            try:
                now = connection.execute("select pg_current_wal_lsn()").fetchone()
                there = behind.execute("select pg_last_wal_receive_lsn()").fetchone()
                lost = connection.execute("select %s::pg_lsn - %s::pg_lsn", (now[0], there[0])).fetchone()
            except psycopg.Error:
                lost = (0,)
        pair.processes[pair.primary].kill()
        pair.replication.drop()
        pair.promote()
        return f"{int(lost[0]) >> 10} kB of log lost"

    def end(self) -> None:
        """The old primary comes back as the standby of the new one."""
        pair = self.town.pair
        pair.replication.poison(HEALTHY)
        pair.copy_to_standby()
