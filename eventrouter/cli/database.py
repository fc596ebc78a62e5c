"""`migrate` and `verify`."""

import json
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.config import Config
from eventrouter.domain.chain import Seal, seal_of
from eventrouter.domain.ledger import Execution, executions_of
from eventrouter.errors import ConfigError, EventrouterError
from eventrouter.store.chain import ChainReport, verify_chain
from eventrouter.store.history import verify as verify_history
from eventrouter.store.opened import open_database


def migrate(*, config: ConfigOption = None) -> None:
    """Bring the database to this version's schema. Safe to repeat, to run twice at once, and beside other tables.

    Uses [database] admin_dsn where it is set; the service itself then needs no more than the role eventrouter_app.
    """
    loaded = configured(config)
    opened = open_database(loaded.database)
    try:
        report = opened.migration
        assert report is not None
        done = [*report.applied, *(["functions, triggers, views"] if report.objects_replaced else [])]
        typer.echo(f"{opened.describe()}: {'applied ' + ', '.join(done) if done else 'up to date'}.")
        if not report.guard_role:
            typer.echo(
                "This user may not create the role eventrouter_app, so the log is guarded by triggers only. "
                "Set [database] admin_dsn to a user who may."
            )
    finally:
        opened.close()


def verify(
    *,
    chain: Annotated[
        bool, typer.Option("--chain", help="Also compute every hash anew: rows, heads, seals and what they sealed.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="--chain, and write the latest seal to FILE, for keeping on another machine."
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="--chain, and the seal in FILE must still stand as it was exported."),
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL", help="Also compare what a simulated broker executed with what was to be sent."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold every task's log and compare it with the task; check that history has no holes, that nothing ran twice, and that nothing
    was sent while it was halted or too old.

    With --chain it also finds rows of history that were edited, removed or put there. With --ledger every order that the broker
    took needs the row of its intent before it, for the same thing, and no second order its id. Ends with status 1 when anything differs.
    """
    loaded = configured(config)
    kept = _exported(against) if against else None
    executions = _executions(ledger) if ledger else None
    failed = False

    async def check() -> None:
        nonlocal failed
        async with connected(loaded) as conn:
            found = await verify_history(conn, executions, _numbers(loaded))
            chained = await verify_chain(conn, kept) if chain or export or kept else None
        violations = [*found.violations, *(chained.violations if chained else ())]
        failed = bool(violations)
        if as_json:
            counted = {"tasks": found.tasks, "log_rows": found.log_rows, "intents": found.intents}
            counted |= {} if found.executions is None else {"executions": found.executions}
            told = {"chain": _chain_json(chained)} if chained else {}
            show_json({**counted, **told, "violations": [violation._asdict() for violation in violations]})
        else:
            for violation in violations:
                typer.echo(f"task {violation.task_id}: {violation.rule}: {violation.detail}")
            verdict = f"{len(found.violations)} violations" if found.violations else "every log adds up to its task"
            executed = "" if found.executions is None else f", {found.executions} executed orders"
            typer.echo(f"{found.tasks} tasks, {found.log_rows} log rows, {found.intents} intents{executed}: {verdict}.")
            if chained:
                typer.echo(_chain_text(chained))
        if export and chained:
            _export(chained, export, failed=failed)

    run_async(check)
    if failed:
        raise typer.Exit(1)


def _executions(place: str) -> list[Execution]:
    """The orders that a ledger says were taken: a file that `simulator --ledger` wrote, or the address of a simulator that runs."""
    try:
        if place.startswith(("http://", "https://")):
            url = f"{place.rstrip('/')}/_control/ledger"
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - http or https, as checked above
                return executions_of(json.loads(answer.read())["rows"])
        lines = Path(place).read_text(encoding="utf-8").splitlines()
        return executions_of([json.loads(line) for line in lines if line])
    except OSError as error:
        raise ConfigError(f"--ledger: {place} cannot be read: {error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"--ledger: {place} is no ledger of a simulated broker: {error}.") from error


def _numbers(config: Config) -> dict[str, int]:
    """The broker's numbers of the configured accounts, where they are given as numbers."""
    return {
        each.name: int(each.broker_account) for each in config.accounts if str(each.broker_account or "").isdecimal()
    }


def _chain_text(found: ChainReport) -> str:
    verdict = f"{len(found.violations)} violations" if found.violations else "nothing was edited, removed or put there"
    counted = f"{found.rows} chained rows, {found.seals} seals of {found.heads} heads"
    return f"{counted}, {found.not_sealed} log rows not sealed yet: {verdict}."


def _chain_json(found: ChainReport) -> dict[str, Any]:
    latest = found.latest.exported() if found.latest else None
    return {
        "rows": found.rows,
        "seals": found.seals,
        "heads": found.heads,
        "not_sealed": found.not_sealed,
        "latest_seal": latest,
    }


def _exported(path: Path) -> Seal:
    """The seal in a file. Raises ConfigError."""
    try:
        return seal_of(json.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigError(f"--against: {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ConfigError(f"--against: {path} is no seal that `verify --export` wrote: {error}.") from error


def _export(found: ChainReport, path: Path, *, failed: bool) -> None:
    """Writes the latest seal, of a history in which nothing is wrong only."""
    if failed:
        raise EventrouterError(
            f"Nothing was written to {path}: a seal of a history that does not add up proves nothing."
        )
    if found.latest is None:
        raise EventrouterError("There is no seal yet. The service makes one when it starts and then every minute.")
    try:
        path.write_text(json.dumps(found.latest.exported(), indent=2) + "\n")
    except OSError as error:
        raise EventrouterError(f"--export: {path} cannot be written: {error.strerror or error}.") from error
    # to stderr: with --json, stdout is the report
    typer.echo(
        f"Seal {found.latest.id} is in {path}. Keep it where whoever owns the database cannot change it.", err=True
    )
