from __future__ import annotations

import inspect

import storagedriver_core
from storagedriver_core import hookspecs


def test_exported_names_are_sorted_and_exist() -> None:
    names = storagedriver_core.__all__
    # As ruff's RUF022 sorts: constants, then classes, then functions.
    assert names == sorted(names, key=lambda name: (_rank(name), name))
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(storagedriver_core, name)] == []


def _rank(name: str) -> int:
    return 0 if name.isupper() else 1 if name[0].isupper() else 2


def test_every_public_name_of_the_package_is_exported() -> None:
    imported = {
        name
        for name, value in vars(storagedriver_core).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert imported == set(storagedriver_core.__all__)


def test_every_error_and_spec_is_exported() -> None:
    from storagedriver_core import _errors

    classes = [*_classes(_errors), *_classes(hookspecs)]
    assert [name for name in classes if name not in storagedriver_core.__all__] == []


def _classes(module: object) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == getattr(module, "__name__", "")
    ]


def test_exported_classes_and_functions_have_docstrings() -> None:
    bare = [
        name
        for name in storagedriver_core.__all__
        if inspect.isroutine(value := getattr(storagedriver_core, name)) or inspect.isclass(value)
        if not inspect.getdoc(value)
    ]
    assert bare == []
