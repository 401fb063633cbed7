"""Broken drivers for the cases of errors, configuration and discovery."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pydantic import BaseModel
from storagedriver_inmemory.harness import InMemoryHarness

from storagedriver_core import (
    ConfigurationError,
    DriverMiddleware,
    PathNotFoundError,
    PermissionDeniedError,
    PluginRegistry,
    StorageConfig,
    StorageDriverError,
    _context,
    _discovery,
    _environment,
    _yaml,
)

from ._mutation import Mutation


class MissingStoreIsMissingFile(DriverMiddleware):
    async def open(self):
        pass

    async def around(self, operation, path, call):
        try:
            return await call()
        except ConfigurationError:
            raise PathNotFoundError from None


class OneRootForAll(InMemoryHarness):
    def other_root_driver(self):
        return self.driver()


class DeniedIsNotFound(DriverMiddleware):
    async def around(self, operation, path, call):
        try:
            return await call()
        except PermissionDeniedError:
            raise PathNotFoundError from None


class ClosesOnce(DriverMiddleware):
    is_closed = False

    async def aclose(self):
        if self.is_closed:
            raise RuntimeError("session is closed")
        self.is_closed = True
        await super().aclose()


class LooksAtTheDiskEarly(DriverMiddleware):
    def __init__(self, driver):
        Path("/").stat()
        super().__init__(driver)


class AlwaysHealthy(DriverMiddleware):
    async def check(self):
        pass


class AnyParameters(BaseModel, extra="allow"):
    pass


def do_not_stamp(monkeypatch):
    monkeypatch.setattr(StorageDriverError, "stamp", lambda error, *_: error)


def require_nothing(monkeypatch):
    monkeypatch.setattr(_context.Context, "require", lambda context, capability: None)


def take_any_parameters(monkeypatch):
    find = PluginRegistry.driver

    def lax_driver(registry, name):
        return dataclasses.replace(find(registry, name), parameters=AnyParameters)

    monkeypatch.setattr(PluginRegistry, "driver", lax_driver)


def lose_capabilities_of_files(monkeypatch):
    read = _yaml.read_yaml

    def read_some(path):
        document = read(path)
        del document.data["storage"]["capabilities"]
        return document

    monkeypatch.setattr(_yaml, "read_yaml", read_some)


def split_variables_at_each_underscore(monkeypatch):
    monkeypatch.setattr(_environment, "_SEPARATOR", "_")


def lose_middleware(monkeypatch):
    to_mapping = StorageConfig.to_mapping

    def without_middleware(config, **options):
        mapping = to_mapping(config, **options)
        del mapping["storage"]["middleware"]
        return mapping

    monkeypatch.setattr(StorageConfig, "to_mapping", without_middleware)


def stop_at_a_broken_plugin(monkeypatch):
    def add(discovery, entry_point):
        discovery._register(_discovery._source(entry_point), entry_point.load())

    monkeypatch.setattr(_discovery.Discovery, "add", add)


def fall_back_to_a_fake(monkeypatch):
    def driver(registry, name):
        return registry.drivers.get(name, registry.drivers["inmemory"])

    monkeypatch.setattr(PluginRegistry, "driver", driver)


MUTATIONS = (
    Mutation(
        case_id="E01",
        fault="a missing store is a missing file",
        wrap=MissingStoreIsMissingFile,
    ),
    Mutation(case_id="E02", fault="any parameters pass", sabotage=take_any_parameters),
    Mutation(
        case_id="E03",
        fault="capabilities in a file are lost",
        sabotage=lose_capabilities_of_files,
    ),
    Mutation(case_id="E04", fault="the root is not applied", harness=OneRootForAll),
    Mutation(case_id="E05", fault="errors are not stamped", sabotage=do_not_stamp),
    Mutation(case_id="E06", fault="denied is not found", wrap=DeniedIsNotFound),
    Mutation(case_id="E07", fault="capabilities are not checked", sabotage=require_nothing),
    Mutation(
        case_id="E08",
        fault="keys with an underscore cannot be set",
        sabotage=split_variables_at_each_underscore,
        known_bugs=(20,),
    ),
    Mutation(case_id="E09", fault="middleware is not written out", sabotage=lose_middleware),
    Mutation(
        case_id="E10",
        fault="one broken plugin stops all",
        sabotage=stop_at_a_broken_plugin,
    ),
    Mutation(
        case_id="E11",
        fault="an unknown driver becomes a fake",
        sabotage=fall_back_to_a_fake,
        known_bugs=(18,),
    ),
    Mutation(case_id="E12", fault="a second close raises", wrap=ClosesOnce),
    Mutation(case_id="E13", fault="the constructor looks at the disk", wrap=LooksAtTheDiskEarly),
    Mutation(case_id="E14", fault="every store is healthy", wrap=AlwaysHealthy),
)
