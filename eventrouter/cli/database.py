"""`migrate` and `verify`."""

import typer

from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
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


def verify(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Fold every task's log and compare it with the task; check that history has no holes and nothing ran twice.

    Ends with status 1 when anything differs.
    """
    loaded = configured(config)
    failed = False

    async def check() -> None:
        nonlocal failed
        async with connected(loaded) as conn:
            found = await verify_history(conn)
        failed = bool(found.violations)
        if as_json:
            violations = [violation._asdict() for violation in found.violations]
            show_json({"tasks": found.tasks, "log_rows": found.log_rows, "violations": violations})
            return
        for violation in found.violations:
            typer.echo(f"task {violation.task_id}: {violation.rule}: {violation.detail}")
        verdict = f"{len(found.violations)} violations" if failed else "every log adds up to its task"
        typer.echo(f"{found.tasks} tasks, {found.log_rows} log rows: {verdict}.")

    run_async(check)
    if failed:
        raise typer.Exit(1)
