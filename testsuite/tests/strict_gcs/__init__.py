"""A strict FAKE of Google Cloud Storage for tests: not Google's service, nor an emulator of it.

It does what Google's documentation says, and refuses what that does not allow. Each module names
the pages that its rules come from, all below https://cloud.google.com/storage/docs; README.md has
the table, and what tests can do to the fake.

`python -m testsuite.tests.strict_gcs DIRECTORY PORT` runs it; `servers.strict_gcs.StrictGcs` does
so for tests and benchmarks.
"""

from __future__ import annotations
