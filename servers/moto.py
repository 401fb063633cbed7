"""moto: an S3 store in memory that checks no signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from servers._http import request
from servers._process import HOST
from servers._s3 import S3Server


class Moto(S3Server):
    """`moto_server`; whatever credentials are given are right."""

    program: ClassVar[str] = "moto_server"

    def arguments(self) -> Sequence[str]:
        """Give the address."""
        return ["-H", HOST, "-p", str(self.port)]

    def reset(self) -> None:
        """Forget everything that was stored."""
        request("POST", f"{self.url}/moto-api/reset").check()
