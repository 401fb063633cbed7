"""One fast client of the registry alone, and beside a crowd that does next to nothing.

```text
__init__        the rounds and the table
  _fast         one client that asks without a pause, and looks at every byte
  _crowd        a process of idle kept connections and of slow readers
```
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._disk import quick_directory, spread_directories
from benchmarks._report import Report, circumstances
from benchmarks.registry_crowd._crowd import Crowd, Numbers
from benchmarks.registry_crowd._fast import Fast, Pace, Place, push_place
from benchmarks.registry_load._plan import MIB, Amount
from benchmarks.registry_load._servers import KINDS, Contender
from benchmarks.registry_load._watch import Watch, wait_until_idle

ROUNDS = 7
NUMBERS = Numbers(idle=1000, slow=200)
FEW = Numbers(idle=50, slow=10)
MOST_SLOWER = 0.20
MOST_BYTES = 256 * MIB
BLOB_BYTES = 64 * MIB
SECONDS = 4
_IDLE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn has shown.

    Attributes:
        paces: The fast client's, by the title of what it asked for.
        peak: Most memory of the server's process tree, in bytes.
    """

    paces: Mapping[str, Pace]
    peak: int


def run(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Measure the fast client by turns: alone, beside the crowd."""
    numbers = FEW if quick else NUMBERS
    amount = Amount(count=20) if quick else Amount(seconds=SECONDS)
    size = 4 * MIB if quick else BLOB_BYTES
    alone: list[Turn] = []
    beside: list[Turn] = []
    with tempfile.TemporaryDirectory(prefix="storagedriver-bench-") as folder:
        base = Path(folder)
        spread_directories(base)
        with Contender("ours", KINDS["ours"]).running(quick_directory(base)) as server:
            place = push_place(server.url, size)
            for number in range(rounds or (1 if quick else ROUNDS)):
                for with_crowd in (False, True) if number % 2 == 0 else (True, False):
                    pid = server.pid
                    if pid is None:
                        raise ProcessLookupError("the server has ended")
                    given = numbers if with_crowd else None
                    (beside if with_crowd else alone).append(turn(place, pid, given, amount))
    return _table(alone, beside, numbers)


def turn(place: Place, pid: int, numbers: Numbers | None, amount: Amount) -> Turn:
    """Have the fast client ask for everything, and look at the server's memory meanwhile.

    Args:
        place: What is asked for.
        pid: The server's process.
        numbers: The crowd; None for nobody.
        amount: How much is asked for, of each.

    Raises:
        LoadError: An answer was not what it should be; the crowd's answers included.
    """
    wait_until_idle(pid, _IDLE_SECONDS)
    watch = Watch(pid)
    with watch.looking(), ExitStack() as stack:
        if numbers is not None:
            stack.enter_context(Crowd(place, numbers))
        with Fast(place) as fast:
            paces = {title: fast.ask(title, amount) for title in fast.titles}
    return Turn(paces, watch.peak)


def _table(alone: Sequence[Turn], beside: Sequence[Turn], numbers: Numbers) -> Report:
    lines, rows = [], []
    for title in alone[0].paces:
        before = [each.paces[title] for each in alone]
        after = [each.paces[title] for each in beside]
        # Each round by itself: what else the machine did then weighs on both.
        pairs = list(zip(before, after, strict=True))
        slower = statistics.median(two.typical / one.typical - 1 for one, two in pairs)
        lines.append(
            [
                title,
                *(
                    f"{statistics.median(each.typical for each in paces) * 1e3:,.3f} ms"
                    for paces in (before, after)
                ),
                *(
                    f"{statistics.median(each.slowest for each in paces) * 1e3:,.3f} ms"
                    for paces in (before, after)
                ),
                f"{slower:+.0%}",
                f"≤ +{MOST_SLOWER:.0%}",
                "yes" if slower <= MOST_SLOWER else "no",
            ]
        )
        rows.append(
            {
                "what": title,
                "alone": [asdict(each) for each in before],
                "beside": [asdict(each) for each in after],
                "slower": slower,
                "holds": slower <= MOST_SLOWER,
            }
        )
    peaks = [max(each.peak for each in turns) for turns in (alone, beside)]
    holds = peaks[1] <= MOST_BYTES
    lines.append(
        [
            "peak memory (PSS)",
            *(f"{peak / MIB:,.0f} MiB" for peak in peaks),
            *("-", "-", f"{peaks[1] / peaks[0] - 1:+.0%}"),
            f"≤ {MOST_BYTES // MIB} MiB",
            "yes" if holds else "no",
        ]
    )
    rows.append({"what": "memory", "alone": peaks[0], "beside": peaks[1], "holds": holds})
    return Report(
        f"One fast client beside {numbers.idle:,} idle connections "
        f"and {numbers.slow:,} slow readers",
        ("what", "alone", "beside", "alone, p99", "beside, p99", "slower", "aim", "holds"),
        lines,
        list(_notes(len(alone), numbers)),
        rows,
    )


def _notes(rounds: int, numbers: Numbers) -> Iterator[str]:
    yield circumstances(["storagedriver-registry", "httptools", "uvloop"])
    yield (
        f"{rounds} rounds by turns; times of a request, medians of the rounds' medians, and of "
        "their 99th percentiles. Slower is the median of the rounds' ratios."
    )
    yield (
        f"Idle ones have asked once and keep their connection; a slow reader takes {numbers.step} "
        f"bytes of a blob every {numbers.pause:g} s."
    )
