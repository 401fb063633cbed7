"""Broken drivers for the cases of listing."""

from __future__ import annotations

from ._mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = ()
