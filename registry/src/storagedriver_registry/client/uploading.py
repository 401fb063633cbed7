"""The requests of an upload.

Source: distribution-spec, "Pushing blobs".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from yarl import URL

from storagedriver_registry.client.addresses import given_url
from storagedriver_registry.client.answers import Answer
from storagedriver_registry.client.connections import Content
from storagedriver_registry.client.errors import (
    InvalidAnswerError,
    NotFoundError,
    RedirectRefusedError,
)
from storagedriver_registry.client.retrying import Tries
from storagedriver_registry.client.tokens import repository_scope
from storagedriver_registry.client.transport import Request, Transport
from storagedriver_registry.digest import Digest

_END_PATIENCE = 15
"""Times as long as usual until the end of an upload is answered: many a registry reads, hashes or
copies the whole blob before it says anything."""

_RANGE = re.compile(r"(?:bytes=)?(\d{1,19})-(\d{1,19})")


@dataclass(frozen=True, slots=True)
class UploadSession:
    """An upload in progress, with which any process can go on.

    Attributes:
        location: Its URL, which may let its holder write: it is confidential.
        offset: Bytes that the registry has.
    """

    location: str
    offset: int = 0

    def __repr__(self) -> str:
        return f"UploadSession(offset={self.offset})"


class Uploader:
    """Uploads to one repository.

    Args:
        transport: The registry.
        target: The path at which uploads begin.
        scopes: What they need to be allowed.
        tries: Those that all of its requests share; None if each has its own.
    """

    def __init__(
        self,
        transport: Transport,
        target: str,
        scopes: frozenset[str],
        tries: Tries | None = None,
    ) -> None:
        self._transport = transport
        self._target = target
        self._scopes = scopes
        self._tries = tries

    def sharing(self, tries: Tries) -> Uploader:
        """Give one like this whose requests share their tries."""
        return Uploader(self._transport, self._target, self._scopes, tries)

    async def begin(self) -> UploadSession:
        """Begin an upload."""
        # Sent twice it begins two, of which one is empty and ages out.
        return self._session(await self._asked("POST", self._target, 202), 0)

    async def mount_or_begin(self, digest: Digest, source: str) -> UploadSession | None:
        """Mount a blob from another repository; where that cannot be, begin an upload of it.

        Args:
            digest: The blob.
            source: Name of the other repository.

        Returns:
            The upload; None if the blob was mounted.
        """
        request = Request(
            "POST",
            URL(self._target).update_query({"mount": str(digest), "from": source}),
            self._scopes | {repository_scope(source, "pull")},
            {"Content-Length": "0"},
            wanted=frozenset({201, 202}),
            tries=self._tries,
        )
        async with await self._transport.open(request) as answer:
            return None if answer.status == 201 else self._session(answer, 0)

    async def state(self, session: UploadSession) -> UploadSession:
        """Ask how far an upload is.

        Raises:
            NotFoundError: The registry does not know it (any more).
        """
        answer = await self._asked("GET", URL(session.location, encoded=True), 204)
        return self._session(answer, self._offset(answer))

    async def send(self, session: UploadSession, content: Content, length: int) -> UploadSession:
        """Send the next bytes of an upload.

        Args:
            session: The upload.
            content: The bytes from its offset on.
            length: How many they are.
        """
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
        }
        if session.offset:
            last = session.offset + length - 1
            headers["Content-Range"] = f"{session.offset}-{last}"
        request = Request(
            *("PATCH", URL(session.location, encoded=True), self._scopes, headers, content),
            # 201 and 204 are what some registries say instead.
            wanted=frozenset({202, 201, 204}),
            repeat=False,
            tries=self._tries,
        )
        async with await self._transport.open(request) as answer:
            return self._session(answer, session.offset + length)

    async def finish(self, session: UploadSession, digest: Digest, content: bytes = b"") -> None:
        """End an upload with its last bytes: the blob is there now."""
        joint = "&" if "?" in session.location else "?"
        url = URL(f"{session.location}{joint}digest={digest}", encoded=True)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(content)),
        }
        request = Request(
            *("PUT", url, self._scopes, headers, content),
            wanted=frozenset({201, 204}),
            repeat=False,
            patience=_END_PATIENCE,
            tries=self._tries,
        )
        async with await self._transport.open(request):
            pass

    async def cancel(self, session: UploadSession) -> None:
        """Drop an upload; that it is gone already is as good."""
        request = Request(
            *("DELETE", URL(session.location, encoded=True), self._scopes),
            wanted=frozenset({202, 204}),
            tries=self._tries,
        )
        try:
            async with await self._transport.open(request):
                pass
        except NotFoundError:
            pass

    async def _asked(self, method: str, target: str | URL, status: int) -> Answer:
        headers = {"Content-Length": "0"} if method == "POST" else {}
        request = Request(
            *(method, target, self._scopes, headers),
            wanted=frozenset({status}),
            tries=self._tries,
        )
        async with await self._transport.open(request) as answer:
            return answer

    def _session(self, answer: Answer, offset: int) -> UploadSession:
        location = answer.headers.get("Location")
        if location is None:
            raise InvalidAnswerError("an upload without Location", host=self._transport.host)
        try:
            url = given_url(answer.url.join(URL(location, encoded=True)))
        except ValueError:
            raise InvalidAnswerError(
                "the Location of an upload is no URL", host=self._transport.host
            ) from None
        if url.scheme not in ("http", "https") or (answer.url.scheme, url.scheme) == (
            *("https", "http"),
        ):
            raise RedirectRefusedError(
                f"it wants an upload sent by {url.scheme}, without encryption",
                host=self._transport.host,
            )
        return UploadSession(str(url), offset)

    def _offset(self, answer: Answer) -> int:
        match = _RANGE.fullmatch(answer.headers.get("Range", "0-0"))
        if match is None or int(match[1]) != 0:
            raise InvalidAnswerError("an upload without Range", host=self._transport.host)
        # Registries say 0-0 of an empty upload, and so of one byte: that byte is sent again.
        last = int(match[2])
        return last + 1 if last else 0
