"""``python -m chaos``: one fault run (docs/reliability.md). Exit 0: nothing was violated. Exit 1: something was, and the
evidence is kept in the directory that is printed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from chaos import judging, mounts
from chaos.conductor import Conductor, GaveUp
from chaos.history import History
from chaos.invariants import Violation
from chaos.readers import Reader, ResourceReader, StatusReader, ViewReader
from chaos.report import Summary, summary, write_report
from chaos.town import Town

RESIDENTS = 400
_LOADED_S, _DRAINED_S = 180, 90


def main() -> int:
    parser = _parser()
    given = parser.parse_args()
    if given.report and given.only:
        parser.error("a report is of all kinds of fault; leave out --only")
    mounts.enter()
    work = Path(tempfile.mkdtemp(prefix=f"onewindow-chaos-{given.on}-"))
    work.chmod(0o755)  # database servers are users of their own
    sys.stdout.write(f"chaos on {given.on}: {given.minutes:g} minutes, seed {given.seed}\n")
    found = run(given, work)
    sys.stdout.write(json.dumps(found.document(), ensure_ascii=False, indent=1) + "\n")
    if given.report:
        write_report(given.report, found)
    for violation in found.violations[:20]:
        sys.stdout.write(
            f"VIOLATION {violation.invariant} {violation.anomaly} at {violation.at:.1f} s: {violation.what}\n"
        )
    if found.violations:
        sys.stdout.write(f"{len(found.violations)} violations; the evidence is kept in {work}\n")
        return 1
    shutil.rmtree(work)
    sys.stdout.write("0 violations\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long there are faults")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and of the city")
    parser.add_argument("--on", choices=["embedded", "services"], default="embedded")
    parser.add_argument("--report", type=Path, help="the page whose section of these services is written anew")
    parser.add_argument(
        "--only", default="", help="only faults whose name has one of these words in it, with commas between"
    )
    return parser


def _town(given: argparse.Namespace, work: Path, history: History) -> Town:
    directory = work / "city"
    directory.mkdir()
    if mounts.is_private():
        mounts.small_disk(directory, work / "departments")
    if given.on == "services":
        from chaos.services_town import ServicesTown

        return ServicesTown(directory, history, residents=RESIDENTS, seed=given.seed)
    return Town(directory, history, residents=RESIDENTS, seed=given.seed)


def run(given: argparse.Namespace, work: Path) -> Summary:
    """One run, to its summary."""
    history = History(work / "history.jsonl")
    town = _town(given, work, history)
    violations: list[Violation] = []
    versions: dict[str, str] = {}
    readers: list[Reader] = []
    conductor = None
    try:
        town.prepare()
        town.start()
        versions = town.describe()
        town.status = StatusReader(history, town.deployment)
        view = ViewReader(history, town.view_url, lambda: town.flowing)
        readers += [view, town.status, ResourceReader(history, town.deployment, town.names)]
        for reader in readers:
            reader.start()
        town.until(lambda: town.status.caught_up, _LOADED_S, "the first load is in the view")
        town.begin_changes()
        conductor = Conductor(town, view, history, seconds=given.minutes * 60, seed=given.seed, only=given.only)
        try:
            conductor.run()
        except GaveUp as gave_up:
            violations.append(Violation("I12", "realtime-lag", history.now, str(gave_up)))
        violations += _settle(town, history, readers)
    except Exception as broken:  # noqa: BLE001 - a run that broke down has evidence too
        traceback.print_exc()
        violations.append(Violation("run", "broken", history.now, f"{type(broken).__name__}: {broken}"[:500]))
    finally:
        for reader in readers:
            reader.stop()
        town.stop()
        if mounts.is_private():
            _copy(town.directory, work / "kept")
            mounts.let_go(town.directory)
        history.close()
    violations += judging.over_time(history.entries, town.poison)
    (work / "violations.json").write_text(
        json.dumps([each._asdict() for each in violations], ensure_ascii=False, indent=1)
    )
    return summary(given.on, given.seed, given.minutes, versions, history.entries, violations, conductor)


def _settle(town: Town, history: History, readers: list[Reader]) -> list[Violation]:
    """The changes end, all drains, and what is there is judged."""
    try:
        town.end_changes()
        ended = time.time()

        def drained() -> bool:
            found = town.status.found
            return bool(
                found
                and town.status.caught_up
                and all((each["looked_at"] or 0) > ended + 1.5 for each in found["sources"])
            )

        town.until(drained, _DRAINED_S, "all is in the view")
    except TimeoutError as late:
        return [Violation("I1", "unseen", history.now, f"{late}: {_short(town.status.found)}")]
    for reader in readers:
        reader.stop()
    town.status.look()
    return judging.at_rest(town.deployment, town.status.found, town.logs())


def _short(found: dict | None) -> str:
    return json.dumps({name: (found or {}).get(name) for name in ("problems", "outbox_rows", "view_behind_events")})


def _copy(directory: Path, to: Path) -> None:
    """What lies on the run's own disk goes with it; keep a copy as evidence."""
    ignored = shutil.ignore_patterns("city", "ballast", "share*")
    shutil.copytree(directory, to, ignore=ignored, symlinks=True, dirs_exist_ok=True)


if __name__ == "__main__":
    sys.exit(main())
