"""The section `http`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from storagedriver_registry.configuration.models.base import (
    Duration,
    HeaderName,
    HeaderValue,
    Section,
)

# Source: distribution's documentation, "Configuring a registry", `tls`.
CipherSuite = Literal[
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
]
ClientAuth = Literal[
    "request-client-cert",
    "require-any-client-cert",
    "verify-client-cert-if-given",
    "require-and-verify-client-cert",
]
TlsVersion = Literal["tls1.0", "tls1.1", "tls1.2", "tls1.3"]

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*):[0-9]{1,5}")


def _check_address(addr: str) -> str:
    if not _ADDRESS.fullmatch(addr):
        raise ValueError("an address is like localhost:5000, [::1]:5000 or :5000")
    if int(addr.rpartition(":")[2]) > 65535:
        raise ValueError("a port is at most 65535")
    return addr


def _with_slash(path: str) -> str:
    # distribution's documentation wants a slash at the end, and its router does not.
    return f"{path.rstrip('/')}/"


class LetsEncryptSettings(Section):
    """Certificates from an authority that speaks ACME.

    Attributes:
        cachefile: Where they are kept.
        email: Who asks.
        hosts: For which names.
        directoryurl: URL of the authority.
    """

    cachefile: str | None = None
    email: str | None = None
    hosts: tuple[str, ...] = ()
    directoryurl: str | None = None


class TlsSettings(Section):
    """Encryption, and what clients have to prove.

    Attributes:
        certificate: PEM file of the certificate, with those between it and its authority.
        key: PEM file of its key.
        clientcas: PEM files of the authorities for clients; without one, clients prove nothing.
        clientauth: What clients have to send.
        minimumtls: The least version.
        ciphersuites: Those allowed, by their IANA names; by default those of the library.
        letsencrypt: Certificates from an authority that speaks ACME.
    """

    certificate: str | None = None
    key: str | None = None
    clientcas: tuple[str, ...] = ()
    clientauth: ClientAuth = "require-and-verify-client-cert"
    minimumtls: TlsVersion = "tls1.2"
    ciphersuites: tuple[CipherSuite, ...] = ()
    letsencrypt: LetsEncryptSettings = LetsEncryptSettings()

    @model_validator(mode="after")
    def _is_whole(self) -> TlsSettings:
        # What is meant to be encrypted must not be served in the clear for want of a key.
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key come together")
        if self.certificate is None and self.clientcas:
            raise ValueError("clientcas needs certificate and key")
        if self.certificate is None and self.letsencrypt.model_fields_set:
            raise ValueError("letsencrypt is not supported: give certificate and key")
        return self

    @property
    def enabled(self) -> bool:
        """Whether connections are encrypted."""
        return self.certificate is not None


class PrometheusSettings(Section):
    """Metrics.

    Attributes:
        enabled: Whether they are served.
        path: At which path of the debug server.
    """

    enabled: bool = False
    path: Annotated[str, Field(pattern=r"^/")] = "/metrics"


class DebugSettings(Section):
    """The debug server.

    Attributes:
        addr: Address and port to listen at.
        prometheus: Metrics.
    """

    addr: Annotated[str, AfterValidator(_check_address)] | None = None
    prometheus: PrometheusSettings = PrometheusSettings()


class Http2Settings(Section):
    """HTTP/2 over TLS.

    Attributes:
        disabled: Whether only HTTP/1.1 is spoken.
    """

    disabled: bool = False


class H2cSettings(Section):
    """HTTP/2 without TLS.

    Attributes:
        enabled: Whether it is spoken too.
    """

    enabled: bool = False


class PagesSettings(Section):
    """Pages for people; not distribution's.

    Attributes:
        disabled: Whether there are none.
    """

    disabled: bool = False


class HttpSettings(Section):
    """How the registry is served.

    Attributes:
        net: What `addr` is: address and port, or path of a socket.
        addr: Address and port to listen at (without an address, on all), or path of a socket.
        prefix: Path below which everything is served.
        host: Base of the URLs that are sent, as `https://registry.example/`, with all of the path
            that stands before `v2/`, `prefix` too; by default what the client or its proxy says
            that it asked.
        relativeurls: Send URLs without scheme and host, where `host` is not given.
        secret: Signs upload sessions. Without it a key is made and kept in the storage.
        draintimeout: Seconds that requests have to end in when the server stops; 0 for any number.
        headers: Headers of every answer.
        tls: Encryption.
        debug: The debug server.
        http2: HTTP/2 over TLS.
        h2c: HTTP/2 without TLS.
        pages: Pages for people.
    """

    net: Literal["tcp", "unix"] = "tcp"
    addr: str = ":5000"
    prefix: Annotated[str, Field(pattern=r"^/"), AfterValidator(_with_slash)] = "/"
    host: Annotated[str | None, Field(pattern=r"^https?://[^/?#]+(/[^?#]*)?$")] = None
    relativeurls: bool = False
    secret: SecretStr | None = None
    draintimeout: Duration = 0.0
    headers: dict[HeaderName, list[HeaderValue]] = Field(default_factory=dict)
    tls: TlsSettings = TlsSettings()
    debug: DebugSettings = DebugSettings()
    http2: Http2Settings = Http2Settings()
    h2c: H2cSettings = H2cSettings()
    pages: PagesSettings = PagesSettings()

    @field_validator("host")
    @classmethod
    def _as_a_base(cls, host: str | None) -> str | None:
        # distribution takes the URLs for relative to it: what is behind the last slash is left out.
        if host is None or host.count("/") < 3:
            return host
        return host[: host.rindex("/") + 1]

    @field_validator("addr")
    @classmethod
    def _is_an_address(cls, addr: str, info: ValidationInfo) -> str:
        if info.data.get("net") == "unix":
            if "\0" in addr:
                raise ValueError("it is no path of a socket")
            return addr
        return _check_address(addr)

    @model_validator(mode="after")
    def _has_a_socket(self) -> HttpSettings:
        if self.net == "unix" and "addr" not in self.model_fields_set:
            raise ValueError("net unix needs addr, the path of a socket")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen at, where `net` is `tcp`."""
        host, _, port = self.addr.rpartition(":")
        return host.strip("[]") or "0.0.0.0", int(port)
