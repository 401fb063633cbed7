"""Broken drivers for the cases of errors."""

from __future__ import annotations

from ._mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = ()
