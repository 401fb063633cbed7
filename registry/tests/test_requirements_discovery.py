"""Requirements on the lists of tags and referrers. See `requirements`."""

from __future__ import annotations

from typing import Any

from storagedriver_registry.api import router, routes, tags
from storagedriver_registry.api.response import Response
from storagedriver_registry.digest import Digest, parse_digest
from storagedriver_registry.manifest import describe_referrer
from storagedriver_registry.storage import referrers
from storagedriver_registry.storage.referrers import ReferrerStore

from registry.tests.application import Application
from registry.tests.client import OCI_INDEX, OCI_MANIFEST, error_codes, sha256, sha512
from registry.tests.requirements import (
    body,
    changed,
    header,
    image,
    index,
    parameter_ignored,
    push,
    refusal,
    replaced,
    requirement,
    status,
    subject,
)
from registry.tests.test_referrers import digests, fallback_tag, old_index, plant, referring

NAMES = ["1", "A", "B", "a", "a-b", "a.b", "a_b", "b"]
LIST = "/v2/a/tags/list"
SUBJECT = sha256(b"subject")
REFERRERS = f"/v2/a/referrers/{SUBJECT}"


async def tagged(one: Application) -> None:
    for tag in reversed(NAMES):
        await push(one, image(), tag)


async def listed(one: Application, query: str = "") -> list[str]:
    response = await one.http.get(f"{LIST}{query}")
    assert response.status_code == 200
    found: list[str] = response.json()["tags"]
    return found


# Tags ------------------------------------------------------------------------------------------


@requirement("TAGS-01", status(routes.TAGS, "GET", 204))
async def test_tags_of_a_repository_are_200(one: Application) -> None:
    await push(one, image())
    assert (await one.http.get(LIST)).status_code == 200


@requirement("TAGS-02", body(routes.TAGS, "GET", lambda document: {**document, "tags": None}))
async def test_list_of_tags_may_be_empty(one: Application) -> None:
    await push(one, image(), sha256(image()))
    assert await listed(one) == []


@requirement(
    "TAGS-03",
    body(routes.TAGS, "GET", lambda found: {**found, "tags": sorted(found["tags"], key=str.lower)}),
)
async def test_tags_are_in_the_order_of_their_bytes(one: Application) -> None:
    await tagged(one)
    assert await listed(one) == NAMES


@requirement("TAGS-04", body(routes.TAGS, "GET", lambda found: found["tags"]))
async def test_list_of_tags_has_the_specified_form(one: Application) -> None:
    await push(one, image(), "v1")
    response = await one.http.get(LIST)
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"name": "a", "tags": ["v1"]}


@requirement("TAGS-05", parameter_ignored(routes.TAGS, "GET", "n"))
async def test_as_many_tags_as_wanted_are_given(one: Application) -> None:
    await tagged(one)
    for count in (1, 3, 8, 9, 1000):
        assert await listed(one, f"?n={count}") == NAMES[:count]


def _linked(response: Response) -> None:
    response.headers.append((b"link", b'</v2/a/tags/list?n=0>; rel="next"'))


@requirement("TAGS-06", changed(routes.TAGS, "GET", _linked))
async def test_no_tags_are_given_where_none_are_wanted(one: Application) -> None:
    await tagged(one)
    response = await one.http.get(f"{LIST}?n=0")
    assert (response.status_code, response.json()["tags"]) == (200, [])
    assert "link" not in response.headers


@requirement("TAGS-07", header(routes.TAGS, "GET", "link"))
async def test_link_leads_to_more_tags(one: Application) -> None:
    await tagged(one)
    response = await one.http.get(f"{LIST}?n=3")
    assert response.headers["link"] == f'<{LIST}?last=B&n=3>; rel="next"'
    found = response.json()["tags"]
    while "next" in response.links:
        response = await one.http.get(response.links["next"]["url"])
        found += response.json()["tags"]
    assert found == NAMES


@requirement(
    "TAGS-08", replaced(tags, "bisect_right", lambda found, last: max(found.index(last), 0))
)
async def test_tags_begin_after_last(one: Application) -> None:
    await tagged(one)
    assert await listed(one, "?n=2") == NAMES[:2]
    assert await listed(one, "?n=2&last=B") == ["a", "a-b"]
    assert await listed(one, "?last=a.b") == ["a_b", "b"]


@requirement("TAGS-09", replaced(tags, "bisect_right", lambda found, last: int(last)))
async def test_last_is_a_tag_and_no_number_of_one(one: Application) -> None:
    await tagged(one)
    assert await listed(one, "?last=1") == NAMES[1:]
    assert await listed(one, "?last=5") == NAMES[1:]


@requirement("TAGS-10", refusal(routes.TAGS, "GET", 400))
async def test_tags_of_an_unknown_repository_are_404(one: Application) -> None:
    response = await one.http.get("/v2/none/tags/list")
    assert (response.status_code, error_codes(response)) == (404, ["NAME_UNKNOWN"])


def _unlimited(response: Response) -> None:
    response.headers = [pair for pair in response.headers if pair[0] != b"link"]


@requirement("TAGS-11", changed(routes.TAGS, "GET", _unlimited), sections={"tags": {"maxtags": 3}})
async def test_fewer_tags_than_wanted_come_with_a_link(one: Application) -> None:
    await tagged(one)
    for query in ("", "?n=7"):
        response = await one.http.get(f"{LIST}{query}")
        assert response.json()["tags"] == NAMES[:3]
        assert "next" in response.links


# Referrers -------------------------------------------------------------------------------------


def _descriptors(change: Any) -> Any:
    """Change each descriptor of a list of referrers."""

    def change_all(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "manifests": [change(each) for each in found["manifests"]]}

    return body(routes.REFERRERS, "GET", change_all)


def _without(name: str) -> Any:
    return _descriptors(lambda each: {key: value for key, value in each.items() if key != name})


async def described(one: Application, digest: str) -> dict[str, Any]:
    """Give the descriptor by which a manifest is listed."""
    found = (await one.http.get(REFERRERS)).json()["manifests"]
    [descriptor] = [each for each in found if each["digest"] == digest]
    return dict(descriptor)


@requirement("REF-01", status(routes.REFERRERS, "GET", 202))
async def test_referrers_are_200(one: Application) -> None:
    await push(one, referring())
    assert (await one.http.get(REFERRERS)).status_code == 200


def _unknown_is_404(response: Response) -> None:
    if b'"manifests": []' in response._body:
        response.status = 404


@requirement("REF-02", changed(routes.REFERRERS, "GET", _unknown_is_404))
async def test_referrers_are_never_404(one: Application) -> None:
    await push(one, image())
    for name in ("a", "none"):
        for digest in (sha256(b"none"), sha512(b"none"), sha256(image())):
            response = await one.http.get(f"/v2/{name}/referrers/{digest}")
            assert response.status_code == 200


@requirement("REF-03", replaced(router, "_digest", lambda text: parse_digest(SUBJECT)))
async def test_referrers_of_a_malformed_digest_are_400(one: Application) -> None:
    for digest in ("sha256:1", "x", f"sha1:{'0' * 40}", f"sha256:{'A' * 64}"):
        response = await one.http.get(f"/v2/a/referrers/{digest}")
        assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])


@requirement("REF-04", header(routes.REFERRERS, "GET", "content-type", "application/json"))
async def test_referrers_are_an_index(one: Application) -> None:
    await push(one, referring())
    response = await one.http.get(REFERRERS)
    assert response.headers["content-type"] == OCI_INDEX
    assert response.json()["schemaVersion"] == 2
    assert response.json()["mediaType"] == OCI_INDEX


@requirement("REF-05", _descriptors(lambda each: {**each, "size": 0}))
async def test_each_referrer_is_listed(one: Application) -> None:
    other = subject(sha256(b"other"))
    content = [referring(1), referring(2), index(subject=subject(SUBJECT))]
    for each in (*content, referring(3, subject=other), image()):
        await push(one, each, sha256(each))
    found = (await one.http.get(REFERRERS)).json()["manifests"]
    assert [(each["digest"], each["size"]) for each in found] == sorted(
        (sha256(each), len(each)) for each in content
    )
    assert {each["mediaType"] for each in found} == {OCI_MANIFEST, OCI_INDEX}


@requirement("REF-06", _without("artifactType"))
async def test_referrer_has_its_artifact_type(one: Application) -> None:
    for content in (
        referring(artifactType="a/b"),
        index(subject=subject(SUBJECT), artifactType="a/b"),
    ):
        digest = await push(one, content)
        assert (await described(one, digest))["artifactType"] == "a/b"


def _as_index(digest: Digest, data: bytes, media_type: str) -> dict[str, Any]:
    return {**describe_referrer(digest, data, OCI_INDEX), "mediaType": media_type}


@requirement("REF-07", replaced(referrers, "describe_referrer", _as_index))
async def test_type_of_the_configuration_stands_for_a_missing_one(one: Application) -> None:
    for number, artifact_type in enumerate((None, "")):
        digest = await push(one, referring(number, artifactType=artifact_type))
        found = await described(one, digest)
        assert found["artifactType"] == "application/vnd.oci.empty.v1+json"


@requirement("REF-08", _descriptors(lambda each: {"artifactType": "", **each}))
async def test_index_without_artifact_type_has_none(one: Application) -> None:
    digest = await push(one, index(subject=subject(SUBJECT)))
    assert "artifactType" not in await described(one, digest)


@requirement("REF-09", _without("annotations"))
async def test_referrer_has_its_annotations(one: Application) -> None:
    digest = await push(one, referring(annotations={"org.example.a": "é", "b": ""}))
    assert (await described(one, digest))["annotations"] == {"org.example.a": "é", "b": ""}


@requirement(
    "REF-10",
    body(routes.REFERRERS, "GET", lambda found: {**found, "manifests": found["manifests"] or None}),
)
async def test_referrers_of_an_unknown_subject_are_an_empty_list(one: Application) -> None:
    await push(one, referring())
    response = await one.http.get(f"/v2/a/referrers/{sha256(b'none')}")
    assert response.json()["manifests"] == []


@requirement("REF-11", header(routes.REFERRERS, "GET", "link"))
async def test_link_leads_to_more_referrers(one: Application) -> None:
    pushed = sorted([await push(one, referring(number)) for number in range(5)])
    for number in range(5):
        await push(one, referring(number, artifactType="other/type"))
    first = await one.http.get(f"{REFERRERS}?n=2&artifactType=application/vnd.example.sbom")
    assert first.headers["link"].endswith('>; rel="next"')
    assert [each["digest"] for each in first.json()["manifests"]] == pushed[:2]
    found = await digests(one, "?n=2&artifactType=application/vnd.example.sbom")
    assert found == pushed


@requirement("REF-12", parameter_ignored(routes.REFERRERS, "GET", "artifactType"))
async def test_referrers_can_be_filtered_by_artifact_type(one: Application) -> None:
    pushed = {}
    for artifact_type in ("a/b", "a/c+json", None):
        content = referring(artifactType=artifact_type)
        pushed[artifact_type or "application/vnd.oci.empty.v1+json"] = await push(one, content)
    for artifact_type, digest in pushed.items():
        response = await one.http.get(REFERRERS, params={"artifactType": artifact_type})
        assert [each["digest"] for each in response.json()["manifests"]] == [digest]
    response = await one.http.get(REFERRERS, params={"artifactType": "none/such"})
    assert response.json()["manifests"] == []


@requirement("REF-13", header(routes.REFERRERS, "GET", "oci-filters-applied"))
async def test_filter_that_was_applied_is_told(one: Application) -> None:
    await push(one, referring())
    response = await one.http.get(REFERRERS, params={"artifactType": "a/b"})
    assert response.headers["oci-filters-applied"] == "artifactType"
    assert "oci-filters-applied" not in (await one.http.get(REFERRERS)).headers


# Manifests from before there was the list ------------------------------------------------------


async def _no_tag(*_: object) -> list[Digest]:
    return []


@requirement("REF-14", replaced(ReferrerStore, "_at_tag", _no_tag))
async def test_what_the_tag_of_the_past_names_is_listed(one: Application) -> None:
    old = await plant(one, referring(1))
    await plant(one, old_index(old, sha256(b"gone")), fallback_tag(SUBJECT))
    new = await push(one, referring(2))
    assert await digests(one) == sorted([old, new])


async def _unnoted(*_: object) -> None:
    return None


@requirement("REF-15", replaced(ReferrerStore, "put", _unnoted))
async def test_every_manifest_that_is_pushed_is_listed(one: Application) -> None:
    await plant(one, old_index(), fallback_tag(SUBJECT))
    pushed = [await push(one, referring(number)) for number in range(3)]
    assert await digests(one) == sorted(pushed)
