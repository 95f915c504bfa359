"""Known ways to get such a system wrong, each as a change of our code, and the tests that must see it.

The kinds are those that tests of systems like this one have been found to miss: a suite that lets one of them pass proves
little. ``mask after search`` is not among them: nothing here searches yet.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """``old`` stands exactly once in ``path`` and becomes ``new``; one of ``tests`` must fail then."""

    kind: str
    path: str
    old: str
    new: str
    tests: str


_ENGINE, _INTAKE, _PRODUCER = "projections/engine.py", "streams/intake.py", "producers/producer.py"
_ENGINE_TESTS, _INTAKE_TESTS = "tests/projections/test_view_engine.py", "tests/streams/test_intake.py"
_PRODUCER_TESTS = "tests/producers/test_producer.py"

MUTANTS = [
    Mutant(
        "acknowledge before commit: a position is saved before its changes are durable",
        _PRODUCER,
        "while self._waiting and self._waiting[0][0] <= self._publisher.acked:",
        "while self._waiting:",
        f"{_PRODUCER_TESTS}::test_a_position_never_leaves_before_what_it_stands_for_is_acknowledged",
    ),
    Mutant(
        "acknowledge before commit: a source may forget what is not saved yet",
        _PRODUCER,
        "while self._unconfirmed and self._unconfirmed[0][0] <= self._publisher.acked:",
        "while self._unconfirmed:",
        "tests/producers/test_lost_positions.py::test_nothing_is_confirmed_before_its_save_is_acknowledged",
    ),
    Mutant(
        "acknowledge before commit: an exchange table is marked before its position is saved",
        "connectors/exchange.py",
        "while memory.pages and memory.pages[0].number <= memory.confirmed:",
        "while memory.pages:",
        "tests/connectors/test_exchange.py::TestOnSqlite::test_only_what_is_confirmed_is_marked",
    ),
    Mutant(
        "a page that was not published is taken for one that was",
        "connectors/exchange.py",
        "        while self.pages and (self.pages[-1].number > number or number > self.number):\n",
        "        while False:\n",
        "tests/connectors/test_exchange.py::TestOnSqlite::test_a_page_that_was_not_published_is_neither_marked_nor_forgotten",
    ),
    Mutant(
        "acknowledge before commit: the broker answers before its disk has it",
        "broker/flusher.py",
        "        if self.policy == Fsync.ALWAYS:\n            await self.flush()",
        "        if self.policy == Fsync.ALWAYS:\n            asyncio.ensure_future(self.flush())",
        "tests/broker/test_fsync.py::test_no_acknowledgement_goes_out_and_nothing_is_read_before_the_sync",
    ),
    Mutant(
        "position outside of the transaction: of the view",
        _ENGINE,
        "        with bulk.together(view):\n            _write_books",
        "        view.connection.commit()\n        with bulk.together(view):\n            _write_books",
        f"{_ENGINE_TESTS}::test_a_crash_at_the_commit_keeps_nothing",
    ),
    Mutant(
        "position outside of the transaction: of streams",
        _INTAKE,
        "        self._store.refuse(connection, group.refusals.values())\n",
        "        connection.connection.commit()\n        self._store.refuse(connection, group.refusals.values())\n",
        f"{_INTAKE_TESTS}::test_a_crash_anywhere_in_a_batch_keeps_nothing_of_it",
    ),
    Mutant(
        ">= for > in the guard: a record's revision",
        "projections/residents.py",
        "        if event.revision <= self.revision:\n",
        "        if event.revision < self.revision:\n",
        "tests/projections/test_residents.py::test_a_greater_revision_replaces_and_an_equal_or_lower_one_is_ignored",
    ),
    Mutant(
        "a derived row of a part of its members: a household of those in the batch",
        "projections/households.py",
        "                self._members[_of(row)][row[:3]] = row",
        "                self._members[_of(row)].setdefault(row[:3], row) if row[:3] in self._moves else None",
        "tests/projections/test_residents.py::test_a_household_lives_where_its_head_does_and_nobody_takes_the_heads_place",
    ),
    Mutant(
        "the order of arrival decides: which of two heads counts",
        "projections/households.py",
        "    rows = sorted(members)",
        "    rows = list(members)",
        "tests/projections/test_residents.py::test_one_resident_in_two_rows_of_a_household_is_one_member_and_of_two_heads_the_first_counts",
    ),
    Mutant(
        "no lock on the parent before its members are read: a household",
        "projections/households.py",
        "among, equal, lock=True))",
        "among, equal))",
        f"{_ENGINE_TESTS}::test_who_has_read_a_households_members_keeps_others_from_it_until_it_has_written",
    ),
    Mutant(
        "a row stays when nobody is left: a household",
        "projections/households.py",
        "                empty.append(key)",
        "                pass",
        "tests/projections/test_residents.py::test_who_moves_leaves_one_household_for_another_and_an_empty_one_is_gone",
    ),
    Mutant(
        ">= for > in the guard: the number of an event",
        _ENGINE,
        "if number == expected:",
        "if number >= expected:",
        f"{_ENGINE_TESTS}::test_what_comes_after_a_gap_waits_for_the_missing_batch",
    ),
    Mutant(
        ">= for > in the guard: the version of a record",
        _INTAKE,
        "if known is not None and version <= known.version:",
        "if known is not None and version == known.version:",
        f"{_INTAKE_TESTS}::test_an_older_version_is_stale_and_changes_nothing",
    ),
    Mutant(
        "skip on exception: a batch that failed counts as done",
        "streams/runner.py",
        "it ends with what it was\n                await self._end(error)",
        "it ends with what it was\n                return error",
        "tests/streams/test_batches.py::test_an_error_that_nobody_foresaw_ends_the_role_with_what_it_was",
    ),
    Mutant(
        "swallow a failure of quarantine",
        _INTAKE,
        "        self._store.refuse(connection, group.refusals.values())\n",
        "",
        f"{_INTAKE_TESTS}::test_a_refused_record_stops_nothing_and_says_where",
    ),
    Mutant(
        "tell repeats by the place in the log alone: a transaction is many changes",
        "connectors/_log_changes.py",
        "    return after[1] if begin.lsn == after[0] else 0",
        '    return float("inf") if begin.lsn == after[0] else 0',
        "tests/connectors/test_postgres_log.py::test_a_transaction_spans_pages_and_a_restart_in_it_goes_on",
    ),
    Mutant(
        "a cursor without tie-break",
        "connectors/_tables.py",
        "        return sa.tuple_(*columns) > sa.tuple_(*values)",
        "        return columns[0] > values[0]",
        "tests/connectors/test_sql.py::test_every_row_comes_exactly_once_and_in_order_whatever_ties",
    ),
    Mutant(
        "a retry from quarantine overwrites what is newer",
        _INTAKE,
        "        if known.fingerprint != print_:\n",
        "        if False:\n",
        "tests/streams/test_deciding_again.py::test_what_was_decided_since_by_a_newer_event_gives_way",
    ),
    Mutant(
        "a retry from quarantine is counted twice",
        _INTAKE,
        '            batch.counts["quarantined"] -= batch.counts.total()',
        '            batch.counts["quarantined"] -= 0',
        "tests/streams/test_deciding_again.py::test_what_the_mended_mapping_takes_is_released_and_the_rest_stays_refused",
    ),
    Mutant(
        "a dataset that is to be read again leaves out what it remembers",
        "connectors/sql.py",
        "        if sought or serial != memory.serial:\n",
        "        if serial != memory.serial:\n",
        "tests/connectors/test_sql_seeking.py::test_what_lies_there_and_behind_comes_again_and_then_what_is_new",
    ),
    Mutant(
        "no guard at a tombstone: what was deleted comes back with an older version",
        _INTAKE,
        "        self._remember(item.key, State(version, print_, state, None, revision))\n",
        "        self._states.pop(item.key, None)\n",
        f"{_INTAKE_TESTS}::test_an_older_version_does_not_bring_a_deleted_record_back",
    ),
    Mutant(
        "no guard at a deletion: half a dump deletes half a city",
        "connectors/files.py",
        "if absent > self._declared.disappear_limit * had:",
        "if absent > had:",
        "tests/connectors/test_files.py::test_too_many_absent_are_kept_until_they_return",
    ),
    Mutant(
        "commit after a rebalance: a batch that another worker took is taken once more, by streams",
        _INTAKE,
        "[item for item in records if item.offset >= stood]",
        "list(records)",
        f"{_INTAKE_TESTS}::test_a_batch_given_twice_is_taken_once",
    ),
    Mutant(
        "commit after a rebalance: the offset of the view goes back",
        _ENGINE,
        "moved = max(stored, batch.to)",
        "moved = batch.to",
        f"{_ENGINE_TESTS}::test_a_batch_from_the_past_moves_nothing_back",
    ),
    Mutant(
        "commit after a rebalance: a hole before the batch is not seen",
        _ENGINE,
        "        if batch.first > stored:\n",
        "        if batch.first > stored + 1_000_000:\n",
        f"{_ENGINE_TESTS}::test_a_batch_beyond_the_offset_is_out_of_step",
    ),
    Mutant(
        "a mark of one partition speaks of all",
        "streams/store.py",
        "record.c.partition == partition, record.c.state",
        "record.c.partition >= 0, record.c.state",
        f"{_INTAKE_TESTS}::test_a_partition_that_is_behind_loses_nothing_by_the_mark_of_another",
    ),
    Mutant(
        "drop the last batch on SIGTERM",
        _PRODUCER,
        "        self._publisher.flush()\n        self._save(every_s=0.0)\n        self._publisher.flush()\n",
        "",
        f"{_PRODUCER_TESTS}::test_stop_saves_what_was_read",
    ),
    Mutant(
        "status from the liveness of threads: a source that nobody reads is live",
        "onewindow/status.py",
        '            return "silent"\n',
        '            return "live"\n',
        "tests/onewindow/test_status.py::test_a_source_that_is_not_read_is_silent",
    ),
    Mutant(
        "status from the liveness of threads: a view that stands still is healthy",
        "onewindow/status.py",
        "    if not follows:\n",
        "    if not follows and not roles:\n",
        "tests/onewindow/test_status.py::test_a_view_that_stands_still_is_not_healthy",
    ),
]
