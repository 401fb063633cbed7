"""Which accesses a request needs, and what a grant allows."""

from __future__ import annotations

import pytest
from storagedriver_registry.api import router
from storagedriver_registry.auth import Access, Grant, required_accesses


def needed(route: str, method: str, **query: str) -> list[str]:
    return [str(access) for access in required_accesses(route, method, "a/b", query)]


@pytest.mark.parametrize(
    ("route", "method", "accesses"),
    [
        ("base", "GET", []),
        ("catalog", "GET", ["registry:catalog:*"]),
        ("tags", "GET", ["repository:a/b:pull"]),
        ("referrers", "GET", ["repository:a/b:pull"]),
        ("blob", "HEAD", ["repository:a/b:pull"]),
        ("manifest", "PUT", ["repository:a/b:pull", "repository:a/b:push"]),
        ("uploads", "POST", ["repository:a/b:pull", "repository:a/b:push"]),
        ("upload", "PATCH", ["repository:a/b:pull", "repository:a/b:push"]),
        ("upload", "GET", ["repository:a/b:pull"]),
        ("upload", "DELETE", ["repository:a/b:delete"]),
        ("manifest", "DELETE", ["repository:a/b:delete"]),
    ],
)
def test_route_and_method_say_what_is_needed(route: str, method: str, accesses: list[str]) -> None:
    assert needed(route, method) == accesses


def test_mount_needs_to_read_its_source() -> None:
    own = ["repository:a/b:pull", "repository:a/b:push"]
    assert needed("uploads", "POST", **{"from": "c/d"}) == [*own, "repository:c/d:pull"]
    assert needed("uploads", "POST", **{"from": "a/b"}) == own
    assert needed("uploads", "POST", **{"from": "NO\r\nname"}) == own


def test_every_route_and_method_that_is_served_needs_something_that_is_known() -> None:
    for route, methods in router.TABLE.items():
        for method in methods:
            accesses = required_accesses(route.name, method, "a/b", {})
            assert accesses or route.name in ("base", "openapi"), (route.name, method)
            names_repository = "{name}" in route.template
            assert all((access.name == "a/b") == names_repository for access in accesses)


def test_grant_allows_what_it_lists_and_no_more() -> None:
    grant = Grant("alice", {("repository", "a"): frozenset({"pull"})})
    assert grant.allows(Access("repository", "a", "pull"))
    assert not grant.allows(Access("repository", "a", "push"))
    assert not grant.allows(Access("repository", "b", "pull"))
    assert not grant.allows(Access("registry", "a", "pull"))
    assert grant.repositories("pull") == ["a"]
    assert grant.repositories("push") == []


def test_star_among_the_actions_is_every_action() -> None:
    grant = Grant("alice", {("repository", "a"): frozenset({"*"})})
    assert grant.allows(Access("repository", "a", "delete"))
    assert grant.repositories("pull") == ["a"]


def test_grant_of_everything() -> None:
    assert Grant("alice").allows(Access("registry", "catalog", "*"))
    assert Grant("alice").repositories("pull") is None
