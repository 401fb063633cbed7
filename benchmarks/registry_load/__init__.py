"""The registry under load, beside Debian's docker-registry or alone.

General layout; each module imports only from those below it.

```text
__main__        the command line
_pages          what is written to docs/
  _plot         the ratios as a picture
_table          figures, ratios and aims as a report
_rounds         alternating rounds, each server started on fresh storage
_rows           what is measured, and what is aimed at
  _requests     requests per second, by h2load and ab
  _transfers    pushes, and pulls of a large blob, by processes of our own
    _crew       several processes that do the same at once
_watch          a server's process tree: CPU and memory, and a profiler beside it
_servers        ours, docker-registry, one that does nothing, and one that runs already
_seeding        what is pushed before anything is measured
_wire           one kept connection, and the calls of a push
_plan           sizes, times and numbers of clients
```

`_nothing` is a program of its own: the server that does nothing, which shows what the generators
can do.
"""

from __future__ import annotations
