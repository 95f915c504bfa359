"""Runs a role that kills itself with SIGKILL at a named boundary, as often over all its lives as it may.

    python killed_role.py DIRECTORY ROLE LEDGER [BOUNDARY]

``LEDGER.allowed`` holds how many kills there may be up to now. The product is not changed: its seams (a publisher's flush, a
database's commit, a log's append, a rebalance) are wrapped here. Each kill is written down first, with the boundary and how
many records were under way; one that would hit no work is left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

import sqlalchemy as sa
from kafka.admin import KafkaAdminClient

from onewindow import logs, roles
from onewindow.settings import Deployment

DIRECTORY, ROLE, LEDGER = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
REBALANCE = "in a rebalance"
BOUNDARIES = (
    sys.argv[4:]
    or {
        "broker": ["written, not acknowledged"],
        "connectors": ["sent, not saved", "saved, not gone on"],
        "streams": ["decided, not committed", "committed, not published", "published, not deleted"],
        "projections": ["applied, not committed", "committed, not acknowledged"],
    }[ROLE]
)
EACH = 2  # passes of the boundary in one life before the kill: so that each life also gets something done
LONGEST_S = 30.0  # how long a batch is kept waiting for a rebalance, and that for the batch's commit


def done() -> list[dict[str, object]]:
    if not LEDGER.exists():
        return []
    return [item for item in map(json.loads, LEDGER.read_text().splitlines()) if item["role"] == ROLE]


def allowed() -> int:
    return int(LEDGER.with_suffix(".allowed").read_text())


def group_state() -> str | None:
    """What the broker says of the group of streams; None where that is not asked for."""
    if boundary != REBALANCE:
        return None
    admin = KafkaAdminClient(bootstrap_servers=Deployment(DIRECTORY).bootstrap)
    (about,) = admin.describe_groups(["onewindow-streams"]).values()
    admin.close()
    return about["group_state"]


killed = len(done())
boundary = BOUNDARIES[killed % len(BOUNDARIES)]
passes = [0]
dying = threading.Lock()


def at(place: str, records: int) -> None:
    """The boundary is here, with so many records under way."""
    if place != boundary or records == 0 or killed >= allowed():
        return
    passes[0] += 1
    if passes[0] < EACH and place != REBALANCE:
        return
    dying.acquire()  # for good: of several threads, one writes down the kill
    with LEDGER.open("a") as file:
        file.write(json.dumps({"role": ROLE, "boundary": place, "records": records, "group": group_state()}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(owner: object, name: str, before=None, after=None) -> None:
    real = getattr(owner, name)

    def wrapped(*arguments, **named):
        if before:
            before(*arguments, **named)
        outcome = real(*arguments, **named)
        if after:
            after(outcome, *arguments, **named)
        return outcome

    setattr(owner, name, wrapped)


def arm_broker() -> None:
    from broker.log import Partition

    def appended(_outcome, partition, records):
        events = partition.directory.name.startswith(("department.", "community."))
        at("written, not acknowledged", len(records) if events else 0)

    wrap(Partition, "append", after=appended)


def arm_connectors() -> None:
    from producers import producer
    from producers.publisher import Publisher

    producer.SAVE_EVERY_S = 0.0  # each page is saved: more boundaries to die at
    unsaved = [0]

    def published(_outcome, _self, topic, records, *_more, **_named):
        if topic.startswith("department."):
            unsaved[0] += len(records)
        elif unsaved[0]:
            at("saved, not gone on", unsaved[0])
            unsaved[0] = 0

    def saving(*_arguments, **_named):
        at("sent, not saved", unsaved[0])

    wrap(Publisher, "publish", after=published)
    wrap(producer, "saved_record", before=saving)


def arm_streams() -> None:
    from streams.batches import BatchConsumer
    from streams.intake import Intake
    from streams.store import Store

    under_way = [0]

    rebalancing = threading.Event()

    def taking(_self, batches):
        under_way[0] = sum(len(batch.records) for batch in batches)
        if boundary == REBALANCE and killed < allowed():
            LEDGER.with_suffix(".working").touch()
            rebalancing.wait(LONGEST_S)

    def committing(_connection):
        at(REBALANCE if rebalancing.is_set() else "decided, not committed", under_way[0])

    async def revoked(consumer, partitions):
        if boundary == REBALANCE and under_way[0]:
            rebalancing.set()
            await asyncio.sleep(LONGEST_S)  # the broker waits for this member to join again; it never will
        await really_revoked(consumer, partitions)

    really_revoked = BatchConsumer.on_partitions_revoked
    BatchConsumer.on_partitions_revoked = revoked

    def taken(outcome, *_arguments):
        under_way[0] = 0
        at("committed, not published", outcome.counts["accepted"])

    wrap(Intake, "take_together", before=taking, after=taken)
    wrap(Store, "sent", before=lambda _self, ids: at("published, not deleted", len(ids)))
    sa.event.listen(sa.engine.Engine, "commit", committing)


def arm_projections() -> None:
    from projections.engine import ViewEngine

    under_way = [0]

    def taking(_self, batches):
        under_way[0] = sum(len(batch.arrivals) for batch in batches)

    def committing(_connection):
        at("applied, not committed", under_way[0])

    def taken(outcome, *_arguments):
        under_way[0] = 0
        at("committed, not acknowledged", sum(each.applied for each in outcome))

    wrap(ViewEngine, "take_together", before=taking, after=taken)
    sa.event.listen(sa.engine.Engine, "commit", committing)


def small_batches() -> None:
    """What a role finds after it was away comes in few large batches; small ones give it boundaries to die at."""
    from streams import roles as streams_roles
    from streams.batches import BatchConsumer

    BatchConsumer.largest_batch = streams_roles.DECIDED = streams_roles.FOLDED = 20


small_batches()
{"broker": arm_broker, "connectors": arm_connectors, "streams": arm_streams, "projections": arm_projections}[ROLE]()
logs.configure(ROLE)
roles.run(Deployment(DIRECTORY), ROLE)
