"""Whom the client trusts, and how it proves who it is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from storagedriver_registry.client.errors import CertificateError


@dataclass(frozen=True, slots=True)
class TLSOptions:
    """Certificates for one registry.

    Attributes:
        authorities: PEM files of authorities that are trusted besides the machine's own.
        certificate: PEM file of the client's certificate, with its chain.
        key: PEM file of its key; None if it is in the certificate's file.
        verify: Whether the registry's certificate is checked at all.
    """

    authorities: tuple[Path, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True

    @classmethod
    def of_folder(cls, folder: Path) -> TLSOptions:
        """Read a folder as Docker's `certs.d` has one for each host.

        It has authorities in `*.crt`, and the client's certificate and key in `NAME.cert` and
        `NAME.key`. A folder that is not there has none.
        """
        certificates = sorted(folder.glob("*.cert"))
        certificate = certificates[0] if certificates else None
        key = certificate.with_suffix(".key") if certificate is not None else None
        return cls(tuple(sorted(folder.glob("*.crt"))), certificate, key)

    def context(self) -> ssl.SSLContext | bool:
        """Make the context of the connections; True for the usual one, which aiohttp has made.

        Raises:
            CertificateError: A file cannot be read or does not hold what it should.
        """
        if self == TLSOptions():
            return True
        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            for authority in self.authorities:
                context.load_verify_locations(authority)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            names = ", ".join(map(str, (*self.authorities, self.certificate or "")))
            raise CertificateError(f"certificates cannot be loaded ({names}): {error}") from error
        return context
