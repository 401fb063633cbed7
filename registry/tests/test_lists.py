"""Lists of tags and repositories, and their pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from registry.tests.client import Repository, error_codes, sha256, unique_name
from registry.tests.processes import ServerProcess

TAGS = ["1.0", "A", "a", "a-b", "a.b", "a_b", "b"]


@pytest.fixture(scope="module")
def tagged(http: httpx.Client) -> Repository:
    repository = Repository(http, unique_name())
    for tag in reversed(TAGS):
        repository.push_image(tag)
    return repository


def pages(http: httpx.Client, url: str, key: str) -> Iterator[list[str]]:
    """Give each page's entries, as long as there is a link to the next."""
    link: str | None = url
    while link is not None:
        response = http.get(link)
        assert response.status_code == 200
        yield response.json()[key]
        link = response.links["next"]["url"] if "next" in response.links else None


def test_tags_are_in_byte_order(tagged: Repository) -> None:
    assert tagged.tags().json() == {"name": tagged.name, "tags": TAGS}


@pytest.mark.parametrize("count", range(1, len(TAGS) + 2))
def test_pages_of_tags_join_to_all(tagged: Repository, count: int) -> None:
    found = list(pages(tagged.http, f"{tagged.url('tags/list')}?n={count}", "tags"))
    assert [tag for page in found for tag in page] == TAGS
    assert all(len(page) == count for page in found[:-1])


def test_slash_at_the_end_of_a_list_does_not_matter(tagged: Repository) -> None:
    found = list(pages(tagged.http, f"{tagged.url('tags/list')}/?n=3", "tags"))
    assert found == [TAGS[:3], TAGS[3:6], TAGS[6:]]
    url = "/v2/_catalog"
    assert tagged.http.get(f"{url}/?n=1").json() == tagged.http.get(f"{url}?n=1").json()
    for none in ("tags/list//", "tags/", "blobs/list/"):
        assert error_codes(tagged.http.get(tagged.url(none))) == ["UNSUPPORTED"]


@pytest.mark.parametrize("last", ["", "0", "A", "a.a", "a-b", "b", "zzz"])
def test_tags_begin_after_last(tagged: Repository, last: str) -> None:
    assert tagged.tags(last=last).json()["tags"] == [tag for tag in TAGS if tag > last]


@pytest.mark.parametrize("path", ["/v2/_catalog", "tags/list", f"referrers/{sha256(b'')}"])
def test_head_of_a_list_gives_its_size(tagged: Repository, path: str) -> None:
    url = path if path.startswith("/") else tagged.url(path)
    head, whole = tagged.http.head(url), tagged.http.get(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type"):
        assert head.headers[name] == whole.headers[name]


def test_page_of_no_tags_has_no_link(tagged: Repository) -> None:
    response = tagged.tags(n=0)
    assert (response.status_code, response.json()["tags"]) == (200, [])
    assert "link" not in response.headers


@pytest.mark.parametrize("count", ["-1", "x", "", "1.5", "9" * 5000])
@pytest.mark.parametrize("path", ["_catalog", "list"])
def test_malformed_number_is_refused(tagged: Repository, path: str, count: str) -> None:
    url = "/v2/_catalog" if path == "_catalog" else tagged.url("tags/list")
    response = tagged.http.get(url, params={"n": count})
    assert (response.status_code, error_codes(response)) == (400, ["PAGINATION_NUMBER_INVALID"])


def test_tags_of_an_unknown_repository_are_404(repository: Repository) -> None:
    response = repository.tags()
    assert (response.status_code, error_codes(response)) == (404, ["NAME_UNKNOWN"])


def test_repository_of_blobs_alone_has_no_tags(repository: Repository) -> None:
    repository.push_blob(b"alone")
    assert repository.tags().status_code == 404


# Component by component: what lies below `a` comes before `a-b`.
NAMES = ["a", "a/a", "a/b/c", "a/b/d", "a-b", "a.b", "a0/b", "b/layers/x", "z"]


@pytest.fixture
def catalog(start_server: Callable[..., ServerProcess]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=start_server().url) as client:
        assert client.get("/v2/_catalog").json() == {"repositories": []}
        for name in reversed(NAMES):
            Repository(client, name).push_image("v1")
        Repository(client, "blobs/only").push_blob(b"no manifest")
        Repository(client, "c").patch(Repository(client, "c").begin(), b"begun")
        yield client


def test_catalog(catalog: httpx.Client) -> None:
    assert catalog.get("/v2/_catalog").json() == {"repositories": NAMES}
    for count in range(1, len(NAMES) + 2):
        found = list(pages(catalog, f"/v2/_catalog?n={count}", "repositories"))
        assert [name for page in found for name in page] == NAMES
        assert all(len(page) == count for page in found[:-1])
    for index, name in enumerate(NAMES):
        rest = catalog.get("/v2/_catalog", params={"last": name}).json()["repositories"]
        assert rest == NAMES[index + 1 :]
    # What is asked to begin after need not exist.
    for last, following in [
        ("a/b", "a/b/c"),
        ("a/b/cc", "a/b/d"),
        ("a-", "a-b"),
        ("a1", "b/layers/x"),
    ]:
        rest = catalog.get("/v2/_catalog", params={"last": last}).json()["repositories"]
        assert rest[0] == following
    assert catalog.get("/v2/_catalog?n=0").json() == {"repositories": []}
    assert error_codes(catalog.get("/v2/_catalog?n=1001")) == ["PAGINATION_NUMBER_INVALID"]
