"""Drivers around drivers.

A middleware takes a driver and parameters and is a driver itself. Configurations name them, from
the outermost to the innermost; in the order of their ranks these are the core's own:

- `prefix`: stores everything below one directory.
- `readonly`: refuses whatever would change the store.
- `redirect`, `cloudfront`, `rewrite`: send clients that read elsewhere.
- `checksum`: keeps digests, and compares what is read with them.
- `cache`: keeps what was read on a local disk.
- `retry`: repeats what failed for a moment, and looks first where a repetition could do harm.
- `limit`: bounds how much happens at once.
- `timeout`: bounds how long each attempt and each step of a stream takes.
- `chaos`: lets calls fail by chance, for tests.
- `metrics`, `tracing`: measure and trace calls; they stand anywhere.

Each module holds one middleware and is imported when it is used. A library that only one of them
needs is imported when an instance is made.
"""

from __future__ import annotations
