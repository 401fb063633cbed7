"""Example storage driver: objects and uploads in one SQLite file."""

from __future__ import annotations
