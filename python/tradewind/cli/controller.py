"""`tradewind controller`: custom resources of a cluster become what data planes route by."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from tradewind.cli.serve import LogLevel
from tradewind.errors import TradewindError


def controller(
    namespace: Annotated[str | None, typer.Option(help="Namespace of the install.", show_default="the pod's")] = None,
    listen: Annotated[str | None, typer.Option(help="Address of the sync channel.", show_default="127.0.0.1:8443")] = None,
    metrics_listen: Annotated[
        str | None, typer.Option(help="Address of probes and metrics.", show_default="127.0.0.1:8081")
    ] = None,
    names: Annotated[str | None, typer.Option(help="Names its certificate is for, separated by commas.")] = None,
    predictor: Annotated[
        Path | None, typer.Option(help="Folder of the default predictor. The shipped one where absent.")
    ] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="Least level that is logged.", show_default="info")] = None,
) -> None:
    """Run a replica of the controller against the cluster of this pod, or of the kubeconfig. Every flag has a variable:
    TRADEWIND_CONTROLLER_LISTEN for --listen; more are in `tradewind.settings`.
    """
    from tradewind.settings import controller_from_environment

    settings = controller_from_environment(
        os.environ,
        namespace=namespace,
        listen=listen,
        metrics_listen=metrics_listen,
        names=names,
        predictor=predictor,
        log_level=log_level and log_level.value,
    )
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        import kopf
    except ModuleNotFoundError:
        raise TradewindError("missing_extra", "the controller needs `pip install tradewind[controller]`") from None
    from tradewind.controller import handlers

    memo = kopf.Memo(settings=settings)
    kopf.run(registry=kopf.get_default_registry(), standalone=True, clusterwide=True, memo=memo)
    handlers.check_end(memo)
