"""What grows. Each function measures at every size, on servers started on stores made for it."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.growth._curves import Growth
from benchmarks.growth._measuring import (
    GIB,
    Found,
    all_pages,
    new_blob,
    pid_of,
    planted,
    push,
    short,
    typical,
)
from benchmarks.growth._tree import Tree
from benchmarks.registry_load import _requests
from benchmarks.registry_load._plan import KIB, MIB, Amount, Plan, size
from benchmarks.registry_load._seeding import MANIFEST_TYPE
from benchmarks.registry_load._watch import Watch
from benchmarks.registry_load._wire import Connection, LoadError

TYPED = {"accept": MANIFEST_TYPE}
PUT_TYPED = {"content-type": MANIFEST_TYPE}
_SEED = 5
_BLOCK = MIB


@dataclass(frozen=True, slots=True)
class Scale:
    """How far everything grows.

    Attributes:
        repositories: Numbers of repositories.
        tags: Tags of each of them.
        connections: Numbers of connections.
        seconds: How long each number of connections asks; 0 for a few requests.
        bytes: Sizes of blobs.
        entries: Lengths of lists.
        requests: Requests of one kind, one after the other.
    """

    repositories: Sequence[int] = (1, 10, 100, 1000)
    tags: int = 20
    connections: Sequence[int] = (1, 10, 100, 1000)
    seconds: int = 4
    bytes: Sequence[int] = (
        *(10 * KIB, 100 * KIB, MIB, 10 * MIB, 100 * MIB),
        *(GIB, 4 * GIB),
    )
    entries: Sequence[int] = (100, 1000, 10_000, 100_000)
    requests: int = 200


QUICK = Scale(
    repositories=(1, 3),
    tags=3,
    connections=(1, 4),
    seconds=0,
    bytes=(10 * KIB, 3 * MIB + 5),
    entries=(20, 60),
    requests=3,
)


def repositories(scale: Scale, tell: Callable[[str], None]) -> Growth:
    """Measure single requests, as there are more repositories with tags."""
    found = Found(scale.repositories)
    for count in scale.repositories:
        tell(f"{count:,} repositories")
        _ask_about(count, scale, found)
    return found.growth(
        "repositories",
        "One request, as repositories grow",
        f"repositories, {scale.tags} tags in each",
        [f"{count:,}" for count in scale.repositories],
        [f"Medians of {scale.requests} requests, each to a repository and a tag by chance."],
    )


def _ask_about(count: int, scale: Scale, found: Found) -> None:
    chance = random.Random(_SEED)
    names = [f"group{number % 10}/app{number:04}" for number in range(count)]
    tags = [f"v1.{number}" for number in range(scale.tags)]
    new = iter(range(10**9))

    def plant(tree: Tree) -> None:
        for name in names:
            tree.plant(name, tags)

    def at(end: Callable[[], str]) -> Callable[[], str]:
        return lambda: f"/v2/{chance.choice(names)}/{end()}"

    with planted(plant) as (tree, server), Connection(server.url) as connection:
        ask = partial(typical, connection, scale.requests)
        by_tag = at(lambda: f"manifests/{chance.choice(tags)}")
        by_new_tag = at(lambda: f"manifests/new{next(new)}")
        found.add("GET manifest by tag", ask("GET", by_tag, TYPED))
        found.add("HEAD blob", ask("HEAD", at(lambda: f"blobs/{tree.layer}")))
        put = ask("PUT", by_new_tag, PUT_TYPED, (tree.manifest,), status=201)
        found.add("PUT manifest by a new tag", put)
        found.add(f"tags of one, {scale.tags}", ask("GET", at(lambda: f"tags/list?n={scale.tags}")))
        found.add("catalog, 100 names", ask("GET", lambda: "/v2/_catalog?n=100"))
        found.remember(server)


def connections(scale: Scale, tell: Callable[[str], None]) -> Growth:
    """Measure how long the server works at one request, as more connections ask."""
    found = Found(scale.connections)
    with planted(lambda tree: tree.plant("app", ["latest"])) as (tree, server):
        for count in scale.connections:
            tell(f"{count:,} connections")
            amount = Amount(seconds=scale.seconds) if scale.seconds else Amount(count=10 * count)
            plan = replace(Plan(), connections=count, requests=amount)
            peaks = []
            for title, path, headers in (
                ("GET manifest by tag", "/v2/app/manifests/latest", TYPED),
                ("GET 2 KiB blob", f"/v2/app/blobs/{tree.layer}", {}),
            ):
                watch = Watch(pid_of(server))
                with watch.looking():
                    load = _requests.load("GET", server.url + path, headers, plan, lambda: None)
                found.add(title, load.seconds / load.operations)
                peaks.append(watch.peak)
            found.memory.append(max(peaks))
    return found.growth(
        "connections",
        "Time over answers, as connections grow",
        "connections that ask without a pause",
        [f"{count:,}" for count in scale.connections],
        [
            "Time over the number of answers: level where it answers as many in a second to "
            "many connections as to few. One connection waits for as many times that as there are "
            "connections."
        ],
    )


def blobs(scale: Scale, tell: Callable[[str], None]) -> Growth:
    """Measure push and pull of one blob, as it grows."""
    found = Found(scale.bytes)
    with planted(lambda tree: tree.plant("app", [])) as (_, server):
        block = os.urandom(_BLOCK)
        for count in scale.bytes:
            tell(f"a blob of {size(count)}")
            times = max(1, min(scale.requests, 200 * MIB // count))
            watch = Watch(pid_of(server))
            with watch.looking(), Connection(server.url) as connection:
                pushes, pulls = [], []
                for _ in range(times):
                    body, digest = new_blob(block, count)
                    begun = time.perf_counter()
                    push(connection, body, digest)
                    pushes.append(time.perf_counter() - begun)
                    begun = time.perf_counter()
                    answer = connection.expect(200, "GET", f"/v2/app/blobs/{digest}")
                    pulls.append(time.perf_counter() - begun)
                    if answer.headers["content-length"] != str(count):
                        raise LoadError(f"a blob of {count} bytes came back as {answer}")
            found.add("POST, PATCH, PUT", statistics.median(pushes))
            found.add("GET", statistics.median(pulls))
            found.memory.append(watch.peak)
    return found.growth(
        "blobs",
        "Push and pull of one blob, as it grows",
        "bytes of the blob",
        [short(count) for count in scale.bytes],
        ["New bytes each time, with a Content-Length; synced before the PUT is answered."],
    )


def lists(scale: Scale, tell: Callable[[str], None]) -> Growth:
    """Measure pages of the catalog and of a repository's tags, and all of them, as these grow."""
    found = Found(scale.entries)
    for count in scale.entries:
        tell(f"lists of {count:,}")
        _list(count, scale, found)
    return found.growth(
        "lists",
        "Pages of lists, as these grow",
        "repositories in the catalog; tags of a repository",
        [f"{count:,}" for count in scale.entries],
        ["The repositories lie in one directory, and so do the tags."],
    )


def _list(count: int, scale: Scale, found: Found) -> None:
    names = [f"e{number:06}" for number in range(count)]

    def plant(tree: Tree) -> None:
        # The last of the repositories is the one with the tags.
        tree.plant_bare(names[:-1])
        tree.plant(names[-1], [])
        tree.plant_bare_tags(names[-1], names)

    with planted(plant) as (_, server), Connection(server.url) as connection:
        times = max(1, min(scale.requests, 20_000 // count))
        for what, path, key in (
            ("catalog", "/v2/_catalog", "repositories"),
            ("tags", f"/v2/{names[-1]}/tags/list", "tags"),
        ):
            for title, query in (("first 10", "n=10"), ("last 10", f"n=10&last={names[-11]}")):
                target = f"{path}?{query}"
                took = typical(connection, times, "GET", partial(str, target))
                found.add(f"{what}, {title}", took)
            found.add(f"{what}, all by 1,000", all_pages(connection, f"{path}?n=1000", key, names))
        found.remember(server)


AXES: dict[str, Callable[[Scale, Callable[[str], None]], Growth]] = {
    axis.__name__: axis for axis in (repositories, connections, blobs, lists)
}
