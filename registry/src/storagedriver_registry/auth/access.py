"""What a request needs to be allowed, and what somebody is allowed.

Source: distribution's documentation, "Token Scope Documentation"; which route needs what is as in
its handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from storagedriver_registry.reference import is_name

REPOSITORY = "repository"
"""The type of resource that almost every access is about."""

PULL = "pull"
PUSH = "push"
DELETE = "delete"
EVERY_ACTION = "*"


class Access(NamedTuple):
    """One action on one resource.

    Attributes:
        type: Type of the resource: `repository` or `registry`.
        name: Its name.
        action: The action.
    """

    type: str
    name: str
    action: str

    def __str__(self) -> str:
        return f"{self.type}:{self.name}:{self.action}"


CATALOG = Access("registry", "catalog", EVERY_ACTION)

ACTIONS_OF_METHODS: Mapping[str, tuple[str, ...]] = {
    "GET": (PULL,),
    "HEAD": (PULL,),
    "POST": (PULL, PUSH),
    "PUT": (PULL, PUSH),
    "PATCH": (PULL, PUSH),
    "DELETE": (DELETE,),
}
"""What a method needs on the repository that the path names."""

ACCESSES_OF_ROUTES: Mapping[str, tuple[Access, ...]] = {
    "base": (),
    "catalog": (CATALOG,),
    "openapi": (),
}
"""What the routes need that name no repository, whatever the method."""

MOUNTING_ROUTE = "uploads"
"""The route whose parameter `from` names a second repository, which is read."""


def required_accesses(
    route: str, method: str, repository: str, query: Mapping[str, str]
) -> tuple[Access, ...]:
    """Give what a request needs, in the order in which challenges name it.

    Args:
        route: Name of its route.
        method: Its method, in upper case; one that the route has.
        repository: The repository that its path names; checked.
        query: Its parameters.
    """
    fixed = ACCESSES_OF_ROUTES.get(route)
    if fixed is not None:
        return fixed
    accesses = [Access(REPOSITORY, repository, action) for action in ACTIONS_OF_METHODS[method]]
    if route == MOUNTING_ROUTE:
        source = query.get("from", "")
        # Nothing is mounted from what cannot name a repository, so that needs no permission.
        if source != repository and is_name(source):
            accesses.append(Access(REPOSITORY, source, PULL))
    return tuple(accesses)


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may do.

    Attributes:
        user: Who; empty for nobody in particular.
        allowed: Actions by type and name of the resource; None for everything.
    """

    user: str = ""
    allowed: Mapping[tuple[str, str], frozenset[str]] | None = None

    def allows(self, access: Access) -> bool:
        """Tell whether the access is among what is allowed."""
        if self.allowed is None:
            return True
        actions = self.allowed.get((access.type, access.name), frozenset())
        return access.action in actions or EVERY_ACTION in actions

    def repositories(self, action: str) -> list[str] | None:
        """Give the names of the repositories on which `action` is allowed; None if on all."""
        if self.allowed is None:
            return None
        return [
            name
            for (kind, name), actions in self.allowed.items()
            if kind == REPOSITORY and not actions.isdisjoint((action, EVERY_ACTION))
        ]
