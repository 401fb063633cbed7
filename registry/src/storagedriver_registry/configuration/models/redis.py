"""The section `redis`, in the spellings of distribution 3 and of distribution 2."""

from __future__ import annotations

from pydantic import Field, SecretStr

from storagedriver_registry.configuration.models.base import Duration, Section


class RedisPoolSettings(Section):
    """Connections, as distribution 2 spells them.

    Attributes:
        maxidle: As `redis.maxidleconns`.
        maxactive: As `redis.poolsize`.
        idletimeout: As `redis.connmaxidletime`.
    """

    maxidle: int | None = Field(None, ge=0)
    maxactive: int | None = Field(None, ge=0)
    idletimeout: Duration | None = None


class RedisTlsSettings(Section):
    """Encryption of connections.

    Attributes:
        enabled: Encrypt; distribution 2's. The other keys say it as well.
        certificate: PEM file of a certificate for this client.
        key: PEM file of its key.
        clientcas: PEM files of the authorities for the server.
    """

    enabled: bool = False
    certificate: str | None = None
    key: str | None = None
    clientcas: tuple[str, ...] = ()


class RedisSettings(Section):
    """Where Redis is, and how it is asked.

    Source: distribution's documentation, "Configuring a registry", `redis`; go-redis 9,
    UniversalOptions, which distribution 3 takes in lower case.

    Attributes:
        addr: Host and port; distribution 2's.
        addrs: Hosts and ports; several are a cluster, or sentinels.
        mastername: Name of the master that sentinels are asked for.
        clientname: What connections call themselves.
        username: As whom.
        password: Of the user.
        sentinelusername: As whom sentinels are asked.
        sentinelpassword: Of that user.
        db: Number of the database.
        protocol: 2 or 3.
        dialtimeout: Seconds to connect.
        readtimeout: Seconds for an answer.
        writetimeout: Seconds for a question.
        contexttimeoutenabled: Of go-redis.
        maxretries: Repetitions; -1 for none.
        minretrybackoff: Least seconds before one.
        maxretrybackoff: Most seconds before one.
        poolfifo: Use the connection that has waited longest.
        poolsize: Connections at once.
        pooltimeout: Seconds to wait for one.
        minidleconns: Connections that wait at least.
        maxidleconns: Connections that wait at most.
        maxactiveconns: Connections at all.
        connmaxidletime: Seconds that one waits before it is closed.
        connmaxlifetime: Seconds that one lives.
        maxredirects: Of a cluster.
        readonly: Of a cluster: ask replicas too.
        routebylatency: Of a cluster: ask the nearest.
        routerandomly: Of a cluster: ask any.
        disableidentity: Do not say which client it is.
        identitysuffix: What is added to that.
        unstableresp3: Of go-redis.
        isclustermode: A cluster, though `addrs` has one only.
        pool: Connections, as distribution 2 spells them.
        tls: Encryption.
    """

    addr: str | None = None
    addrs: tuple[str, ...] = ()
    mastername: str | None = None
    clientname: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    sentinelusername: str | None = None
    sentinelpassword: SecretStr | None = None
    db: int = Field(default=0, ge=0)
    protocol: int | None = None
    dialtimeout: Duration | None = None
    readtimeout: Duration | None = None
    writetimeout: Duration | None = None
    contexttimeoutenabled: bool = False
    maxretries: int | None = None
    minretrybackoff: Duration | None = None
    maxretrybackoff: Duration | None = None
    poolfifo: bool = False
    poolsize: int | None = Field(None, ge=0)
    pooltimeout: Duration | None = None
    minidleconns: int | None = Field(None, ge=0)
    maxidleconns: int | None = Field(None, ge=0)
    maxactiveconns: int | None = Field(None, ge=0)
    connmaxidletime: Duration | None = None
    connmaxlifetime: Duration | None = None
    maxredirects: int | None = None
    readonly: bool = False
    routebylatency: bool = False
    routerandomly: bool = False
    disableidentity: bool = False
    identitysuffix: str | None = None
    unstableresp3: bool = False
    isclustermode: bool = False
    pool: RedisPoolSettings = RedisPoolSettings()
    tls: RedisTlsSettings = RedisTlsSettings()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Hosts and ports, in whichever spelling."""
        return self.addrs or ((self.addr,) if self.addr else ())

    @property
    def encrypted(self) -> bool:
        """Whether connections are encrypted."""
        tls = self.tls
        return tls.enabled or bool(tls.certificate or tls.clientcas)
