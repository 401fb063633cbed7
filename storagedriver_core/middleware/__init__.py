"""Drivers around drivers.

A middleware takes a driver and parameters and is a driver itself. Configurations name them, from
the outermost to the innermost; in the order of their ranks these are the core's own:

- `prefix`: stores everything below one directory.
- `retry`: repeats what failed for a moment, and looks first where a repetition could do harm.
- `limit`: bounds how much happens at once.
- `timeout`: bounds how long each attempt and each step of a stream takes.

Each module holds one middleware and is imported when it is used.
"""

from __future__ import annotations
