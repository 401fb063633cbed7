"""Broken drivers for the cases of names and paths."""

from __future__ import annotations

import errno
import itertools
import os
import re
import unicodedata
import urllib.parse

from storagedriver_filesystem import _beneath
from storagedriver_filesystem.harness import FilesystemHarness

from storagedriver_core import DriverMiddleware, ListOptions, PathNotFoundError, _context

from ._mutation import Mutation


def storing(rename):
    """Give a driver that stores under another path than it was given."""

    class Renames(DriverMiddleware):
        async def put_content(self, path, data, options):
            return await super().put_content(rename(path), data, options)

        async def get_content(self, path):
            return await super().get_content(rename(path))

    return Renames


def accepting(wrong):
    """Give a sabotage of the path rules: they accept what `wrong` says."""
    checker = _context.path_checker

    def sabotage(monkeypatch):
        def lenient(capabilities):
            check = checker(capabilities)
            return lambda path: None if wrong(path) else check(path)

        monkeypatch.setattr(_context, "path_checker", lenient)

    return sabotage


class RootNeedsContent(DriverMiddleware):
    async def list(self, path, options):
        found = False
        async for page in super().list(path, options):
            found = True
            yield page
        if not found:
            raise PathNotFoundError


class DeletesByPrefix(DriverMiddleware):
    async def delete(self, path):
        await super().delete(path)
        pages = [page async for page in super().walk("/", ListOptions())]
        for info in itertools.chain(*pages):
            if info.path.startswith(path):
                await super().delete(info.path)


class WalksByPrefix(DriverMiddleware):
    async def walk(self, path, options):
        async for page in super().walk("/", options):
            yield [info for info in page if info.path.startswith(path)]


class DropsPrefixesOfTheNext(DriverMiddleware):
    async def walk(self, path, options):
        held = None
        async for page in super().walk(path, options):
            for info in page:
                if held is not None and not info.path.startswith(held.path):
                    yield [held]
                held = info
        if held is not None:
            yield [held]


class DirectoryHidesFile(DriverMiddleware):
    async def list(self, path, options):
        async for page in super().list(path, options):
            directories = {info.path for info in page if info.is_dir}
            yield [info for info in page if info.is_dir or info.path not in directories]


def follow_links(monkeypatch):
    def open_anything(directory, path, flags, mode):
        return os.open(path, flags & ~os.O_NOFOLLOW, mode, dir_fd=directory)

    monkeypatch.setattr(_beneath, "_open", open_anything)


class RawErrorOfLongNames(DriverMiddleware):
    async def put_content(self, path, data, options):
        if any(len(component.encode()) > 255 for component in path.split("/")):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        return await super().put_content(path, data, options)


MUTATIONS = (
    Mutation(
        case_id="N01",
        fault="dots become underscores",
        wrap=storing(lambda path: path.replace(".", "_")),
    ),
    Mutation(case_id="N02", fault="any path is accepted", sabotage=accepting(lambda path: True)),
    Mutation(
        case_id="N03",
        fault="the empty path is accepted",
        sabotage=accepting(lambda path: path == ""),
    ),
    Mutation(
        case_id="N04",
        fault="names are folded",
        wrap=storing(lambda path: unicodedata.normalize("NFKC", path)),
    ),
    Mutation(
        case_id="N05",
        fault="names end at a question mark",
        wrap=storing(lambda path: path.partition("?")[0]),
    ),
    Mutation(
        case_id="N06",
        fault="line ends are dropped",
        wrap=storing(lambda path: path.replace("\r", "").replace("\n", "")),
    ),
    Mutation(
        case_id="N07",
        fault="names are stripped",
        wrap=storing(lambda path: re.sub(r" *(/|$) *", r"\1", path)),
    ),
    Mutation(case_id="N08", fault="names are decoded", wrap=storing(urllib.parse.unquote)),
    Mutation(
        case_id="N09",
        fault="half a surrogate pair is accepted",
        sabotage=accepting(lambda path: re.search("[\ud800-\udfff]", path)),
    ),
    Mutation(
        case_id="N10",
        fault="double slashes are accepted",
        sabotage=accepting(lambda path: "//" in path),
    ),
    Mutation(
        case_id="N11",
        fault="a trailing slash is accepted",
        sabotage=accepting(lambda path: path.endswith("/")),
    ),
    Mutation(case_id="N12", fault="names are lower case", wrap=storing(str.lower)),
    Mutation(case_id="N13", fault="an empty root is not found", wrap=RootNeedsContent),
    Mutation(case_id="N14", fault="delete goes by prefix", wrap=DeletesByPrefix),
    Mutation(case_id="N15", fault="walk goes by prefix", wrap=WalksByPrefix),
    Mutation(
        case_id="N16",
        fault="names that begin the next one are dropped",
        wrap=DropsPrefixesOfTheNext,
        known_bugs=(2,),
    ),
    Mutation(case_id="N17", fault="a directory hides the file", wrap=DirectoryHidesFile),
    Mutation(
        case_id="N18",
        fault="dot-dot is accepted",
        sabotage=accepting(lambda path: ".." in path.split("/")),
        known_bugs=(12,),
    ),
    Mutation(
        case_id="N19",
        fault="symbolic links are followed",
        harness=FilesystemHarness,
        sabotage=follow_links,
    ),
    Mutation(
        case_id="N20",
        fault="the length limit is off by one",
        sabotage=accepting(lambda path: len(path) == 4097),
    ),
    Mutation(case_id="N21", fault="a long name is a raw OSError", wrap=RawErrorOfLongNames),
    Mutation(
        case_id="N22",
        fault="names are composed",
        wrap=storing(lambda path: unicodedata.normalize("NFC", path)),
    ),
    Mutation(
        case_id="N23",
        fault="trailing dots are dropped",
        wrap=storing(lambda path: re.sub(r"\.+(/|$)", r"\1", path)),
    ),
    Mutation(
        case_id="N24",
        fault="internal names are accepted",
        sabotage=accepting(lambda path: ".storagedriver" in path.split("/")),
    ),
)
