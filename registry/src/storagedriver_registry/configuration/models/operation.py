"""The sections of a registry in operation: `notifications`, `health`, `proxy`, `reporting`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from storagedriver_registry.configuration.models.base import (
    Duration,
    HeaderName,
    Section,
)

# Of requests to others, which may carry credentials.
_Headers = dict[HeaderName, list[SecretStr]]
_Times = Annotated[int, Field(ge=0)]


class EventSettings(Section):
    """What events tell.

    Attributes:
        includereferences: What a manifest refers to.
    """

    includereferences: bool = False


class IgnoreSettings(Section):
    """Events that an endpoint is not sent.

    Attributes:
        mediatypes: Those about content of these media types.
        actions: Those of these actions.
    """

    mediatypes: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


class EndpointSettings(Section):
    """Where events are sent.

    Attributes:
        name: What it is called.
        disabled: Send nothing there.
        url: Where to.
        headers: Headers of requests.
        timeout: Seconds for a request.
        threshold: Failures before it is left alone for a while.
        backoff: Seconds of that while.
        ignoredmediatypes: As `ignore.mediatypes`.
        ignore: Events that are not sent.
    """

    name: str | None = None
    disabled: bool = False
    url: str | None = None
    headers: _Headers = Field(default_factory=dict)
    timeout: Duration = 0.0
    threshold: _Times = 0
    backoff: Duration = 0.0
    ignoredmediatypes: tuple[str, ...] = ()
    ignore: IgnoreSettings = IgnoreSettings()


class EventQueueSettings(Section):
    """Events that wait to be sent; not distribution's, which keeps them in memory.

    Attributes:
        directory: Where they are, on a disk of this machine. By default `.notifications` in the
            `rootdirectory` of the filesystem driver, and `registry-notifications` in the working
            directory (in `$STATE_DIRECTORY`, where systemd sets it) with others.
        most: Events that may wait for one endpoint. Beyond, new ones are lost.
    """

    directory: str | None = None
    most: Annotated[int, Field(ge=1)] = 100_000


class NotificationSettings(Section):
    """What others are told of what happens.

    Attributes:
        events: What events tell.
        endpoints: Where they are sent.
        queue: Events that wait to be sent.
    """

    events: EventSettings = EventSettings()
    endpoints: tuple[EndpointSettings, ...] = ()
    queue: EventQueueSettings = EventQueueSettings()


class StorageCheckSettings(Section):
    """A check of the storage.

    Attributes:
        enabled: Whether it is made.
        interval: Seconds between two.
        threshold: Failures before it counts.
    """

    enabled: bool = False
    interval: Duration = 10.0
    threshold: _Times = 0


class FileCheckSettings(Section):
    """A file that must not be there.

    Attributes:
        file: Its path.
        interval: Seconds between two checks.
        threshold: Failures before it counts.
    """

    file: str
    interval: Duration = 10.0
    threshold: _Times = 0


class HttpCheckSettings(Section):
    """A URL that has to answer.

    Attributes:
        uri: The URL.
        headers: Headers of the request.
        statuscode: The answer.
        timeout: Seconds for it.
        interval: Seconds between two checks.
        threshold: Failures before it counts.
    """

    uri: str
    headers: _Headers = Field(default_factory=dict)
    statuscode: int = 200
    timeout: Duration = 0.0
    interval: Duration = 10.0
    threshold: _Times = 0


class TcpCheckSettings(Section):
    """An address that has to take connections.

    Attributes:
        addr: Host and port.
        timeout: Seconds for a connection.
        interval: Seconds between two checks.
        threshold: Failures before it counts.
    """

    addr: str
    timeout: Duration = 0.0
    interval: Duration = 10.0
    threshold: _Times = 0


class HealthSettings(Section):
    """What makes a registry unhealthy.

    Attributes:
        storagedriver: A check of the storage.
        file: Files that must not be there.
        http: URLs that have to answer.
        tcp: Addresses that have to take connections.
    """

    storagedriver: StorageCheckSettings = StorageCheckSettings()
    file: tuple[FileCheckSettings, ...] = ()
    http: tuple[HttpCheckSettings, ...] = ()
    tcp: tuple[TcpCheckSettings, ...] = ()

    @property
    def is_asked_for(self) -> bool:
        """Whether anything is checked."""
        return self.storagedriver.enabled or bool(self.file or self.http or self.tcp)


class ExecSettings(Section):
    """A program that gives credentials.

    Attributes:
        command: The program.
        lifetime: Seconds that its credentials hold; 0 to ask each time. By default once.
    """

    command: str | None = None
    lifetime: Duration | None = None


class ProxySettings(Section):
    """Another registry, of which this one is a cache.

    Attributes:
        remoteurl: URL of the other, up to the last `/` with what stands before `v2/` there.
        username: As whom.
        password: Of the user.
        exec: A program that gives credentials instead.
        ttl: Seconds that what was fetched is kept; 0 for ever. By default a week.
        spool: Directory for blobs while they come, on a disk of this machine; not distribution's.
            By default the `rootdirectory` of the filesystem driver, and with others the system's
            for temporary files.
        remotenamespace: What names there begin with.
    """

    remoteurl: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    exec: ExecSettings = ExecSettings()
    ttl: Duration | None = None
    spool: str | None = None
    remotenamespace: str | None = None


class BugsnagSettings(Section):
    """Reports to Bugsnag; distribution 2's.

    Attributes:
        apikey: Its key.
        releasestage: Of this registry.
        endpoint: Of the service.
    """

    apikey: SecretStr | None = None
    releasestage: str | None = None
    endpoint: str | None = None


class NewRelicSettings(Section):
    """Reports to New Relic; distribution 2's.

    Attributes:
        licensekey: Its key.
        name: Of this registry.
        verbose: Say more.
    """

    licensekey: SecretStr | None = None
    name: str | None = None
    verbose: bool = False


class ReportingSettings(Section):
    """Reports of errors.

    Attributes:
        bugsnag: To Bugsnag.
        newrelic: To New Relic.
    """

    bugsnag: BugsnagSettings = BugsnagSettings()
    newrelic: NewRelicSettings = NewRelicSettings()
