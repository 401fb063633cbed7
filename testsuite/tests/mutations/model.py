"""Broken drivers for the cases of model."""

from __future__ import annotations

from ._mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = ()
