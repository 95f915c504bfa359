"""The command line. Findings go to standard output, progress and trouble to standard error.

Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.errors import OneWindowError

app = typer.Typer(
    name="onewindow",
    help="OneWindow 一窗: department systems become one community information view.\n\n"
    "Exit codes: 0 done, 1 the check found something, 2 wrong usage, 69 something needed is unavailable, 75 try again, "
    "78 wrong configuration.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
quarantine = typer.Typer(help="Refused records 隔离区: what, why, whose it is to mend.", no_args_is_help=True)
source = typer.Typer(help="Department systems 来源: can they be read?", no_args_is_help=True)
app.add_typer(quarantine, name="quarantine")
app.add_typer(source, name="source")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


class _Where:
    directory = Path()


@app.callback()
def _main(
    directory: Annotated[Path, typer.Option("-C", metavar="DIR", help="The deployment's directory.")] = Path(),
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
    residents: Annotated[int, typer.Option(min=10, max=1_000_000, help="How many synthetic residents.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same city.")] = 1,
    rate: Annotated[float, typer.Option(min=0.1, max=1_000, help="Changes a second in the departments.")] = 20.0,
    changes: Annotated[int, typer.Option(min=0, help="With --once: how many changes to live through.")] = 200,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Keep everything here; goes on where it stood.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The sample city: two departments, their faults, and the view that follows them.

    Without --once it goes on until Ctrl-C. With --once and without --dir, everything is made anew and removed at the end.
    Exit 0: the view equals its log. Exit 1: it does not.
    """
    from onewindow import show

    if once:
        found = show.demo_once(directory, residents, seed, changes, rate, as_json=as_json)
        if as_json:
            _print(found)
        raise typer.Exit(0 if found["verified"] else 1)
    show.demo_live(directory or Path("demo-city"), residents, seed, rate)


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="A new or empty directory.")]) -> None:
    """Make a deployment to start from."""
    from onewindow.deploying import make

    make(directory)
    typer.echo(f"A deployment is in {directory}. Next: put a source file into {directory}/sources, then")
    typer.echo(f"  onewindow -C {directory} source check\n  onewindow -C {directory} up")


@app.command()
def up() -> None:
    """Start all roles and keep them running, until Ctrl-C."""
    from onewindow import show

    raise typer.Exit(show.up(_deployment()))


@app.command()
def run(
    role: Annotated[str, typer.Argument(help="broker, connectors, streams or projections")],
    instance: Annotated[int, typer.Option(min=1, help="Which of several workers of streams or projections.")] = 1,
) -> None:
    """Run one role in this process."""
    from onewindow import logs, roles

    if role not in roles.ROLES:
        raise typer.BadParameter(f"no role {role}; there are {', '.join(roles.ROLES)}")
    logs.configure(role)
    roles.run(_deployment(), role, instance)


@app.command()
def status(as_json: Json = False) -> None:
    """Sources, books, freshness, roles. Exit 0: healthy. Exit 1: something needs attention."""
    from onewindow import show
    from onewindow.status import Watcher

    watcher = Watcher(_deployment())
    try:
        found = watcher.look()
    finally:
        watcher.close()
    _print(found) if as_json else show.status(found)
    raise typer.Exit(0 if found["healthy"] else 1)


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
    _print(found if code is None else found[0]) if as_json else show.communities(found)


@app.command()
def verify(as_json: Json = False) -> None:
    """Fold the log beside the view to the same offsets, and compare them. Exit 0: equal. Exit 1: they differ."""
    from onewindow import show

    found = show.verify(_deployment())
    _print(found) if as_json else show.verified(found)
    raise typer.Exit(0 if found["equal"] else 1)


@quarantine.command("list")
def quarantine_list(
    system: Annotated[str | None, typer.Option(help="Only this system.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    as_json: Json = False,
) -> None:
    """Refused records that nobody has mended yet."""
    from onewindow import asking, show

    found = asking.refusals(_deployment(), system, reason)
    _print(found) if as_json else show.refusals(found)


@quarantine.command("show")
def quarantine_show(
    record_key: Annotated[str, typer.Argument(help="The record's key, as listed.")], as_json: Json = False
) -> None:
    """One refused record: its fields, masked, and the culprit."""
    from onewindow import asking, show

    found = asking.refusal(_deployment(), record_key)
    _print(found) if as_json else show.refusal(found)


@source.command("check")
def source_check(
    name: Annotated[str | None, typer.Argument(help="A system; left out, all are checked.")] = None,
    as_json: Json = False,
) -> None:
    """Reach each source, and try what reading needs. Changes nothing. Exit 0: all is well."""
    from onewindow import asking, show

    found = asking.check(_deployment(), name)
    _print(found) if as_json else show.findings(found)
    raise typer.Exit(max((item["exit_code"] for item in found), default=0))


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


def main() -> None:
    """Run the command line; an error of ours becomes one message and its exit code."""
    try:
        app(standalone_mode=True)
    except OneWindowError as error:
        sys.stderr.write(f"{error}\n  more: onewindow explain {error.code}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
