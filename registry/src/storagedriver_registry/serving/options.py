"""How an application is served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storagedriver_registry.configuration.models import HttpSettings, TlsSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """Encryption, and what clients have to prove.

    Attributes:
        certificate: PEM file of the certificate, with those between it and its authority.
        key: PEM file of its key.
        client_authorities: PEM files of the authorities for clients; without one, clients prove
            nothing.
        client_auth: What clients have to send, as configurations name it.
        minimum: The least version, as configurations name it.
        cipher_suites: Those that are wanted; empty for those of the library.
    """

    certificate: Path
    key: Path
    client_authorities: tuple[Path, ...] = ()
    client_auth: str = "require-and-verify-client-cert"
    minimum: str = "tls1.2"
    cipher_suites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions:
    """How an application is served.

    Attributes:
        address: Host (empty for every address of the machine) and port (0 for a free one), or the
            path of a Unix socket.
        tls: Encryption; None for none.
        http2: Whether HTTP/2 is spoken too: over TLS where the client wants it, and without TLS
            where the client begins with it.
        drain_seconds: Seconds that requests have to end in when the server stops; 0 for any number.
        workers: Processes that serve.
    """

    address: tuple[str, int] | Path
    tls: TlsOptions | None = None
    http2: bool = False
    drain_seconds: float = 0.0
    workers: int = 1

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "http" if self.tls is None else "https"


def options_of(http: HttpSettings, workers: int = 1) -> ServingOptions:
    """Give what the section `http` of a configuration asks for."""
    tls = _tls_of(http.tls)
    return ServingOptions(
        address=_address_of(http),
        tls=tls,
        http2=http.h2c.enabled if tls is None else not http.http2.disabled,
        drain_seconds=http.draintimeout,
        workers=workers,
    )


def _address_of(http: HttpSettings) -> tuple[str, int] | Path:
    if http.net == "unix":
        return Path(http.addr)
    host, _, port = http.addr.rpartition(":")
    return host.strip("[]"), int(port)


def _tls_of(settings: TlsSettings) -> TlsOptions | None:
    if settings.certificate is None or settings.key is None:
        return None
    return TlsOptions(
        certificate=Path(settings.certificate),
        key=Path(settings.key),
        client_authorities=tuple(Path(name) for name in settings.clientcas),
        client_auth=settings.clientauth,
        minimum=settings.minimumtls,
        cipher_suites=settings.ciphersuites,
    )
