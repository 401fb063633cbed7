"""Who may do what, and what of it a client asks for.

Source: distribution's documentation, "Token Scope Documentation".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storagedriver_registry.auth.access import CATALOG, EVERY_ACTION, PULL, REPOSITORY

EVERY_USER = "*"
"""Stands for everybody who has logged in."""

_SCOPE = re.compile(r"([a-z0-9]+)(?:\(([a-z0-9]+)\))?:([^ ]+):([a-z*]*(?:,[a-z*]+)*)")
_PATTERN = re.compile(r"[a-z0-9._/*-]+")
_WILDCARD = re.compile(r"(\*\*|\*)")
_MOST_SCOPES = 100


class ScopeError(Exception):
    """A scope is malformed; the text says how."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Actions on one resource that a client asks for.

    Attributes:
        type: Type of the resource.
        kind: Its class, as `plugin`; empty for most.
        name: Its name.
        actions: The actions.
    """

    type: str
    kind: str
    name: str
    actions: tuple[str, ...]

    def claim(self, actions: Sequence[str]) -> dict[str, object]:
        """Give an entry of a token's `access` for those of the actions that are allowed."""
        kind = {"class": self.kind} if self.kind else {}
        return {"type": self.type, **kind, "name": self.name, "actions": list(actions)}

    def text(self, actions: Sequence[str]) -> str:
        """Spell it as a scope, with those of the actions that are allowed."""
        kind = f"({self.kind})" if self.kind else ""
        return f"{self.type}{kind}:{self.name}:{','.join(actions)}"


def parse_scopes(texts: Iterable[str]) -> list[Scope]:
    """Read what a client asks for; several scopes may stand in one text.

    Raises:
        ScopeError: One is malformed, or there are too many.
    """
    words = [word for text in texts for word in text.split(" ") if word]
    if len(words) > _MOST_SCOPES:
        raise ScopeError(f"more than {_MOST_SCOPES} scopes")
    return [_parse(word) for word in words]


def _parse(word: str) -> Scope:
    found = _SCOPE.fullmatch(word)
    if found is None:
        raise ScopeError("a scope is not of the form TYPE:NAME:ACTION,ACTION")
    actions = tuple(dict.fromkeys(action for action in found[4].split(",") if action))
    return Scope(found[1], found[2] or "", found[3], actions)


def is_pattern(text: str) -> bool:
    """Tell whether `text` can stand for names of repositories."""
    return _PATTERN.fullmatch(text) is not None


def _compile(pattern: str) -> re.Pattern[str]:
    parts = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(parts.get(p, re.escape(p)) for p in _WILDCARD.split(pattern)))


class Policy:
    """What users may do.

    Args:
        users: For each user, actions by pattern of repositories' names: `*` stands for anything
            within a component, `**` for anything. The user `*` is everybody who has logged in.
        anonymous_pull: Whether everybody may pull everything.
        catalog: Users who may list all repositories.
    """

    def __init__(
        self,
        users: Mapping[str, Mapping[str, Sequence[str]]],
        *,
        anonymous_pull: bool,
        catalog: Sequence[str],
    ) -> None:
        self._rules = {
            user: [(_compile(pattern), frozenset(actions)) for pattern, actions in rules.items()]
            for user, rules in users.items()
        }
        self.anonymous_pull = anonymous_pull
        self._catalog = frozenset(catalog)

    def allowed(self, user: str | None, scope: Scope) -> list[str]:
        """Give those of the actions that the user may do; None is nobody in particular."""
        if (scope.type, scope.name) == (CATALOG.type, CATALOG.name):
            may_list = user is not None and not self._catalog.isdisjoint({user, EVERY_USER})
            return list(scope.actions) if may_list else []
        if scope.type != REPOSITORY:
            return []
        actions = self._actions(user, scope.name)
        if EVERY_ACTION in actions:
            return list(scope.actions)
        return [action for action in scope.actions if action in actions]

    def _actions(self, user: str | None, name: str) -> set[str]:
        actions = {PULL} if self.anonymous_pull else set()
        if user is not None:
            for one in (user, EVERY_USER):
                for pattern, allowed in self._rules.get(one, ()):
                    if pattern.fullmatch(name):
                        actions |= allowed
        return actions
