"""How the registry's costs grow: with what it stores, with connections, with sizes of blobs.

General layout; each module imports only from those below it.

```text
__main__        the command line
_pages          tables and pictures of docs/growth.md
_axes           what grows: each a function that measures at every size
  _measuring    what they share
_curves         what came out, how steep it is, and a picture of it
_tree           a store written directly, as pushes would leave it
```
"""

from __future__ import annotations
