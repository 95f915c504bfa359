"""The command line. Findings go to standard output, progress and trouble to standard error.

Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.errors import IdOnCommandLine, OneWindowError

app = typer.Typer(
    name="onewindow",
    help="OneWindow 一窗: department systems become one community information view.\n\n"
    "Exit codes: 0 done, 1 the check found something, 2 wrong usage, 69 something needed is unavailable, 75 try again, "
    "78 wrong configuration, 70 a fault of OneWindow itself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
archive = typer.Typer(help="The archive 归档: what the topics hold, kept for longer.", no_args_is_help=True)
quarantine = typer.Typer(help="Refused records 隔离区: what, why, whose it is to mend.", no_args_is_help=True)
source = typer.Typer(help="Department systems 来源: take one on, can they be read?", no_args_is_help=True)
topics = typer.Typer(help="Topics 主题: what the deployment needs, and what the cluster has.", no_args_is_help=True)
app.add_typer(archive, name="archive")
app.add_typer(quarantine, name="quarantine")
app.add_typer(source, name="source")
app.add_typer(topics, name="topics")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


Name = Annotated[str, typer.Argument(metavar="NAME", help="A system, or a dataset as SYSTEM.DATASET.")]
Within = Annotated[str | None, typer.Option("--dataset", help="Only this dataset of the system.")]


class _Where:
    directory = Path()


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"onewindow {version('onewindow')}, Python {sys.version.split()[0]}\n")
        raise typer.Exit


@app.callback()
def _main(
    directory: Annotated[Path, typer.Option("-C", metavar="DIR", help="The deployment's directory.")] = Path(),
    version: Annotated[  # noqa: ARG001 - its callback has answered
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Which version this is, and exit.")
    ] = False,
) -> None:
    _Where.directory = directory


def _deployment() -> Any:
    from onewindow.settings import Deployment

    return Deployment(_Where.directory)


def _print(document: Any) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n")


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End when the view has caught up and is verified.")] = False,
    residents: Annotated[
        int | None,
        typer.Option(min=10, max=1_000_000, help="How many synthetic residents: as it is, or 20,000 in a new city."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed gives the same city: as it is, or 1 for a new city.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, max=1_000, help="Changes a second in the departments: 20, or 100 with --once."),
    ] = None,
    changes: Annotated[int, typer.Option(min=0, help="With --once: how many changes to live through.")] = 200,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Keep everything here; goes on where it stood.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The sample city: five departments, their faults, and the view that follows them.

    Without --once it goes on until Ctrl-C. With --once and without --dir, everything is made anew and removed at the end.
    Exit 0: the view equals its log. Exit 1: it does not.
    """
    from onewindow import foreground

    if directory is not None:
        _Where.directory = directory
    if once:
        found = foreground.demo_once(directory, residents, seed, changes, rate, as_json=as_json)
        if as_json:
            _print(found)
        raise typer.Exit(0 if found["verified"] else 1)
    foreground.demo_live(directory or Path("demo-city"), residents, seed, rate)


@app.command()
def rebuild(as_json: Json = False) -> None:
    """Make the view anew from its log, beside the live one, and swap: after a changed authority, or a new version.

    The view may be read and written meanwhile. Broken off, it goes on where it stood.
    """
    from onewindow.history import rebuild_view
    from onewindow.show import bar, rebuilt

    with bar("rebuilding") as tell:
        found = rebuild_view(_deployment(), tell)
    _print(found) if as_json else rebuilt(found)


@app.command()
def remap(dataset: Annotated[str, typer.Argument(metavar="SYSTEM.DATASET")], as_json: Json = False) -> None:
    """Put a mended mapping into force, and say again what it makes of everything that was read before.

    Streams may run meanwhile and needs no restart; broken off, it goes on where it stood. A second run changes nothing.
    """
    from onewindow.remapping import remap as do
    from onewindow.show import bar, remapped

    with bar("remapping") as tell:
        found = do(_deployment(), dataset, tell)
    _print(found) if as_json else remapped(found)


@archive.command("write")
def archive_write(as_json: Json = False) -> None:
    """Take over what the topics hold beyond the archive, as Parquet files by system and day."""
    from onewindow.history import archive_topics
    from onewindow.show import archived, bar

    with bar("archiving") as tell:
        found = archive_topics(_deployment(), tell)
    _print(found) if as_json else archived(found)


@archive.command("check")
def archive_check(as_json: Json = False) -> None:
    """Read the whole archive: is each file as it was written, and is there no hole?"""
    from onewindow.history import check_archive
    from onewindow.show import archived, bar

    with bar("checking") as tell:
        found = check_archive(_deployment(), tell)
    _print(found) if as_json else archived(found)


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="A new or empty directory.")], as_json: Json = False) -> None:
    """Make a deployment to start from."""
    from onewindow.deploying import make
    from onewindow.invocation import invocation

    made = make(directory)
    if as_json:
        _print({"directory": str(directory), "files": made})
        return
    where = f"{invocation()} -C {directory}"
    typer.echo(f"A deployment is in {directory}. Next: put a source file into {directory}/sources, then")
    typer.echo(f"  {where} source check\n  {where} up")


@app.command()
def up() -> None:
    """Start all roles and keep them running, until Ctrl-C.

    It has no --json: it prints no result, but says on standard error what becomes of the roles; each role's log is in
    run/ of the deployment. Ends by itself when a role can't go on, with that role's message and exit code.
    """
    from onewindow import foreground

    raise typer.Exit(foreground.up(_deployment()))


@app.command()
def run(
    role: Annotated[str, typer.Argument(help="broker, connectors, streams or projections")],
    instance: Annotated[int, typer.Option(min=1, help="Which of several workers of streams or projections.")] = 1,
) -> None:
    """Run one role in this process, until SIGTERM or Ctrl-C.

    It has no --json: it prints no result; its log is one JSON object a line, on standard error.
    """
    from onewindow import logs, roles

    if role not in roles.ROLES:
        raise typer.BadParameter(f"no role {role}; there are {', '.join(roles.ROLES)}")
    logs.configure(role)
    roles.run(_deployment(), role, instance)


@app.command()
def status(as_json: Json = False) -> None:
    """Sources, books, freshness, roles. Exit 0: healthy. Exit 1: not, or not yet."""
    from onewindow import show
    from onewindow.status import Watcher

    watcher = Watcher(_deployment())
    try:
        found = watcher.look_well()
    finally:
        watcher.close()
    _print(found) if as_json else show.status(found)
    raise typer.Exit(0 if found["healthy"] else 1)


@app.command()
def books(as_json: Json = False) -> None:
    """The books 账: what each source gave, what became of it, and where that does not balance, down to the keys.

    Beside them the source's own count of its records, where it can tell. Exit 0: balanced. Exit 1: not, or not yet.
    """
    from onewindow import show
    from onewindow.bookkeeping import books as kept

    found = kept(_deployment())
    _print(found) if as_json else show.books(found)
    raise typer.Exit(0 if found["balanced"] else 1)


@app.command()
def resident(
    resident_id: Annotated[
        str | None, typer.Argument(help="A resident id; left out, the ID number is asked for.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What the view holds about a resident, with the source and rule of each field.

    An ID number is read at the prompt or from standard input, never given as an argument.
    """
    from onewindow import asking, show

    deployment = _deployment()
    found = asking.resident(deployment, asking.resident_id(deployment, resident_id))
    _print(found) if as_json else show.resident(found)


@app.command()
def community(
    code: Annotated[str | None, typer.Argument(help="A 12-digit division code; left out, all are listed.")] = None,
    as_json: Json = False,
) -> None:
    """The counts of a community, or of all."""
    from onewindow import asking, show

    found = asking.communities(_deployment(), code)
    if as_json:
        _print(found if code is None else found[0])
    else:
        show.communities(found) if code is None else show.community(found[0])


@app.command()
def verify(
    since: Annotated[
        str, typer.Option("--from", metavar="community|department", help="How far back to go: to which topics.")
    ] = "community",
    as_json: Json = False,
) -> None:
    """Fold the log beside the view to the same offsets, and compare them. Exit 0: equal. Exit 1: they differ.

    --from department goes one step further back: what streams decided is compared with what the departments' topics say
    under the present mappings.
    """
    from onewindow import show
    from onewindow.decisions import verify_decisions
    from onewindow.verifying import verify as compare

    if since not in ("community", "department"):
        raise typer.BadParameter(f"{since} is neither community nor department", param_hint="--from")
    with show.bar("folding the log") as tell:
        found = compare(_deployment(), tell) if since == "community" else verify_decisions(_deployment(), tell)
    _print(found) if as_json else show.verified(found)
    raise typer.Exit(0 if found["equal"] else 1)


@quarantine.command("list")
def quarantine_list(
    system: Annotated[str | None, typer.Option(help="Only this system.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, help="How many records to list of each reason and owner; 5, all in JSON.")
    ] = None,
    discarded: Annotated[bool, typer.Option("--discarded", help="Those that were discarded, with the reason.")] = False,
    as_json: Json = False,
) -> None:
    """Refused records that nobody has mended yet: counts by reason and owner, then the records."""
    from onewindow import asking, show

    deployment = _deployment()
    systems = sorted(source.system for source in deployment.sources)
    if system is not None and system not in systems:
        raise typer.BadParameter(f"no system {system}; there are {', '.join(systems) or 'none'}", param_hint="--system")
    _known_reason(reason)
    found = asking.refusals(deployment, system, reason, only_discarded=discarded)
    _print(found if limit is None else found[:limit]) if as_json else show.refusals(found, limit)


def _known_reason(reason: str | None) -> None:
    from contracts.reasons import Reason

    if reason is not None and reason not in {known.value for known in Reason}:
        raise typer.BadParameter(f"no reason {reason}; there are {', '.join(Reason)}", param_hint="--reason")


@quarantine.command("retry")
def quarantine_retry(
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="SYSTEM.DATASET", help="Only this dataset.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Only the record with this key, as listed; more than once.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide refused records once more, after a mend of mapping or code table, or with a newer version of OneWindow.

    The source file's mapping comes into force, for what comes later too; what was accepted under another one is left to
    `onewindow remap`. A record that was decided since by a newer event gives way. A second run changes nothing.
    Exit 0: none of them is refused any more. Exit 1: some are.
    """
    from onewindow import show
    from onewindow.retrying import retry

    _known_reason(reason)
    found = retry(_deployment(), reason, dataset, key or [])
    _print(found) if as_json else show.retried(found)
    raise typer.Exit(1 if found["refused"] or found["dropped"] else 0)


@quarantine.command("show")
def quarantine_show(
    record_key: Annotated[str, typer.Argument(help="The record's key, as listed.")], as_json: Json = False
) -> None:
    """One refused record: its fields, masked, and the culprit."""
    from onewindow import asking, show

    found = asking.refusal(_deployment(), record_key)
    _print(found) if as_json else show.refusal(found)


@quarantine.command("discard")
def quarantine_discard(
    dataset: Annotated[str, typer.Argument(metavar="SYSTEM.DATASET")],
    because: Annotated[
        str, typer.Option("--because", "--why", help="Why nobody will mend them 作废原因; it is kept with your login.")
    ],
    record_key: Annotated[list[str] | None, typer.Argument(help="Keys, as listed.")] = None,
    reason: Annotated[str | None, typer.Option(help="All records refused for this reason.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only how many is said.")] = False,
    as_json: Json = False,
) -> None:
    """Take refused records off the work list for good: with a reason, and nothing changes in view or books.

    A newer version of such a record that is refused as well is on the list again. Without --yes nothing is done, and the exit
    code is 1.
    """
    from onewindow import asking, show

    if bool(record_key) == bool(reason):
        raise typer.BadParameter("give keys, or --reason", param_hint="RECORD_KEY")
    found = asking.discard(_deployment(), dataset, record_key or [], reason, because, do=yes)
    _print(found) if as_json else show.discarding(found)
    raise typer.Exit(0 if found["done"] else 1)


@source.command("check")
def source_check(
    name: Annotated[str | None, typer.Argument(help="A system; left out, all are checked.")] = None,
    as_json: Json = False,
) -> None:
    """Reach each source, and try what reading needs. Changes nothing. Exit 0: all is well."""
    from onewindow import show, sources

    found = sources.check(_deployment(), name)
    _print(found) if as_json else show.findings(found)
    raise typer.Exit(max((item["exit_code"] for item in found), default=0))


@source.command("discover")
def source_discover(name: Annotated[str, typer.Argument(help="A system.")], as_json: Json = False) -> None:
    """What is in a system, declared or not: tables or files, their columns, key and estimated rows."""
    from onewindow import show, sources

    found = sources.discover(_deployment(), name)
    _print(found) if as_json else show.discovered(found)


@source.command("add")
def source_add(
    name: Annotated[str, typer.Argument(help="A name for the system: small letters, digits and _.")],
    origin: Annotated[
        str,
        typer.Option("--from", metavar="URL|FILE|FOLDER", help="Where it is: a database, a file, a folder of dumps."),
    ],
    owner: Annotated[str | None, typer.Option(help="Who mends what is refused 责任单位.")] = None,
    title: Annotated[str | None, typer.Option(help="What people call the system.")] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]TABLE", help="Only this table, view or file; more than once for several."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at a department system, and write a proposal of its source file into sources/, to be edited.

    The source is only read, some thousand rows of each table or file. Keys, cursor, code tables and the mapping come with a
    confidence and a reason; what it is unsure of is printed first. No file is written over. Write the password of a URL
    as ${NAME} to keep it in the environment; else it goes into a file of its own.
    """
    from onewindow import show
    from onewindow.invocation import invocation
    from onewindow.onboarding import telling
    from onewindow.onboarding.add import Wish, add

    found = add(_deployment(), Wish(name, origin, title, owner, dataset or []))
    _print(found) if as_json else show.lines(telling.added(found, f"{invocation()} -C {_Where.directory}"))


@source.command("preview")
def source_preview(
    name: Annotated[str, typer.Argument(help="A system.")],
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    rows: Annotated[int, typer.Option(min=0, max=2_000, help="How many records to show.")] = 5,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="Show names and the like unmasked; ID numbers never are.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Real records of a source beside what the mapping makes of them, and what would be refused and why.

    Nothing is written anywhere. Exit 0: the mapping holds. Exit 1: so much would be refused that a dataset would pause.
    """
    from onewindow import show
    from onewindow.onboarding import telling
    from onewindow.onboarding.preview import preview

    found = preview(_deployment(), name, dataset, rows, openly=show_values)
    _print(found) if as_json else show.lines(telling.previewed(found))
    raise typer.Exit(1 if any(each["would_pause"] for each in found) else 0)


@source.command("contract")
def source_contract(
    name: Name,
    dataset: Within = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Take over what has drifted; words that a person wrote stay.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The data contract 数据契约 of each dataset, in the Open Data Contract Standard: made in contracts/ where there is none, else
    compared with the source.

    Columns, types, key, codes, sensitivity, freshness, volume. Exit 0: the source is as agreed. Exit 1: it has drifted.
    """
    from onewindow import show, sources

    found = sources.agree(_deployment(), name, dataset, renew=renew)
    _print(found) if as_json else show.agreed(found)
    raise typer.Exit(0 if found["as_agreed"] else 1)


@source.command("pause")
def source_pause(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why 暂停原因; status shows it, with your login.")],
    dataset: Within = None,
    as_json: Json = False,
) -> None:
    """Stop reading a system, or one dataset of it, until `source resume` 暂停读取. Nothing is lost, restarts change nothing.

    What was read goes on its way. Mind that a database whose log is read keeps it meanwhile: wal_limit_mb still holds.
    """
    from onewindow import show, sources

    if not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")
    found = sources.pause(_deployment(), name, dataset, reason.strip())
    _print(found) if as_json else show.pausing(found)


@source.command("resume")
def source_resume(name: Name, dataset: Within = None, as_json: Json = False) -> None:
    """Let what is paused go on 恢复读取: by a person, or, of a dataset that is named, after OW-1209.

    After OW-1209, do it once the source is mended or found right after all: what it held back is decided record by record.
    """
    from onewindow import show, sources

    found = sources.resume(_deployment(), name, dataset)
    _print(found) if as_json else show.resuming(found)


@source.command("reconcile")
def source_reconcile(
    name: Name,
    dataset: Within = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the cut-over report 割接报告 to FILE, its SHA-256 to FILE.sha256."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many keys to show of each kind; 1,000 in JSON.")] = 5,
    wait: Annotated[float, typer.Option(min=1, help="How many seconds to wait for the pipeline, each time.")] = 120,
    as_json: Json = False,
) -> None:
    """Compare what a source holds now with what the pipeline holds, record by record 对账. Changes nothing.

    The source is read in full, page by page, and only read; records are named by their hashed keys. Changes may go on: what
    differs is looked at again when it has had the time to arrive. Exit 0: nothing differs. Exit 1: something does.
    """
    from onewindow import cutover, show
    from onewindow.reconciling import reconcile

    if report is not None and (report.exists() or cutover.beside(report).exists()):
        raise typer.BadParameter(f"{report} is there already; nothing is written over", param_hint="--report")
    if report is not None and not report.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {report.parent}", param_hint="--report")
    deployment = _deployment()
    with show.bars() as tell:
        found = reconcile(deployment, name, dataset, tell=tell, patience_s=wait)
    try:
        if report is not None:
            found["report"] = cutover.write(deployment, found, report)
    finally:  # what was found out is told also where it can't be written
        _print(found) if as_json else show.reconciled(found, limit)
    raise typer.Exit(0 if found["equal"] else 1)


@source.command("reread")
def source_reread(dataset: Annotated[str, typer.Argument(metavar="SYSTEM.DATASET")], as_json: Json = False) -> None:
    """Read a dataset from its beginning. What is there already is recognised; what is gone from the source is retracted,
    unless it is a table that is polled by a cursor: leave cursor out for that, or declare deleted."""
    from onewindow import sources

    found = sources.reread(_deployment(), dataset)
    _print(found) if as_json else typer.echo(f"{dataset} is read again from its beginning.")


@source.command("seek")
def source_seek(
    dataset: Annotated[str, typer.Argument(metavar="SYSTEM.DATASET")],
    to: Annotated[
        str | None, typer.Option(metavar="VALUE", help="A value of the cursor that was read already.")
    ] = None,
    beginning: Annotated[bool, typer.Option("--beginning", help="All of it, as by reread.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only the effect is said.")] = False,
    as_json: Json = False,
) -> None:
    """Read a polled dataset again from a value of its cursor on, or any dataset from its beginning, under a new epoch.

    Rows that are there already are recognised by their content and counted as duplicates. Without --yes nothing is done, and
    the exit code is 1.
    """
    from onewindow import show, sources

    if (to is None) != beginning:
        raise typer.BadParameter("give --to VALUE, or --beginning", param_hint="--to")
    found = sources.seek(_deployment(), dataset, to, do=yes)
    _print(found) if as_json else show.sought(found)
    raise typer.Exit(0 if found["done"] else 1)


@app.command()
def plan(as_json: Json = False) -> None:
    """What the files of the deployment, as they are now, would change of what is there. Changes nothing.

    How a source is reached (connector) is not compared: onewindow source check. Exit 0: nothing is to be done. Exit 1: something is, by itself or by a command that is named.
    """
    from onewindow import planning, show

    found = planning.plan(_deployment())
    _print(found) if as_json else show.plan(found)
    raise typer.Exit(0 if found["as_declared"] else 1)


@topics.command("plan")
def topics_plan(as_json: Json = False) -> None:
    """Where the cluster differs from what the deployment needs, and the ACLs of each role. Changes nothing.

    Exit 0: as declared. Exit 1: something differs.
    """
    from onewindow import cluster, show

    found = cluster.plan(_deployment())
    _print(found) if as_json else show.cluster_plan(found)
    raise typer.Exit(0 if found["as_declared"] else 1)


@topics.command("apply")
def topics_apply(as_json: Json = False) -> None:
    """Make what is missing and raise what is too low; nothing is deleted or lowered. Exit 1: something is left to be done."""
    from onewindow import cluster, show

    found = cluster.apply(_deployment())
    _print(found) if as_json else show.cluster_plan(found)
    raise typer.Exit(0 if found["as_declared"] else 1)


@app.command()
def explain(
    code: Annotated[str, typer.Argument(help="An error code, OW-1203, or a reason, id_check_digit.")],
    as_json: Json = False,
) -> None:
    """What a code means, in English and Chinese, and what mends it."""
    from onewindow import asking, show

    found = asking.explain(code)
    _print(found) if as_json else show.explanation(found)


@app.command()
def bench(
    records: Annotated[int, typer.Option(min=1_000, help="Records of each measurement.")] = 20_000,
    as_json: Json = False,
) -> None:
    """How fast this machine does each part, with a calibration beside the figures."""
    from onewindow import benchmark, show

    found = benchmark.measure(records, show.step)
    _print(found) if as_json else show.bench(found)


def _with_directory_first(arguments: list[str]) -> list[str]:
    """The same arguments with ``-C DIR`` before the command, so that it may be given after it too."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "-C" not in words:
        return arguments
    place = words.index("-C")
    return [*arguments[place : place + 2], *arguments[:place], *arguments[place + 2 :]]


def _refuse_id_numbers(arguments: list[str]) -> None:
    """Raise IdOnCommandLine for an argument with an ID number in it, whatever the argument is for."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        is_directory = before in ("-C", "--dir")
        is_key = re.fullmatch(r"[0-9a-f]{32}", argument)  # a resident id or a record key, which may hold many digits
        if not is_directory and not is_key and re.search(r"\d{14,17}[\dXx]", argument):
            raise IdOnCommandLine(
                "an ID number was given in an argument, where others can see it",
                fix="leave it out: `onewindow resident` asks for it, or reads it from standard input",
            )


def main() -> None:
    """Run the command line; an error becomes one message with its code, and its exit code. What it writes is for this
    user alone."""
    os.umask(0o077)
    try:
        _refuse_id_numbers(sys.argv[1:])
        app(args=_with_directory_first(sys.argv[1:]), standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - whatever it is, the user gets one message
        from onewindow.defects import defect
        from onewindow.invocation import invocation

        ours = error if isinstance(error, OneWindowError) else defect(error, _Where.directory)
        with suppress(OSError):  # the terminal was closed
            sys.stderr.write(f"{ours}\n  more: {invocation()} explain {ours.code}\n")
        sys.exit(ours.exit_code)
