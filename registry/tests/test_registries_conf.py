"""Which rules `registries.conf` has, and which of them are for a repository."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from storagedriver_registry.client import (
    Mirror,
    RegistriesConfigError,
    RegistryRule,
    read_registries_conf,
)
from storagedriver_registry.client import registries_conf as module
from storagedriver_registry.client.mirrors import placed

WHOLE = """
unqualified-search-registries = ["docker.io"]

[[registry]]
prefix = "docker.io"
location = "docker.io"
insecure = false
  [[registry.mirror]]
  location = "localhost:5000/hub/"
  insecure = true
  [[registry.mirror]]
  location = "mirror.example"
  pull-from-mirror = "tag-only"

[[registry]]
location = "registry.example/team"
mirror-by-digest-only = true
mirror = [{ location = "other.example/team" }]

[[registry]]
prefix = "*.bad.example"
blocked = true
"""


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF", raising=False)
    monkeypatch.setattr(module, "SYSTEM", tmp_path / "system")


def written(path: Path, *locations: str, blocked: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = (
        f'[[registry]]\nlocation = "{one}"\nblocked = {str(blocked).lower()}' for one in locations
    )
    path.write_text("\n".join(tables))
    return path


def prefixes() -> list[str]:
    return [rule.prefix for rule in read_registries_conf().rules]


def test_each_setting_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.conf"
    path.write_text(WHOLE)
    assert read_registries_conf(path).rules == (
        RegistryRule(
            "docker.io",
            "docker.io",
            (
                Mirror("localhost:5000/hub", insecure=True),
                Mirror("mirror.example", pull="tag-only"),
            ),
        ),
        RegistryRule(
            "registry.example/team",
            "registry.example/team",
            (Mirror("other.example/team", pull="digest-only"),),
        ),
        RegistryRule("*.bad.example", blocked=True),
    )


def test_file_is_the_named_one_or_the_users_or_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "home" / ".config" / "containers"
    assert prefixes() == []
    written(tmp_path / "system" / "registries.conf", "system")
    written(tmp_path / "system" / "registries.conf.d" / "1.conf", "system-1")
    written(user / "registries.conf.d" / "2.conf", "user-2")
    written(user / "registries.conf.d" / "1.conf", "user-1")
    written(user / "registries.conf.d" / "3.txt", "no")
    assert prefixes() == ["system", "system-1", "user-1", "user-2"]
    named = written(tmp_path / "named.conf", "named")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(named))
    assert prefixes() == ["named", "system-1", "user-1", "user-2"]
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF")
    written(user / "registries.conf", "user")
    assert prefixes() == ["user", "user-1", "user-2"]


def test_later_file_replaces_the_rule_for_the_same_prefix(tmp_path: Path) -> None:
    written(tmp_path / "system" / "registries.conf", "a", "b")
    written(tmp_path / "system" / "registries.conf.d" / "1.conf", "a", blocked=True)
    config = read_registries_conf()
    assert [(rule.prefix, rule.blocked) for rule in config.rules] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[registry]]\nlocation = ", "is no TOML"),
        ("registry = 1", "registry is no array of tables"),
        ("[registries.search]\nregistries = []", "version 1"),
        ("[[registry]]", "without prefix and location"),
        ("[[registry]]\nlocation = 1", "location is no text"),
        ('[[registry]]\nlocation = "https://a.example"', "has a scheme"),
        ('[[registry]]\nlocation = "a.example/b:v1"', "of one tag or digest is not supported"),
        ('[[registry]]\nlocation = "a.example/UP"', "they are as example.org:5000/path"),
        ('[[registry]]\nlocation = "a b"', "they are as example.org:5000/path"),
        ('[[registry]]\nlocation = "a"\nblocked = "yes"', "blocked is neither true nor false"),
        ('[[registry]]\nlocation = "a"\nmirror = [{}]', "is no location"),
        (
            '[[registry]]\nlocation = "a"\n'
            'mirror = [{ location = "b", pull-from-mirror = "never" }]',
            "pull-from-mirror is none of all, digest-only, tag-only, but 'never'",
        ),
        (
            '[[registry]]\nlocation = "a"\nmirror-by-digest-only = true\n'
            'mirror = [{ location = "b", pull-from-mirror = "all" }]',
            "exclude each other",
        ),
    ],
)
def test_what_makes_no_sense_is_an_error_that_names_the_file(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "r.conf"
    path.write_text(text)
    with pytest.raises(RegistriesConfigError, match=said) as caught:
        read_registries_conf(path)
    assert str(path) in str(caught.value)


def test_file_that_was_named_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "none.conf"))
    with pytest.raises(RegistriesConfigError, match=r"none\.conf cannot be read: No such file"):
        read_registries_conf()


def test_setting_that_does_nothing_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "r.conf"
    path.write_text('[[registry]]\nlocation = "a"\nmirrors = 1')
    read_registries_conf(path)
    assert [record.getMessage() for record in caplog.records] == [f"{path}: mirrors does nothing"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(
    ("prefix", "host", "name", "rest"),
    [
        ("docker.io", "docker.io", "library/alpine", "/library/alpine"),
        ("docker.io", "index.docker.io", "library/alpine", "/library/alpine"),
        ("docker.io", "docker.io", "", ""),
        ("docker.io/library", "docker.io", "library/alpine", "/alpine"),
        ("docker.io/library/alpine", "docker.io", "library/alpine", ""),
        ("docker.io/lib", "docker.io", "library/alpine", None),
        ("docker.io/library", "docker.io", "", None),
        ("docker.io", "docker.io.example", "a", None),
        ("a.example:5000", "a.example", "a", None),
        ("*.example", "a.example", "b/c", "/b/c"),
        ("*.example", "b.a.example", "c", "/c"),
        ("*.example", "example", "a", None),
        ("*.example", "aexample", "a", None),
        ("*.example/b", "a.example", "b/c", "/c"),
    ],
)
def test_prefix_ends_where_a_part_of_the_name_ends(
    prefix: str, host: str, name: str, rest: str | None
) -> None:
    assert RegistryRule(prefix).rest(host, name) == rest


def test_longest_prefix_is_in_force(tmp_path: Path) -> None:
    path = written(tmp_path / "r.conf", "a.example", "a.example/b/c", "a.example/b")
    config = read_registries_conf(path)
    found = [config.rule("a.example", name) for name in ("x", "b", "b/c", "b/cd", "b/c/d")]
    assert [rule.prefix.removeprefix("a.example") for rule in found if rule is not None] == [
        "",
        "/b",
        "/b/c",
        "/b",
        "/b/c",
    ]
    assert config.rule("b.example", "b") is None


def test_rest_of_a_name_follows_the_location() -> None:
    assert placed("localhost:5000/hub", "/library/a") == ("localhost:5000", "hub/library/a")
    assert placed("localhost:5000", "/a") == ("localhost:5000", "a")
    assert placed("localhost:5000/a", "") == ("localhost:5000", "a")
