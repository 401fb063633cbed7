"""A validated configuration of one storage: what it builds, and what it tells.

Imports no model, so that `import storagedriver_core` can export the class and stay cheap.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from storagedriver_core._context import Observer
from storagedriver_core._document import Document, Key, Setting
from storagedriver_core._driver import StorageDriver
from storagedriver_core._errors import ConfigurationError
from storagedriver_core._plugins import PluginRegistry
from storagedriver_core._storage import Storage

if TYPE_CHECKING:
    from pydantic import BaseModel

    from storagedriver_core._storage_model import StorageModel
    from storagedriver_core.examination import Reporter
    from storagedriver_core.examination._steps import Examination


class StorageConfig:
    """A validated configuration of one storage."""

    def __init__(
        self, section: str, values: StorageModel, document: Document, plugins: PluginRegistry
    ) -> None:
        self._section = section
        self._values = values
        self._document = document
        self._plugins = plugins

    def __repr__(self) -> str:
        return f"<StorageConfig driver={self.driver_name!r}>"

    @property
    def driver_name(self) -> str:
        """Name of the driver."""
        return self._values.driver

    @property
    def parameters(self) -> BaseModel:
        """The driver's parameters."""
        return self._values.parameters

    def build(
        self, *, leave_out: Collection[str] = (), observers: Sequence[Observer] = ()
    ) -> Storage:
        """Make the storage: the driver, its middlewares from the innermost, `Storage` on top.

        Args:
            leave_out: Middlewares to do without, by name; for who looks for what is wrong.
            observers: Called after each operation, after those of plugins.

        Raises:
            ConfigurationError: A plugin cannot be imported, a driver refuses its parameters, or
                a capability would be widened.
        """
        plugins = self._plugins
        make = plugins.load_factory(plugins.driver(self.driver_name))
        with self._naming("parameters"):
            driver: StorageDriver = make(self.parameters)
        for index, entry in reversed(list(enumerate(self._values.middleware))):
            name, parameters = entry.chosen()
            if name in leave_out:
                continue
            make = plugins.load_factory(plugins.middleware(name))
            with self._naming("middleware", index, name):
                driver = make(driver, parameters)
        narrow = self._values.capabilities.model_dump(by_alias=True)
        with self._naming("capabilities"):
            storage = Storage(
                driver,
                narrow=narrow,
                part_size=self._values.part_size,
                observers=(*plugins.observers, *observers),
            )
        # Some of what is wrong shows only when the driver is opened.
        storage._context.locate = functools.partial(self._located, ("parameters",))
        return storage

    @contextmanager
    def _naming(self, *key: str | int) -> Iterator[None]:
        """Say of what is refused in the block at which key and where it stands."""
        try:
            yield
        except ConfigurationError as error:
            raise self._located(key, error) from error

    def _located(self, key: Key, error: ConfigurationError) -> ConfigurationError:
        key = (self._section, *key, *error.key)
        return ConfigurationError(self._document.error(key, error.message))

    def examination(
        self, reporter: Reporter, *, read_only: bool = False, seconds: float = 10.0
    ) -> Examination:
        """Make what finds out what stands against using the storage, as `storagedriver doctor`.

        What it writes is called `/storagedriver-doctor-…`, and is removed in every case. The retry
        middleware is left out, so that a failure shows at once and as it is.

        Args:
            reporter: Told of each step.
            read_only: Leave out everything that writes.
            seconds: How long one step may take.

        Raises:
            ConfigurationError: As `build`.
        """
        # Imported here: nobody else needs it.
        from storagedriver_core.examination._steps import Examination

        return Examination(
            self.build(leave_out=("retry",)),
            self.settings(),
            self._plugins.driver(self.driver_name).permissions,
            reporter,
            read_only=read_only,
            seconds=seconds,
        )

    def check_order(self) -> None:
        """Raise `ConfigurationError` unless each middleware stands inside those of lower rank."""
        names = [entry.chosen()[0] for entry in self._values.middleware]
        ranks = {name: self._plugins.middleware(name).rank for name in names}
        placed = [(rank, name) for name in names if (rank := ranks[name]) is not None]
        highest, outer = 0, ""
        for index, name in enumerate(names):
            rank = ranks[name]
            if rank is None:
                continue
            if rank < highest:
                right = ", ".join(name for _, name in sorted(placed, key=lambda one: one[0]))
                message = (
                    f"{name!r} may not stand inside {outer!r}; the right order "
                    f"is {right}: the first is the outermost, and each attempt of a retry has to "
                    "wait for the limit and to have a timeout of its own"
                )
                key = (self._section, "middleware", index)
                raise ConfigurationError(self._document.error(key, message))
            highest, outer = rank, name

    def to_mapping(self, *, reveal_secrets: bool = False) -> dict[str, Any]:
        """Give what was set, with defaults left out, as `open_storage` takes it.

        Args:
            reveal_secrets: Give secrets as they are; else they are masked.
        """
        from storagedriver_core._showing import plain

        return {self._section: plain(self._values, reveal_secrets=reveal_secrets)}

    def to_yaml(self, *, reveal_secrets: bool = False) -> str:
        """Give `to_mapping` as YAML."""
        from storagedriver_core._yaml import dump_yaml

        return dump_yaml(self.to_mapping(reveal_secrets=reveal_secrets))

    def settings(self) -> list[Setting]:
        """Give every value in force, defaults included, and where it comes from."""
        from storagedriver_core._showing import settings

        return settings(self._values, self._document, (self._section,))
