"""The referrers' index: where it is kept, what it is joined with, and what it survives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from storagedriver_registry.configuration import load_configuration
from storagedriver_registry.maintenance import rebuild_referrers
from storagedriver_registry.storage import referrers

from registry.tests.application import Application, run
from registry.tests.client import OCI_INDEX, OCI_MANIFEST, error_codes, sha256, sha512
from registry.tests.test_cli import registry
from storagedriver_core import StorageDriverError

ROOT = "/docker/registry/v2"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(b"{}"), "size": 2}
SUBJECT: dict[str, Any] = {"mediaType": OCI_MANIFEST, "digest": sha256(b"subject"), "size": 7}


def referring(number: int = 0, **fields: object) -> bytes:
    """Give a manifest that refers to the subject."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.example.sbom",
        "config": EMPTY,
        "layers": [],
        "subject": SUBJECT,
        "annotations": {"number": str(number)},
        **fields,
    }
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


async def push(
    one: Application, body: bytes, reference: str = "", media_type: str = OCI_MANIFEST
) -> str:
    await one.push_blob("a", b"{}", sha256(b"{}"))
    url = f"/v2/a/manifests/{reference or sha256(body)}"
    response = await one.http.put(url, content=body, headers={"content-type": media_type})
    assert response.status_code == 201, response.text
    return response.headers["docker-content-digest"]


async def listed(one: Application, digest: str = SUBJECT["digest"], query: str = "") -> list[Any]:
    """Give every descriptor, of all pages."""
    found: list[Any] = []
    url: str | None = f"/v2/a/referrers/{digest}{query}"
    while url is not None:
        response = await one.http.get(url)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == response.json()["mediaType"] == OCI_INDEX
        found += response.json()["manifests"]
        url = response.links["next"]["url"] if "next" in response.links else None
    return found


async def digests(one: Application, query: str = "") -> list[str]:
    return [descriptor["digest"] for descriptor in await listed(one, query=query)]


async def plant(one: Application, body: bytes, tag: str = "") -> str:
    """Store a manifest as distribution does: without an index of referrers."""
    hexes = sha256(body).removeprefix("sha256:")
    link = sha256(body).encode()
    manifests = f"{ROOT}/repositories/a/_manifests"
    await one.storage.put_content(f"{ROOT}/blobs/sha256/{hexes[:2]}/{hexes}/data", body)
    await one.storage.put_content(f"{manifests}/revisions/sha256/{hexes}/link", link)
    if tag:
        await one.storage.put_content(f"{manifests}/tags/{tag}/current/link", link)
    return sha256(body)


def fallback_tag(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}-{value[:64]}"


def test_pages_join_to_all_and_keep_the_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referrers, "MOST_PAGE_BYTES", 1000)

    async def test(one: Application) -> None:
        pushed = [await push(one, referring(number)) for number in range(20)]
        await push(one, referring(99, artifactType="another/type"))
        first = await one.http.get(
            f"/v2/a/referrers/{SUBJECT['digest']}",
            params={"artifactType": "application/vnd.example.sbom"},
        )
        assert 0 < len(first.json()["manifests"]) < 20
        found = await digests(one, "?artifactType=application/vnd.example.sbom")
        assert found == sorted(pushed)
        assert len(await digests(one)) == 21

    run(test)


def test_one_referrer_larger_than_a_page_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referrers, "MOST_PAGE_BYTES", 10)

    async def test(one: Application) -> None:
        pushed = sorted([await push(one, referring(number)) for number in range(3)])
        assert await digests(one) == pushed

    run(test)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_client_may_ask_for_smaller_pages(count: int) -> None:
    async def test(one: Application) -> None:
        pushed = sorted([await push(one, referring(number)) for number in range(5)])
        assert await digests(one, f"?n={count}") == pushed
        assert await digests(one, f"?last={pushed[1]}") == pushed[2:]
        assert await digests(one, "?n=0") == []

    run(test)


def test_pushes_at_the_same_time_do_not_lose_each_other() -> None:
    async def test(one: Application) -> None:
        bodies = [referring(number) for number in range(30)]
        pushed = await asyncio.gather(*(push(one, body) for body in bodies))
        assert await digests(one) == sorted(pushed)

    run(test)


def test_index_is_written_after_the_revision_and_before_the_tag() -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", b"{}", sha256(b"{}"))
        one.driver.calls.clear()
        await one.http.put("/v2/a/manifests/v1", content=referring())
        puts = [path for operation, path in one.driver.calls if operation == "put_content"]
        kinds = [
            kind
            for path in puts
            for kind in ("/blobs/", "/revisions/", "/_referrers/", "/index/", "/current/")
            if kind in path
        ]
        assert kinds == ["/blobs/", "/revisions/", "/_referrers/", "/index/", "/current/"]

    run(test)


def test_push_whose_index_fails_is_not_acknowledged() -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", b"{}", sha256(b"{}"))
        put = one.driver.put_content

        async def fail(path: str, *arguments: Any, **options: Any) -> Any:
            if "/_referrers/" in path:
                raise StorageDriverError("it is broken", path=path)
            return await put(path, *arguments, **options)

        one.driver.put_content = fail  # type: ignore[method-assign]  # one file only
        response = await one.http.put("/v2/a/manifests/v1", content=referring())
        assert (response.status_code, error_codes(response)) == (500, ["UNKNOWN"])
        assert (await one.http.get("/v2/a/manifests/v1")).status_code == 404

    run(test)


def test_deleted_referrer_is_listed_again_only_when_it_was_pushed_again() -> None:
    async def test(one: Application) -> None:
        kept, gone = await push(one, referring(1)), await push(one, referring(2))
        assert (await one.http.delete(f"/v2/a/manifests/{gone}")).status_code == 202
        assert await digests(one) == [kept]
        await push(one, referring(2))
        assert await digests(one) == sorted([kept, gone])

    run(test)


@pytest.mark.parametrize("broken", [None, "put_content", "stat", "delete"])
def test_push_during_a_delete_stays_listed_wherever_the_delete_ends(broken: str | None) -> None:
    async def test(one: Application) -> None:
        body = referring()
        digest = await push(one, body)
        delete = one.driver.delete

        async def push_then(path: str, *arguments: Any, **options: Any) -> Any:
            await delete(path, *arguments, **options)
            if "/revisions/" in path:
                await push(one, body)
                if broken:
                    one.driver.fail(broken, StorageDriverError("it is broken"))

        one.driver.delete = push_then  # type: ignore[method-assign]  # just after this step
        await one.http.delete(f"/v2/a/manifests/{digest}")
        one.driver.heal()
        assert (await one.http.get(f"/v2/a/manifests/{digest}")).status_code == 200
        assert await digests(one) == [digest]

    run(test)


def test_index_and_fallback_tag_are_asked_at_once() -> None:
    async def test(one: Application) -> None:
        pushed = await push(one, referring())
        at_tag = asyncio.Event()
        listing, get = one.storage.list, one.driver.get_content

        async def wait_for_the_tag(path: str, *arguments: Any, **options: Any) -> Any:
            await asyncio.wait_for(at_tag.wait(), 60)
            async for entry in listing(path, *arguments, **options):
                yield entry

        async def tell(path: str) -> bytes:
            at_tag.set()
            return await get(path)

        one.storage.list = wait_for_the_tag  # type: ignore[method-assign]  # comes first
        one.driver.get_content = tell  # type: ignore[method-assign]  # of the tag's link
        assert await digests(one) == [pushed]

    run(test)


# Annotations -----------------------------------------------------------------------------------

NO_TEXTS = [
    '{"n": 5}',
    '{"n": null}',
    '{"n": {"a": "b"}}',
    '{"n": NaN}',
    '["n"]',
    '"n"',
    "-Infinity",
]


def annotated(annotations: str, media_type: str = OCI_MANIFEST) -> bytes:
    body = referring(annotations="here", mediaType=media_type)
    return body.replace(b'"here"', annotations.encode())


@pytest.mark.parametrize("annotations", NO_TEXTS)
def test_annotations_of_a_manifest_are_texts(annotations: str) -> None:
    async def test(one: Application) -> None:
        await one.push_blob("a", b"{}", sha256(b"{}"))
        body = annotated(annotations)
        headers = {"content-type": OCI_MANIFEST}
        response = await one.http.put("/v2/a/manifests/v1", content=body, headers=headers)
        assert (response.status_code, error_codes(response)) == (400, ["MANIFEST_INVALID"])
        assert await listed(one) == []

    run(test)


@pytest.mark.parametrize("annotations", ["null", "{}"])
def test_manifest_may_have_no_annotations(annotations: str) -> None:
    async def test(one: Application) -> None:
        await push(one, annotated(annotations))
        (descriptor,) = await listed(one)
        assert "annotations" not in descriptor

    run(test)


@pytest.mark.parametrize("annotations", [*NO_TEXTS, '{"n": 5, "text": "one"}'])
def test_only_texts_are_listed_of_what_another_registry_stored(annotations: str) -> None:
    async def test(one: Application) -> None:
        await plant(one, annotated(annotations))
        await plant(one, old_index(sha256(annotated(annotations))), fallback_tag(SUBJECT["digest"]))
        (descriptor,) = await listed(one)
        expected = {"text": "one"} if "text" in annotations else None
        assert descriptor.get("annotations") == expected

    run(test)


def test_only_texts_are_listed_of_a_manifest_of_an_unknown_type() -> None:
    async def test(one: Application) -> None:
        body = annotated('{"n": 5, "text": "one"}', "application/vnd.example+json")
        await push(one, body, media_type="application/vnd.example+json")
        (descriptor,) = await listed(one)
        assert descriptor["annotations"] == {"text": "one"}

    run(test)


def test_entry_whose_revision_is_gone_is_not_listed() -> None:
    async def test(one: Application) -> None:
        digest = await push(one, referring())
        hexes = digest.removeprefix("sha256:")
        revision = f"{ROOT}/repositories/a/_manifests/revisions/sha256/{hexes}/link"
        await one.storage.delete(revision)
        assert await digests(one) == []

    run(test)


def test_broken_manifest_can_be_deleted_and_is_not_listed() -> None:
    async def test(one: Application) -> None:
        digest = await push(one, referring())
        hexes = digest.removeprefix("sha256:")
        await one.storage.put_content(f"{ROOT}/blobs/sha256/{hexes[:2]}/{hexes}/data", b"\xff")
        assert await digests(one) == []
        assert (await one.http.delete(f"/v2/a/manifests/{digest}")).status_code == 202

    run(test)


def test_deleting_the_subject_keeps_its_referrers() -> None:
    async def test(one: Application) -> None:
        subject = await push(one, referring(subject=None))
        descriptor = {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1}
        referrer = await push(one, referring(subject=descriptor))
        assert (await one.http.delete(f"/v2/a/manifests/{subject}")).status_code == 202
        assert [each["digest"] for each in await listed(one, subject)] == [referrer]

    run(test)


def test_referrers_of_another_repository_are_not_listed() -> None:
    async def test(one: Application) -> None:
        await push(one, referring())
        response = await one.http.get(f"/v2/b/referrers/{SUBJECT['digest']}")
        assert (response.status_code, response.json()["manifests"]) == (200, [])

    run(test)


# What other registries have stored ------------------------------------------------------------


def old_index(*members: str) -> bytes:
    listed = [{"mediaType": OCI_MANIFEST, "digest": digest, "size": 1} for digest in members]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}).encode()


@pytest.mark.parametrize("digest_of", [sha256, sha512])
def test_index_at_the_fallback_tag_is_joined(digest_of: Callable[[bytes], str]) -> None:
    async def test(one: Application) -> None:
        subject = {**SUBJECT, "digest": digest_of(b"subject")}
        ours = await push(one, referring(1, subject=subject))
        both, theirs = referring(2, subject=subject), referring(3, subject=subject)
        await push(one, both)
        members = [sha256(both), await plant(one, theirs), sha256(b"gone")]
        await plant(one, old_index(*members), fallback_tag(subject["digest"]))
        found = await listed(one, subject["digest"])
        assert [each["digest"] for each in found] == sorted([ours, sha256(both), sha256(theirs)])
        assert {each["annotations"]["number"] for each in found} == {"1", "2", "3"}

    run(test)


def test_what_the_fallback_tag_names_wrongly_is_not_listed() -> None:
    async def test(one: Application) -> None:
        other = {**SUBJECT, "digest": sha256(b"other")}
        members = [
            await plant(one, referring(1, subject=other)),
            await plant(one, referring(2, subject=None)),
        ]
        await plant(one, old_index(*members), fallback_tag(SUBJECT["digest"]))
        assert await digests(one) == []

    run(test)


@pytest.mark.parametrize("body", [b"\xff", b"[]", b'{"manifests": 1}', b'{"manifests": [1, {}]}'])
def test_malformed_fallback_index_is_as_none(body: bytes) -> None:
    async def test(one: Application) -> None:
        await plant(one, body, fallback_tag(SUBJECT["digest"]))
        pushed = await push(one, referring())
        assert await digests(one) == [pushed]

    run(test)


def test_rebuild_indexes_what_another_registry_wrote(tmp_path: Path) -> None:
    section = {"filesystem": {"rootdirectory": str(tmp_path / "data")}}
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({"version": "0.1", "storage": section}))

    def store(action: Callable[[Application], Any]) -> None:
        async def main() -> None:
            backend = load_configuration({"storage": section}).backend
            assert backend is not None
            async with backend.build() as storage:
                application = Application(storage, None)  # type: ignore[arg-type]  # not watched
                async with application.http:
                    await action(application)

        asyncio.run(main())

    async def write(one: Application) -> None:
        for number in range(3):
            await plant(one, referring(number))
        await plant(one, referring(9, subject=None), "v1")
        await plant(one, b"\xff")
        assert await digests(one) == []

    async def check(one: Application) -> None:
        assert await digests(one) == sorted(sha256(referring(number)) for number in range(3))

    store(write)
    for _ in range(2):
        done = registry("referrers", "rebuild", config)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "5 manifests, 3 with a subject\n"
        assert done.stderr == "a: 5 manifests, 3 with a subject\n"
        store(check)


def test_rebuild_without_a_store_is_refused() -> None:
    def report(*_: object) -> None:
        raise AssertionError

    settings: Mapping[str, Any] = {"version": "0.1"}
    with pytest.raises(Exception, match="the key of a driver is required"):
        asyncio.run(rebuild_referrers(load_configuration(settings), report))
