"""All commands in one application, and how it ends."""

from __future__ import annotations

from typing import Annotated

import typer

from tradewind.cli import output
from tradewind.errors import ClientError, ConfigurationError, NoCandidate, TradewindError, UsageError

DONE, FOUND, USAGE, FAILED = 0, 1, 2, 3


def run(arguments: list[str]) -> int:
    """Runs one command; gives its exit status."""
    try:
        application()(arguments, prog_name="tradewind")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except UsageError as error:
        output.complain(error.message)
        return USAGE
    except ConfigurationError as error:
        for problem in error.problems:
            output.show_problem(problem)
        return FOUND
    except TradewindError as error:
        output.complain(str(error), error.code)
        return status(error)
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - the rim: whatever it is, it is shown and ends the program
        output.trace()
        return FAILED
    return DONE


def status(error: TradewindError) -> int:
    """A call that the plan's policies leave nothing for is a finding; one that cannot be read is wrong usage."""
    if isinstance(error, NoCandidate):
        return FOUND
    return USAGE if isinstance(error, ClientError) else FAILED


def show_version(asked: bool) -> None:
    """Before any command; the extension's is the package's."""
    if asked:
        from tradewind import core

        output.lines(f"tradewind {core.version()}\n".encode())
        raise typer.Exit


def program(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Routes calls to the language model that is worth its price."""


def application() -> typer.Typer:
    """Every command, in the order of a first day with Tradewind."""
    from tradewind.cli import (
        bench,
        calibrate,
        controller,
        decide,
        evaluate,
        features,
        importing,
        inject,
        kube,
        ledger,
        plan,
        profile,
        replay,
        route,
        savings,
        serve,
        simulate,
        train,
        train_teacher,
    )

    app = typer.Typer(
        name="tradewind",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(program)
    app.command()(route.route)
    app.command()(decide.decide)
    app.command()(serve.serve)
    app.command()(controller.controller)
    app.command()(inject.inject)
    app.command()(simulate.simulate)
    app.command()(ledger.ledger)
    app.command()(replay.replay)
    app.command()(savings.savings)
    app.command()(calibrate.calibrate)
    app.command()(train.train)
    app.command()(train_teacher.train_teacher)
    app.command()(evaluate.evaluate)
    app.command()(profile.profile)
    app.command()(features.features)
    app.add_typer(plan.app(), name="plan")
    app.add_typer(importing.app(), name="import")
    app.add_typer(kube.app(), name="kube")
    app.add_typer(bench.app(), name="bench")
    return app
