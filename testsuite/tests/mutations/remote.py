"""Broken drivers of a store behind HTTP, for the cases that look through a proxy."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from urllib.parse import quote

from storagedriver_core import (
    AuthenticationError,
    BytesStream,
    FileInfo,
    PutOptions,
    ReadOptions,
    ThrottledError,
    UnavailableError,
    UploadNotFoundError,
)

from ..http_store.driver import HttpDriver
from ..http_store.harness import harness_of
from ._mutation import Mutation


class NothingWasDone(HttpDriver):
    async def put_content(self, path, data, options):
        try:
            return await super().put_content(path, data, options)
        except UnavailableError as error:
            error.outcome = "none"
            raise


class BusyIsBroken(HttpDriver):
    async def stat(self, path, conditions=None):
        try:
            return await super().stat(path, conditions)
        except ThrottledError as error:
            raise UnavailableError from error


class BrokenPageIsTheLast(HttpDriver):
    async def list(self, path, options):
        try:
            async for page in super().list(path, options):
                yield page
        except UnavailableError:
            return


class BelievesTheStatus(HttpDriver):
    async def complete_upload(self, upload, parts, options):
        try:
            return await super().complete_upload(upload, parts, options)
        except UnavailableError:
            return FileInfo(options.path, options.size)


class ExpiredIsUnavailable(HttpDriver):
    async def put_part(self, upload, number, offset, data):
        try:
            return await super().put_part(upload, number, offset, data)
        except UploadNotFoundError as error:
            raise UnavailableError from error


class PublishesWhatIsLeft(HttpDriver):
    async def put_part(self, upload, number, offset, data):
        try:
            return await super().put_part(upload, number, offset, data)
        except UploadNotFoundError:
            await self.put_content(upload.path, b"".join(data), PutOptions())
            raise


class LooksBeforeItReads(HttpDriver):
    async def get_content(self, path):
        await self.stat(path)
        return await super().get_content(path)


class ReadsEverythingAndCuts(HttpDriver):
    async def open_reader(self, path, options):
        async with await super().open_reader(
            path, ReadOptions(conditions=options.conditions)
        ) as stream:
            chunks = []
            while chunk := await stream.next_chunk():
                chunks.append(chunk)
        return BytesStream(stream.info, b"".join(chunks), options)


class BelievesInRanges(HttpDriver):
    def require_range(self, answer):
        pass


class SignsFor(HttpDriver):
    asked, signed = "", ""

    def signed_url(self, host, path, method, expires, content_type):
        method = self.signed if method == self.asked else method
        return super().signed_url(host, path, method, expires, content_type)


class SignsGetAsPut(SignsFor):
    asked, signed = "GET", "PUT"


class SignsHeadAsGet(SignsFor):
    asked, signed = "HEAD", "GET"


class SignsPutAsGet(SignsFor):
    asked, signed = "PUT", "GET"


class SignsForEveryMethod(SignsFor):
    asked, signed = "GET", "*"


class SignsNoContentType(HttpDriver):
    def signed_url(self, host, path, method, expires, content_type):
        return super().signed_url(host, path, method, expires, "")


class SignsForLong(HttpDriver):
    def signed_url(self, host, path, method, expires, content_type):
        return super().signed_url(host, path, method, max(expires, timedelta(days=1)), content_type)


class EscapesTwice(HttpDriver):
    def signed_url(self, host, path, method, expires, content_type):
        return super().signed_url(host, quote(path), method, expires, content_type)


class SignsForItself(HttpDriver):
    def signed_url(self, host, path, method, expires, content_type):
        return super().signed_url(self._endpoint, path, method, expires, content_type)


class TiesUploadsToTheKey(HttpDriver):
    async def open_upload(self, path, holder, options):
        upload = await super().open_upload(path, holder, options)
        return dataclasses.replace(upload, data={**upload.data, "key": self._key})

    async def upload_state(self, upload, size):
        if upload.data.get("key", self._key) != self._key:
            raise AuthenticationError
        state = await super().upload_state(upload, size)
        return dataclasses.replace(state, data={**(state.data or {}), "key": self._key})


MUTATIONS = tuple(
    Mutation(case_id=case_id, fault=fault, harness=harness_of(driver))
    for case_id, fault, driver in [
        ("F01", "a put whose reply was lost says that nothing was done", NothingWasDone),
        ("F02", "a busy store is a broken one", BusyIsBroken),
        ("F03", "a page that is broken ends the listing", BrokenPageIsTheLast),
        ("F12", "status 200 is believed", BelievesTheStatus),
        ("F13", "an expired session is tried again", ExpiredIsUnavailable),
        ("F14", "what is left of dropped parts is published", PublishesWhatIsLeft),
        ("Q08", "each get has a stat before it", LooksBeforeItReads),
        ("R19", "everything is read, and then cut", ReadsEverythingAndCuts),
        ("R22", "the answer to a range is taken for the range", BelievesInRanges),
        ("U01", "a GET URL is signed for PUT", SignsGetAsPut),
        ("U02", "a HEAD URL is signed for GET", SignsHeadAsGet),
        ("U03", "a PUT URL is signed for GET", SignsPutAsGet),
        ("U04", "a GET URL is good for every method", SignsForEveryMethod),
        ("U05", "the content type is not signed", SignsNoContentType),
        ("U07", "a URL lasts a day at least", SignsForLong),
        ("U08", "names are escaped twice", EscapesTwice),
        ("U09", "the signature is for the internal endpoint", SignsForItself),
        ("W48", "an upload belongs to the credentials that began it", TiesUploadsToTheKey),
    ]
)
