"""The conformance suite's harness: a bucket that the parameters name, seen by plain HTTP."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from storagedriver_testsuite import Answer, ExtraRequests, Harness
from yarl import URL

from storagedriver_core import ConfigurationError, PathNotFoundError, StorageDriver
from storagedriver_gcs._config import GcsConfig
from storagedriver_gcs._credentials import Credentials, read_key
from storagedriver_gcs._driver import GcsDriver

_SESSION = r"^(PUT|POST|DELETE) \S*[?&]upload_id="
_CHUNK = r"^PUT \S*[?&]upload_id="


class GcsHarness(Harness):
    """One new directory of a bucket, which has to be there.

    The service lists no open uploads, so `raw_uploads` cannot tell of any; a harness of a server
    that can overrides it.

    Args:
        directory: Not used.
        parameters: The driver's; the bucket has to be there.

    Raises:
        ConfigurationError: There are no parameters: no bucket can be made out of nothing.
    """

    max_seconds = 300.0
    is_remote = True
    extra_requests = ExtraRequests(
        "a session ends at a name of the driver's own: a rewrite publishes it, create-only if so "
        "wanted, at the name that is known last, and then that first name is deleted",
        commit=2,
    )

    def __init__(self, directory: Path, parameters: Mapping[str, object] | None = None) -> None:
        if not parameters:
            raise ConfigurationError(
                "the driver 'gcs' needs a bucket: name one in a configuration file, and give it "
                "with -c"
            )
        given = GcsConfig.model_validate(parameters)
        self._given = {name: value for name, value in parameters.items() if name != "rootdirectory"}
        self._root = f"{given.prefix}{secrets.token_hex(6)}"
        self.config = self._changed()
        self._http: aiohttp.ClientSession | None = None
        self._credentials: Credentials | None = None

    def _changed(self, **changes: object) -> GcsConfig:
        """Give the configuration, with some parameters changed."""
        parameters = {**self._given, "root_directory": self._root, **changes}
        return GcsConfig.model_validate(parameters)

    async def start(self) -> None:
        key = await asyncio.to_thread(read_key, self.config)
        self._credentials = Credentials(self.config, key)
        self._http = aiohttp.ClientSession()

    async def stop(self) -> None:
        if self._http is None:
            return
        for root in (self._root, f"{self._root}-other"):
            for name in await self._names_below(f"{root}/"):
                await self._call("DELETE", f"/o/{quote(name, safe='')}")
        await self._http.close()

    def driver(self) -> StorageDriver:
        return GcsDriver(self.config)

    async def raw_list(self) -> Sequence[str]:
        prefix = self.config.prefix
        return [f"/{name.removeprefix(prefix)}" for name in await self._names_below(prefix)]

    async def raw_uploads(self) -> Sequence[str]:
        return []

    async def raw_get(self, path: str) -> bytes:
        return await self._call("GET", f"/o/{self._quoted(path)}", {"alt": "media"})

    async def raw_put(self, path: str, data: bytes) -> None:
        query = {"uploadType": "media", "name": f"{self.config.prefix}{path[1:]}"}
        await self._call("POST", "/o", query, data, kind="/upload")

    def missing_driver(self) -> StorageDriver:
        return GcsDriver(self._changed(bucket=f"{self.config.bucket}-that-is-missing"))

    def other_root_driver(self) -> StorageDriver:
        return GcsDriver(self._changed(root_directory=f"{self._root}-other"))

    async def plant_directory(self, path: str) -> None:
        await self.raw_put(f"{path}/", b"")

    def upstream_url(self) -> str:
        return self.config.url

    def proxied_driver(self, url: str) -> StorageDriver:
        return GcsDriver(self._changed(endpoint=url))

    def public_driver(self, url: str) -> StorageDriver:
        return GcsDriver(self._changed(public_endpoint=url))

    def session_faults(self) -> Mapping[str, Answer]:
        return {
            "no_progress": Answer(_CHUNK, 308),
            "expired": Answer(_SESSION, 404),
            "gone": Answer(_SESSION, 410),
            "cancelled": Answer(_SESSION, 499),
        }

    def undeletable_answer(self, path: str) -> Answer:
        error = {"code": 403, "errors": [{"reason": "forbidden"}], "message": "Forbidden"}
        return Answer(
            f"^DELETE \\S*/o/{self._quoted(path)}(\\?|$)",
            403,
            {"Content-Type": "application/json"},
            json.dumps({"error": error}).encode(),
        )

    def parameters(self) -> Mapping[str, object]:
        return {**self._given, "root_directory": self._root}

    def bad_parameters(self) -> Sequence[tuple[dict[str, object], str]]:
        good = dict(self.parameters())
        return [
            ({**good, "colour": "red"}, "colour"),
            ({name: value for name, value in good.items() if name != "bucket"}, "bucket"),
            ({**good, "chunksize": 1000}, "chunksize"),
            ({**good, "maxconcurrency": "many"}, "maxconcurrency"),
        ]

    # The back door

    def _quoted(self, path: str) -> str:
        return quote(f"{self.config.prefix}{path[1:]}", safe="")

    async def _names_below(self, prefix: str) -> list[str]:
        names: list[str] = []
        query = {"prefix": prefix}
        while True:
            page = json.loads(await self._call("GET", "/o", query))
            names += [item["name"] for item in page.get("items", [])]
            if not page.get("nextPageToken"):
                return names
            query["pageToken"] = page["nextPageToken"]

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        data: bytes = b"",
        *,
        kind: str = "",
    ) -> bytes:
        assert self._http is not None and self._credentials is not None, "start comes first"
        bucket = quote(self.config.bucket, safe="")
        url = f"{self.config.url}{kind}/storage/v1/b/{bucket}{path}?{urlencode(query or {})}"
        options: dict[str, Any] = {"data": _pieces(data), "headers": await self._headers(data)}
        if method != "POST":
            options["data"] = None
        async with self._http.request(method, URL(url, encoded=True), **options) as answer:
            body = await answer.read()
            if answer.status == 404:
                raise PathNotFoundError
            assert answer.status < 300, (answer.status, body[:300])
            return body

    async def _headers(self, data: bytes) -> dict[str, str]:
        assert self._credentials is not None
        return {**await self._credentials.header(), "Content-Length": str(len(data))}


async def _pieces(data: bytes) -> Any:
    """Give the bytes in pieces, since aiohttp warns of large ones."""
    for start in range(0, len(data), 1 << 20):
        yield data[start : start + (1 << 20)]
