"""From a configuration to processes that serve it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from signal import SIGTERM
from typing import TYPE_CHECKING

from storagedriver_registry.api.request import ASGIApp
from storagedriver_registry.app import RegistryApp, create_app
from storagedriver_registry.configuration import Configuration
from storagedriver_registry.configuration.models import HttpSettings
from storagedriver_registry.logs import set_up_logging
from storagedriver_registry.metrics.sharing import shared_by_processes
from storagedriver_registry.serving.errors import StartError
from storagedriver_registry.serving.options import ServingOptions, options_of
from storagedriver_registry.serving.signals import STOP_SIGNALS
from storagedriver_registry.serving.sockets import bind
from storagedriver_registry.serving.supervisor import READY, Supervisor
from storagedriver_registry.serving.tls import prepare_tls
from storagedriver_registry.serving.worker import Job, work
from storagedriver_registry.serving.worker_count import default_workers

if TYPE_CHECKING:
    from storagedriver_registry.serving.debug import DebugServer

logger = logging.getLogger(__name__)

_CUT_OFF_STATUS = 1


def serve(
    configuration: Configuration, announce: Callable[[str], None], workers: int | None = None
) -> None:
    """Serve a registry until SIGTERM or SIGINT, as `serve_application` does.

    Args:
        configuration: What to serve, and where.
        announce: Called with the URL once requests are answered.
        workers: Processes that serve; None for as many as `default_workers` gives.

    Raises:
        ConfigurationError: There is no storage.
        StartError: The storage cannot be opened, or the address not be used.
    """
    log, http = configuration.settings.log, configuration.settings.http
    set_up_logging(log.level, log.formatter, log.fields, report_caller=log.reportcaller)
    if workers is None:
        workers = default_workers(configuration)
    with ExitStack() as stack:
        if workers > 1 and http.debug.addr is not None and http.debug.prometheus.enabled:
            # Before anything imports prometheus-client.
            stack.enter_context(shared_by_processes())
        _serve_registry(configuration, announce, workers)


def _serve_registry(
    configuration: Configuration, announce: Callable[[str], None], workers: int
) -> None:
    http = configuration.settings.http
    app = create_app(configuration)
    assert isinstance(app, RegistryApp)
    debug = None if http.debug.addr is None else _debug_server(app, http)

    async def prepare() -> None:
        # With one process the key is made when it is needed; several must not make one each.
        if workers > 1:
            await app.prepare()
        app.start_maintenance()

    serve_application(
        app,
        options_of(http, workers),
        lambda origin: announce(f"{origin}{http.prefix}v2/"),
        prepare=prepare,
        debug=debug,
    )


def _debug_server(app: RegistryApp, http: HttpSettings) -> DebugServer:
    # Imported here: it costs each worker memory.
    from storagedriver_registry.serving.debug import DebugServer
    from storagedriver_registry.serving.pages import debug_pages

    host, _, port = (http.debug.addr or "").rpartition(":")
    return DebugServer(bind((host.strip("[]"), int(port))), debug_pages(app, http))


def serve_application(
    app: ASGIApp,
    options: ServingOptions,
    announce: Callable[[str], None],
    *,
    prepare: Callable[[], Awaitable[None]] | None = None,
    debug: DebugServer | None = None,
) -> None:
    """Serve any application until SIGTERM or SIGINT.

    From then on no connection is taken, and requests that are being answered are finished, for as
    long as the options allow. If some are not, the process ends with status 1. A second signal ends
    it at once, which harms nothing but those requests.

    Args:
        app: What to serve.
        options: How.
        announce: Called with scheme, host and port once requests are answered.
        prepare: Called when the application has started up, before the first request.
        debug: A server of small pages beside it, closed at the end.

    Raises:
        StartError: The application does not start up, or the address cannot be used.
    """
    tls = prepare_tls(options.tls)
    listener = bind(options.address)
    scheme = f"{options.scheme}+unix" if listener.is_unix else options.scheme
    job = Job(
        app=app,
        listener=listener,
        tls=tls,
        options=options,
        prepare=prepare,
        on_ready=lambda: announce(f"{scheme}://{listener.origin}"),
        on_stop=listener.remove_file,
        debug=debug,
    )
    try:
        is_finished = _supervise(job) if options.workers > 1 else work(job, STOP_SIGNALS)
    finally:
        listener.remove_file()
        listener.close()
        if debug is not None:
            debug.close()
    if not is_finished:
        _end_at_once(_CUT_OFF_STATUS)


def _supervise(job: Job) -> bool:
    def main(number: int, words: Connection, parent: int) -> None:
        _be_worker(job, number, words, parent)

    def on_stop() -> None:
        job.listener.remove_file()
        # While it is open anywhere, clients are let in to wait for nobody.
        job.listener.close()

    return Supervisor(main, job.options.workers, job.options.drain_seconds).run(
        job.on_ready, on_stop
    )


def _be_worker(job: Job, number: int, words: Connection, parent: int) -> None:
    own = replace(
        job,
        prepare=job.prepare if number == 0 else None,
        on_ready=lambda: words.send(READY),
        on_stop=lambda: None,
    )
    try:
        is_finished = work(own, (SIGTERM,), parent)
    except StartError as error:
        logger.debug("worker %d: %s", number, error)
        with suppress(OSError):  # said before, or nobody listens
            words.send(str(error))
        sys.exit(1)
    if not is_finished:
        _end_at_once(_CUT_OFF_STATUS)


def _end_at_once(status: int) -> None:
    """End without waiting for threads, which are still at work on what was cut off."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)
