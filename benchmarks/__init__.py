"""Side-by-side measurements. Every figure is a ratio within one run; none is a test."""

from __future__ import annotations
