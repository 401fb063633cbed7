"""The manifests of a repository."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from storagedriver_registry.client.answers import Answer
from storagedriver_registry.client.errors import (
    DigestMismatchError,
    InvalidAnswerError,
    InvalidReferenceError,
)
from storagedriver_registry.client.origins import Origin, Origins, Search
from storagedriver_registry.client.platforms import Platform, choose
from storagedriver_registry.client.tokens import repository_scope
from storagedriver_registry.client.transport import Request, Transport
from storagedriver_registry.digest import Digest, InvalidDigestError, compute_digest, parse_digest
from storagedriver_registry.manifest import MODELS, named_type, shape_type
from storagedriver_registry.reference import is_tag

MOST_BYTES = 4 << 20
"""Bytes of the largest manifest. Source: distribution-spec, "Pushing Manifests"."""

MOST_DEPTH = 8
"""Of an index in an index, or of what refers to what refers to an image."""

ACCEPTED = (*MODELS, "*/*;q=0.1")
"""Media types that are asked for: those that are known, and else whatever there is."""


@dataclass(frozen=True, slots=True)
class ManifestInfo:
    """What is known of a manifest without reading it.

    Attributes:
        digest: Its digest; None if the registry does not say.
        media_type: Its type; empty if the registry does not say.
        size: Its bytes; None if the registry does not say.
    """

    digest: Digest | None
    media_type: str
    size: int | None


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest, byte for byte, which is what its digest says.

    Attributes:
        data: The bytes.
        digest: Their digest.
        media_type: Their type: as the registry sent it, or else as they name it.
    """

    data: bytes
    digest: Digest
    media_type: str


@dataclass(frozen=True, slots=True)
class PutManifest:
    """What became of a manifest that was put.

    Attributes:
        digest: Its digest.
        lists_subject: Whether the registry lists it among the referrers of its subject by itself.
    """

    digest: Digest
    lists_subject: bool


class Manifests:
    """The manifests of one repository; `Repository.manifests`.

    Args:
        transport: The registry.
        name: The repository.
        origins: Where they are read.
    """

    def __init__(self, transport: Transport, name: str, origins: Origins) -> None:
        self._transport = transport
        self._origins = origins
        self._path = f"/v2/{name}/manifests/"
        self._push = frozenset({repository_scope(name, "pull", "push")})
        self._delete = frozenset({repository_scope(name, "delete")})

    async def head(
        self, reference: Digest | str, *, accept: Sequence[str] = ACCEPTED
    ) -> ManifestInfo:
        """Ask what a tag or digest is.

        Args:
            reference: A tag, or a digest.
            accept: Media types that are wanted.

        Raises:
            NotFoundError: The repository has no such manifest.
        """
        digest = _digest_or_tag(reference)

        async def ask(origin: Origin) -> ManifestInfo:
            request = _read_request("HEAD", origin, reference, accept)
            async with await origin.transport.open(request) as answer:
                said = _said_digest(answer)
                if digest is not None and said is not None and said != digest:
                    raise _mismatch(origin.transport, digest, said)
                length = answer.headers.get("Content-Length", "")
                size = int(length) if length.isascii() and length.isdigit() else None
                return ManifestInfo(digest or said, answer.media_type, size)

        return await self._search(digest).first(ask)

    async def get(
        self,
        reference: Digest | str,
        *,
        platform: Platform | str | None = None,
        accept: Sequence[str] = ACCEPTED,
    ) -> FetchedManifest:
        """Fetch a manifest.

        Args:
            reference: A tag, or a digest.
            platform: If it is an index, the one of its members that runs on this platform is given,
                such as `linux/arm64`.
            accept: Media types that are wanted.

        Raises:
            NotFoundError: The repository has no such manifest, or the index none for the platform.
            DigestMismatchError: The registry sent something else.
        """
        digest = _digest_or_tag(reference)

        async def ask(origin: Origin) -> FetchedManifest:
            request = _read_request("GET", origin, reference, accept)
            answer, data = await origin.transport.read(request, MOST_BYTES)
            wanted = digest or _said_digest(answer)
            actual = compute_digest(data, wanted.algorithm if wanted else "sha256")
            if wanted is not None and actual != wanted:
                raise _mismatch(origin.transport, wanted, actual)
            origin.named |= digest is None
            media_type = answer.media_type if answer.media_type in MODELS else ""
            media_type = media_type or named_type(data) or answer.media_type or shape_type(data)
            return FetchedManifest(data, actual, media_type)

        fetched = await self._search(digest).first(ask)
        if platform is None:
            return fetched
        if isinstance(platform, str):
            platform = Platform.parse(platform)
        return await of_platform(fetched, platform, partial(self.get, accept=accept))

    async def put(
        self, reference: Digest | str, data: bytes, media_type: str | None = None
    ) -> PutManifest:
        """Store a manifest, byte for byte.

        Args:
            reference: A tag, or its digest.
            data: The manifest.
            media_type: Its type; None if it names it itself.

        Raises:
            ResponseError: The registry does not take it.
            DigestMismatchError: The registry took it for something else.
        """
        digest = _digest_or_tag(reference)
        media_type = media_type or named_type(data) or shape_type(data)
        request = Request(
            *("PUT", f"{self._path}{reference}", self._push, {"Content-Type": media_type}, data),
            wanted=frozenset({201}),
        )
        async with await self._transport.open(request) as answer:
            said = _said_digest(answer)
            actual = compute_digest(data, (digest or said or compute_digest(b"")).algorithm)
            if said is not None and said != actual:
                raise _mismatch(self._transport, actual, said)
            return PutManifest(actual, "OCI-Subject" in answer.headers)

    async def delete(self, reference: Digest | str) -> None:
        """Delete a manifest with its tags, if it is named by its digest; else the tag alone.

        Raises:
            NotFoundError: The repository has no such manifest.
            UnsupportedError: The registry deletes nothing, or no tags.
        """
        _digest_or_tag(reference)
        request = Request(
            *("DELETE", f"{self._path}{reference}", self._delete),
            wanted=frozenset({202, 200, 204}),
        )
        await self._transport.delete(request)

    def _search(self, digest: Digest | None) -> Search:
        return self._origins.of_tag() if digest is None else self._origins.of_manifest()


async def of_platform(
    root: FetchedManifest, platform: Platform, fetch: Callable[[Digest], Awaitable[FetchedManifest]]
) -> FetchedManifest:
    """Give the image for a platform: the manifest itself, or a member of an index, however deep.

    Args:
        root: The manifest.
        platform: The platform.
        fetch: Gives a manifest by its digest.

    Raises:
        NotFoundError: The index has none.
        InvalidAnswerError: The index says no digest of it, or there is an index in an index in an
            index, and so on.
    """
    found = root
    for _ in range(MOST_DEPTH + 1):
        member = choose(found.data, found.media_type, platform)
        if member is None:
            return found
        try:
            digest = parse_digest(member)
        except InvalidDigestError as error:
            raise InvalidAnswerError(f"manifest {found.digest}: {error}") from None
        found = await fetch(digest)
    raise InvalidAnswerError(
        f"manifest {root.digest}: manifests in manifests, more than {MOST_DEPTH} deep"
    )


def _digest_or_tag(reference: Digest | str) -> Digest | None:
    """Give the digest that a reference is; None of a tag."""
    if isinstance(reference, Digest):
        return reference
    if is_tag(reference):
        return None
    try:
        return parse_digest(reference)
    except InvalidDigestError:
        raise InvalidReferenceError(f"{reference!r} is no tag and no digest") from None


def _read_request(
    method: str, origin: Origin, reference: Digest | str, accept: Sequence[str]
) -> Request:
    return Request(
        method,
        f"/v2/{origin.name}/manifests/{reference}",
        frozenset({repository_scope(origin.name, "pull")}),
        {"Accept": ", ".join(accept)},
    )


def _said_digest(answer: Answer) -> Digest | None:
    try:
        return parse_digest(answer.headers.get("Docker-Content-Digest", ""))
    except InvalidDigestError:
        return None


def _mismatch(transport: Transport, expected: Digest, actual: Digest) -> DigestMismatchError:
    return DigestMismatchError(
        f"manifest {expected}: it is {actual}",
        host=transport.host,
        expected=str(expected),
        actual=str(actual),
    )
