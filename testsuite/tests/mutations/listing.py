"""Broken drivers for the cases of listing."""

from __future__ import annotations

import asyncio
import dataclasses

from storagedriver_filesystem.harness import FilesystemHarness

from storagedriver_core import (
    DriverMiddleware,
    FileInfo,
    ListOptions,
    PathNotFoundError,
    PutOptions,
    Storage,
    StorageDriverError,
    child_prefix,
    parent,
)

from ._mutation import Mutation


class EachPage(DriverMiddleware):
    """Changes the pages of list and walk by `change(number, page)`, or one of them only."""

    def change(self, number, page):
        return page

    change_list = change_walk = None

    async def list(self, path, options):
        number = 0
        async for page in super().list(path, options):
            number += 1
            yield (self.change_list or self.change)(number, page)

    async def walk(self, path, options):
        number = 0
        async for page in super().walk(path, options):
            number += 1
            yield (self.change_walk or self.change)(number, page)


class ListsTheWholeTree(DriverMiddleware):
    def list(self, path, options):
        return super().walk(path, options)


class DoublesSlashes(EachPage):
    def change(self, number, page):
        return [dataclasses.replace(each, path=f"/{each.path}") for each in page]


class MissingIsEmpty(DriverMiddleware):
    async def list(self, path, options):
        try:
            async for page in super().list(path, options):
                yield page
        except PathNotFoundError:
            return


class EmptyRootIsMissing(DriverMiddleware):
    async def list(self, path, options):
        empty = True
        async for page in super().list(path, options):
            empty = False
            yield page
        if empty:
            raise PathNotFoundError


class DropsFirstOfLaterPages(EachPage):
    def change(self, number, page):
        return page if number == 1 else page[1:]


class GivesOnePage(EachPage):
    def change(self, number, page):
        return page if number == 1 else []


class ListsByPrefix(DriverMiddleware):
    async def list(self, path, options):
        async for page in super().list(parent(path), options):
            yield [each for each in page if each.path.startswith(path)]


class WalksOneLevel(DriverMiddleware):
    async def walk(self, path, options):
        async for page in super().list(path, options):
            yield [each for each in page if not each.is_dir]


class StartsAtStartAfter(DriverMiddleware):
    async def list(self, path, options):
        async for page in super().list(path, ListOptions(None, options.page_size)):
            yield [each for each in page if each.path >= (options.start_after or "")]


def ignore_limit(monkeypatch):
    entries = Storage._entries

    def without_limit(self, operation, path, start_after, limit, page_size):
        return entries(self, operation, path, start_after, None, page_size)

    monkeypatch.setattr(Storage, "_entries", without_limit)


class SortsWithoutCase(EachPage):
    def change(self, number, page):
        return sorted(page, key=lambda each: each.path.lower())


class CachesListings(DriverMiddleware):
    def __init__(self, driver):
        super().__init__(driver)
        self.cached = {}

    async def list(self, path, options):
        if path not in self.cached:
            self.cached[path] = [page async for page in super().list(path, options)]
        for page in self.cached[path]:
            yield page


class WalksTheRootTwice(DriverMiddleware):
    async def walk(self, path, options):
        for _ in range(2 if path == "/" else 1):
            async for page in super().walk(path, options):
                yield page


class CollectsAllPages(DriverMiddleware):
    async def list(self, path, options):
        for page in [page async for page in super().list(path, options)]:
            yield page

    async def walk(self, path, options):
        for page in [page async for page in super().walk(path, options)]:
            yield page


class WalksUntilAnError(DriverMiddleware):
    async def walk(self, path, options):
        try:
            async for page in super().walk(path, options):
                yield page
        except PathNotFoundError:
            raise
        except StorageDriverError:
            return


class ForgetsRootDirectories(DriverMiddleware):
    async def list(self, path, options):
        async for page in super().list(path, options):
            yield [each for each in page if path != "/" or not each.is_dir]


class ListsItself(DriverMiddleware):
    async def list(self, path, options):
        async for page in super().list(path, options):
            yield page
        if path != "/":
            yield [FileInfo(path, is_dir=True)]


class ListsBareNames(EachPage):
    def change(self, number, page):
        return [FileInfo(each.path, is_dir=each.is_dir) for each in page]


class EndsWhenCancelled(DriverMiddleware):
    async def list(self, path, options):
        try:
            async for page in super().list(path, options):
                yield page
        except asyncio.CancelledError:
            return


class KeepsEntries(EachPage):
    def __init__(self, driver):
        super().__init__(driver)
        self.kept = []

    def change(self, number, page):
        self.kept += [dataclasses.asdict(each) for each in page]
        return page


class GivesSmallPages(DriverMiddleware):
    def list(self, path, options):
        return super().list(path, dataclasses.replace(options, page_size=options.page_size // 10))


class StartsAfterTheDirectory(DriverMiddleware):
    """Takes start_after for a hint at the directory to begin with."""

    async def walk(self, path, options):
        hint = options.start_after and child_prefix(parent(options.start_after))
        async for page in super().walk(path, ListOptions(hint, options.page_size)):
            yield page


class PagesByNumber(DriverMiddleware):
    async def list(self, path, options):
        start = 0
        while True:
            entries = [each async for page in super().list(path, ListOptions()) for each in page]
            if start >= len(entries):
                return
            yield entries[start : start + options.page_size]
            start += options.page_size


class StagesInTheOpen(DriverMiddleware):
    """As distribution's filesystem driver: what is written meanwhile is seen, and stays."""

    async def open_upload(self, path, holder, options):
        await self.driver.put_content(f"{path}.tmp", b"", PutOptions())
        return await super().open_upload(path, holder, options)


class ListsByWalking(DriverMiddleware):
    """As distribution's Azure driver: the whole subtree is read, and most of it dropped."""

    async def list(self, path, options):
        prefix, last = child_prefix(path), ""
        async for page in super().walk(path, ListOptions(page_size=options.page_size)):
            for each in page:
                name, slash, _ = each.path.removeprefix(prefix).partition("/")
                if slash and name != last:
                    yield [FileInfo(prefix + name, is_dir=True)]
                elif not slash:
                    yield [each]
                last = name if slash else ""


class DropsLexicalPrefixes(EachPage):
    """As distribution's list of tags did: the next name begins with this one, so this one goes."""

    def change(self, number, page):
        following = [*page[1:], None]
        return [
            each
            for each, after in zip(page, following, strict=True)
            if after is None or not after.path.startswith(each.path)
        ]


MUTATIONS = (
    Mutation(case_id="L01", fault="a list goes down the tree", wrap=ListsTheWholeTree),
    Mutation(case_id="L02", fault="paths begin with two slashes", wrap=DoublesSlashes),
    Mutation(case_id="L03", fault="a missing directory is an empty one", wrap=MissingIsEmpty),
    Mutation(case_id="L04", fault="an empty root is missing", wrap=EmptyRootIsMissing),
    Mutation(case_id="L05", fault="pages overlap by one", wrap=DropsFirstOfLaterPages),
    Mutation(case_id="L06", fault="there is one page", wrap=GivesOnePage),
    Mutation(case_id="L08", fault="a directory is a prefix", wrap=ListsByPrefix),
    Mutation(case_id="L09", fault="walk gives one level", wrap=WalksOneLevel),
    Mutation(case_id="L10", fault="start_after is inclusive", wrap=StartsAtStartAfter),
    Mutation(case_id="L11", fault="limit is ignored", sabotage=ignore_limit),
    Mutation(case_id="L12", fault="case does not count in the order", wrap=SortsWithoutCase),
    Mutation(case_id="L13", fault="a listing is cached", wrap=CachesListings),
    Mutation(case_id="L14", fault="a walk of the root repeats itself", wrap=WalksTheRootTwice),
    Mutation(case_id="L15", fault="a walk begins by reading to the end", wrap=CollectsAllPages),
    Mutation(case_id="L16", fault="an error looks like the end", wrap=WalksUntilAnError),
    Mutation(case_id="L17", fault="the root has no directories", wrap=ForgetsRootDirectories),
    Mutation(case_id="L18", fault="a directory is its own child", wrap=ListsItself),
    Mutation(case_id="L20", fault="entries are bare names", wrap=ListsBareNames),
    Mutation(case_id="L21", fault="a cancelled listing looks whole", wrap=EndsWhenCancelled),
    Mutation(case_id="L22", fault="entries are kept", wrap=KeepsEntries),
    Mutation(case_id="L22", fault="pages are small", wrap=GivesSmallPages),
    Mutation(case_id="L23", fault="start_after is a hint", wrap=StartsAfterTheDirectory),
    Mutation(case_id="L24", fault="pages go by number", wrap=PagesByNumber),
    Mutation(
        case_id="L25",
        fault="another process's changes are not seen",
        wrap=CachesListings,
        harness=FilesystemHarness,
    ),
    Mutation(
        case_id="L26", fault="staging files can be seen", wrap=StagesInTheOpen, known_bugs=(11,)
    ),
    Mutation(case_id="L27", fault="a list reads the subtree", wrap=ListsByWalking),
    Mutation(
        case_id="L28",
        fault="a name that begins the next is dropped",
        wrap=DropsLexicalPrefixes,
        known_bugs=(2,),
    ),
)
