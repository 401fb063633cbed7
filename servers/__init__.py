"""Real servers for tests and benchmarks, each started by a context manager on a port of its own.

`make services` fetches the programs; `python -m servers --help` lists the servers.
"""

from __future__ import annotations
