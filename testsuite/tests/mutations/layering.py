"""Broken layers for the cases of layering."""

from __future__ import annotations

from storagedriver_core import FileReader, StorageConfig
from storagedriver_core.middleware import prefix

from ._mutation import Mutation


def show_inner_paths(monkeypatch):
    monkeypatch.setattr(prefix.PrefixMiddleware, "_make_outer", lambda middleware, error: None)


def take_any_order(monkeypatch):
    monkeypatch.setattr(StorageConfig, "check_order", lambda config: None)


def forget_lost_readers(monkeypatch):
    monkeypatch.delattr(FileReader, "__del__")


MUTATIONS = (
    Mutation(case_id="Y01", fault="prefix shows inner paths", sabotage=show_inner_paths),
    Mutation(case_id="Y02", fault="any order is taken", sabotage=take_any_order),
    Mutation(case_id="Y03", fault="lost readers are not told of", sabotage=forget_lost_readers),
)
