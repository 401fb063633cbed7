"""Cases that come in two sizes, at their real one, for a driver's own tests.

```python
@pytest.mark.large
@pytest.mark.parametrize("case_id", LARGE_CASES)
def test_case_at_its_real_size(case_id, tmp_path):
    run_large(ExampleHarness(tmp_path), case_id)
```
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from storagedriver_testsuite._harness import Harness
from storagedriver_testsuite._kit import Kit
from storagedriver_testsuite.cases._all import DriverSuite

LARGE_CASES: Mapping[str, str] = {
    "K01": "16 readers of 128 MiB",
    "L22": "100,000 entries in one listing",
    "Q01": "2 GiB in and out, within parts in flight times part size + 96 MiB, or 64 MiB",
    "Q08": "64 MiB in parts, within two requests more",
    "W02": "a stream of 5 GiB",
    "W24": "10 GiB in large and tiny chunks",
}
"""What each case does at its real size, by its id."""


def run_large(
    harness: Harness,
    case_id: str,
    *,
    narrow: Mapping[str, Any] | None = None,
    part_size: int | None = None,
    max_seconds: float = 1800.0,
) -> None:
    """Run one case at its real size.

    Args:
        harness: The store, which must have room.
        case_id: The case.
        narrow: Capabilities to narrow.
        part_size: Bytes of a part; the default of a storage if not given.
        max_seconds: How long it may take.
    """
    harness.max_seconds = max_seconds / 10
    kit = Kit(harness, narrow=narrow, part_size=part_size, large=True)
    function = getattr(DriverSuite(), DriverSuite.cases()[case_id])
    kit.run(functools.partial(function, kit))
