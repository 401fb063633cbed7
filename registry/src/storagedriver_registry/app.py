"""The registry as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from storagedriver_core import OperationEvent, Storage, StorageDriverError
from storagedriver_registry.access_log import AccessLog, RequestEntry
from storagedriver_registry.api.codes import UNAVAILABLE
from storagedriver_registry.api.errors import ApiError, to_api_error
from storagedriver_registry.api.request import ASGIApp, Receive, Request, Scope, Send
from storagedriver_registry.api.response import RawHeaders, Response, error_response
from storagedriver_registry.api.router import find_handler, route_name
from storagedriver_registry.api.services import Services
from storagedriver_registry.api.urls import UrlBuilder
from storagedriver_registry.api.validation import ManifestValidation
from storagedriver_registry.auth import AuthConfig, Guard, required_accesses
from storagedriver_registry.configuration import Configuration, load_configuration
from storagedriver_registry.configuration.models import HttpSettings, Settings
from storagedriver_registry.pages import Site
from storagedriver_registry.purging import UploadPurger
from storagedriver_registry.storage import Caches, make_caches, make_stores
from storagedriver_registry.storage.errors import RegistryError
from storagedriver_registry.tracing.provider import is_traced

if TYPE_CHECKING:
    from storagedriver_registry.health import Health
    from storagedriver_registry.metrics.meters import Meters
    from storagedriver_registry.notifications import Notifier
    from storagedriver_registry.proxy.proxy import Proxy

logger = logging.getLogger(__name__)

_Part: TypeAlias = "Storage | Caches | Guard | Health | Notifier | Proxy"


def create_app(
    config: Configuration | str | Path | Mapping[str, Any], *, storage: Storage | None = None
) -> RegistryApp:
    """Make a registry that can be served, or mounted in another ASGI application.

    One that is mounted needs `RegistryApp.lifespan` around it.

    Args:
        config: A validated configuration, the path of a `config.yml`, or the same as a mapping.
        storage: A storage to share. Whoever hands it in opens it before the first request, and
            closes it. Without it the configured one is opened at start-up (or, where the server
            says nothing of that, at the first request) and closed at shutdown.

    Raises:
        ConfigurationError: The configuration is wrong, or there is no storage.
    """
    if not isinstance(config, Configuration):
        config = load_configuration(config)
    for warning in config.warnings:
        logger.warning("%s", warning)
    meters = _make_meters(config)
    if storage is not None:
        return RegistryApp(config, storage, owned=False, meters=meters)
    storage = config.require_backend().build(observers=_observers(meters))
    return RegistryApp(config, storage, owned=True, meters=meters)


class RegistryApp:
    """A registry as an ASGI application. `create_app` makes it.

    Every error becomes an answer here.

    Attributes:
        health: The checks; None where nothing is checked and nobody can ask.
        meters: What is measured; None for nothing.
        takes_views: Parts of bodies need not be bytes, as ASGI has them.
    """

    takes_views: ClassVar[bool] = True

    def __init__(
        self,
        config: Configuration,
        storage: Storage,
        *,
        owned: bool,
        meters: Meters | None = None,
    ) -> None:
        http = config.settings.http
        self._prefix = http.prefix.rstrip("/")
        self._headers = _headers_of_all(http)
        self._storage = storage
        self._has_secret = http.secret is not None
        section = config.settings.storage
        self.meters = meters
        self._http: ASGIApp = self._answer
        caches = make_caches(section.cache, config.settings.redis)
        if meters is not None:
            from storagedriver_registry.metrics.requests import RequestMeter
            from storagedriver_registry.metrics.storing import MeteredDescriptors

            self._http = RequestMeter(self._http, meters, self._route_name)
            caches = replace(caches, descriptors=MeteredDescriptors(caches.descriptors, meters))
        if is_traced():
            from storagedriver_registry.tracing.spans import RequestTracer

            self._http = RequestTracer(self._http, self._route_name)
        self._is_read_only = section.maintenance.readonly.enabled
        self._services = _make_services(config.settings, storage, caches)
        self._purger = UploadPurger(self._services.stores, section.maintenance.uploadpurging)
        self._access_log = AccessLog(disabled=config.settings.log.accesslog.disabled)
        self._guard = _make_guard(config.auth)
        self._site = None if http.pages.disabled else Site()
        self.health = _make_health(config, storage)
        self._notifier = _make_notifier(config, self._services, meters)
        self._proxy = _make_proxy(config, storage, self._services, caches, meters)
        # By ordinary handlers, what takes their place.
        self._instead = {} if self._proxy is None else self._proxy.handlers
        # In the order in which they are opened.
        parts = (
            *(storage if owned else None, caches, self._guard),
            *(self.health, self._notifier, self._proxy),
        )
        self._closed: list[_Part] = [part for part in parts if part is not None]
        self._opened: list[_Part] = []
        self._opening = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise NotImplementedError(f"a registry does not speak {scope['type']}")

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Be at work for the length of the block, in another application that mounts it.

        Whatever is not answering requests goes on meanwhile: notifications, the purge of uploads,
        what a proxy lets go. Frameworks send what they mount no lifespan events, so the lifespan
        of the outer application enters this, after a storage that it has handed in. Several
        processes may do so on one storage.

        Raises:
            ConfigurationError: Something of the configuration turns out to be wrong.
            StorageDriverError: The storage cannot be opened.
        """
        await self._start()
        try:
            self.start_maintenance()
            yield
        finally:
            await self._close()

    async def prepare(self) -> None:
        """Make what several processes share, before any of them needs it; they have been opened.

        That is the key of upload sessions, where `http.secret` is not set.
        """
        if not self._services.read_only:
            # Starting one stores nothing but the key.
            await self._services.stores.uploads.start("prepare")

    def start_maintenance(self) -> None:
        """Begin what one process does for all, until the application is shut down.

        That is the purge of uploads, where anything may be written, and what a proxy lets go.
        """
        if not self._is_read_only:
            self._purger.start()
        if self._proxy is not None:
            self._proxy.start_maintenance()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self._request(scope, receive)
        entry = self._access_log.begin(scope, send)
        try:
            await self._respond(request, entry)
        finally:
            request.leave()
            entry.finish("" if request.grant is None else request.grant.user)

    async def _respond(self, request: Request, entry: RequestEntry) -> None:
        try:
            if self._closed:
                await self._open()
            if self.health is not None and self.health.failures():
                raise ApiError(UNAVAILABLE, "health check failed: please see /debug/health")
            try:
                handler = find_handler(request)
            except ApiError:
                page = None if self._site is None else self._site.find(request)
                if page is None:
                    raise
                handler = page
            # What a page has for everybody has no route.
            if self._guard is not None and request.route:
                needed = required_accesses(
                    request.route, request.method, request.name, request.query
                )
                request.grant = await self._guard.authorize(request, needed)
            response = await self._instead.get(handler, handler)(self._services, request)
            if self._notifier is not None:
                await self._notifier.note(request, response, entry.fields())
        except Exception as error:
            response = await self._failure(request, to_api_error(error))
        headers = [*self._headers, (b"x-request-id", entry.id)]
        try:
            await response.send(request, entry.send, headers)
        except (StorageDriverError, RegistryError) as error:
            # The status is out: all that is left is to cut the connection, which the server does.
            logger.error("an answer was cut off: %s", error)
            raise

    async def _failure(self, request: Request, error: ApiError) -> Response:
        if self._site is not None and self._site.tells(request):
            try:
                return await self._site.failure(request, error)
            except Exception as failure:
                logger.error("a page failed", exc_info=failure)
        return error_response(error)

    def _request(self, scope: Scope, receive: Receive) -> Request:
        root = scope.get("root_path", "")
        return Request(scope, receive, self._path(scope), root + self._prefix)

    def _path(self, scope: Scope) -> str:
        path: str = scope["path"]
        root = scope.get("root_path", "")
        # ASGI has it so that `path` begins with `root_path`; some servers leave it out.
        if path.startswith(f"{root}/"):
            path = path[len(root) :]
        # What is not below the prefix is no resource.
        return path[len(self._prefix) :] if path.startswith(f"{self._prefix}/") else ""

    def _route_name(self, scope: Scope) -> str:
        return route_name(self._path(scope))

    async def _live(self, receive: Receive, send: Send) -> None:
        """Open and close what is owned as the server starts and stops."""
        while True:
            kind = (await receive())["type"]
            try:
                await (self._start() if kind == "lifespan.startup" else self._close())
            except Exception as error:
                await send({"type": f"{kind}.failed", "message": str(error)})
                return
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def _start(self) -> None:
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise

    async def _open(self) -> None:
        """Open what is not open yet. What is stays so if another part fails."""
        async with self._opening:
            while self._closed:
                await self._closed[0].open()
                self._opened.append(self._closed.pop(0))
            self._warn_of_key()

    def _warn_of_key(self) -> None:
        """Say so if servers that share the storage may not know each other's upload sessions."""
        can_share = self._storage.capabilities.put_if_absent
        if not (self._has_secret or can_share or self._services.read_only):
            logger.warning(
                "http.secret is not set, and of two servers that make its key at the same time "
                "this storage keeps the last one's: set it to the same text for all that share the "
                "storage, or uploads that one has begun may be unknown to another"
            )

    async def _close(self) -> None:
        await self._purger.aclose()
        async with self._opening, AsyncExitStack() as stack:
            for part in self._opened:
                stack.push_async_callback(part.aclose)
            self._closed = self._opened + self._closed
            self._opened = []


def _headers_of_all(http: HttpSettings) -> RawHeaders:
    """Give the headers that every answer has."""
    return [
        (b"docker-distribution-api-version", b"registry/2.0"),
        *(
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, values in http.headers.items()
            for value in values
        ),
    ]


def _make_services(settings: Settings, storage: Storage, caches: Caches) -> Services:
    secret, section = settings.http.secret, settings.storage
    key = None if secret is None else secret.get_secret_value().encode()
    is_proxy = settings.proxy.remoteurl is not None
    return Services(
        stores=make_stores(storage, key, caches, tags_at_once=section.tag.concurrencylimit),
        urls=UrlBuilder(settings.http),
        delete_enabled=section.delete.enabled,
        # What clients would push, the upstream would not have.
        read_only=section.maintenance.readonly.enabled or is_proxy,
        redirect_enabled=not section.redirect.disable,
        validation=ManifestValidation(settings.validation),
        most_repositories=settings.catalog.maxentries,
        most_tags=settings.tags.maxtags,
    )


def _make_meters(config: Configuration) -> Meters | None:
    debug = config.settings.http.debug
    # As in distribution: without the server that shows them there are none.
    if debug.addr is None or not debug.prometheus.enabled:
        return None
    # Imported here: nothing is measured, and nothing loaded, unless it is asked for.
    from storagedriver_registry.metrics.meters import Meters

    return Meters()


def _observers(meters: Meters | None) -> list[Callable[[OperationEvent], None]]:
    observers = []
    if meters is not None:
        from storagedriver_registry.metrics.storing import observe_storage

        observers.append(observe_storage(meters))
    if is_traced():
        from storagedriver_registry.tracing.spans import trace_storage

        observers.append(trace_storage())
    return observers


# What follows is imported where it is asked for: it costs each worker memory.


def _make_health(config: Configuration, storage: Storage) -> Health | None:
    is_shown = config.settings.http.debug.addr is not None
    if not (is_shown or config.settings.health.is_asked_for):
        return None
    from storagedriver_registry.health import make_health

    return make_health(config.settings.health, storage, is_shown=is_shown)


def _make_notifier(
    config: Configuration, services: Services, meters: Meters | None
) -> Notifier | None:
    if not config.settings.notifications.endpoints:
        return None
    from storagedriver_registry.notifications import EventCounter, make_notifier

    if meters is None:
        return make_notifier(config, services, EventCounter())
    from storagedriver_registry.metrics.notifying import MeteredEvents

    return make_notifier(config, services, MeteredEvents(meters))


def _make_proxy(
    config: Configuration,
    storage: Storage,
    services: Services,
    caches: Caches,
    meters: Meters | None,
) -> Proxy | None:
    if config.settings.proxy.remoteurl is None:
        return None
    from storagedriver_registry.proxy.counting import ProxyCounter
    from storagedriver_registry.proxy.proxy import make_proxy

    counter = ProxyCounter()
    if meters is not None:
        from storagedriver_registry.metrics.proxying import MeteredProxy

        counter = MeteredProxy(meters)
    return make_proxy(config, storage, services.stores, caches, counter)


def _make_guard(auth: AuthConfig | None) -> Guard | None:
    return None if auth is None else Guard(auth.build())
