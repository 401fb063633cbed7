"""Requests per second, by generators that are written in C: h2load for GET, and ab for HEAD.

h2load waits for a body after HEAD over HTTP/1.1, as wrk does. ab speaks HTTP/1.0 with kept
connections.
"""

from __future__ import annotations

import re
import resource
import subprocess
from collections.abc import Callable, Mapping
from typing import Literal

from benchmarks.registry_load._crew import Load
from benchmarks.registry_load._plan import Amount, Plan
from benchmarks.registry_load._wire import LoadError
from servers._process import program

Method = Literal["GET", "HEAD"]
# More than ab can do in a second; it takes 32 bytes for each that it might.
_MOST_A_SECOND = 200_000
_LATE = 60


def load(
    method: Method, url: str, headers: Mapping[str, str], plan: Plan, begin: Callable[[], None]
) -> Load:
    """Ask for the same thing on all connections, for as long as the plan says.

    Args:
        method: GET or HEAD.
        url: What is asked for.
        headers: With which headers.
        plan: For how long, by how many.
        begin: Called when that is warm.

    Raises:
        LoadError: An answer was not a success, or a connection was not kept.
        MissingProgramError: The generator has not been fetched.
    """
    warm_up = max(plan.warm_up, plan.connections)
    _run(method, url, headers, plan.connections, Amount(count=warm_up))
    begin()
    return _run(method, url, headers, plan.connections, plan.requests)


def _run(
    method: Method, url: str, headers: Mapping[str, str], connections: int, amount: Amount
) -> Load:
    given = [f"-H{name}: {value}" for name, value in headers.items()]
    command, read = _GENERATORS[method](connections, amount)
    before = _children_cpu()
    try:
        done = subprocess.run(
            [*command, *given, url],
            capture_output=True,
            text=True,
            timeout=(amount.seconds or 0) + _LATE,
        )
    except subprocess.TimeoutExpired as exc:
        raise LoadError(f"{method} {url}: the generator did not end") from exc
    if done.returncode:
        raise LoadError(f"{' '.join([*command, url])}: {done.stderr.strip() or done.stdout}")
    operations, seconds = read(done.stdout)
    return Load(operations, seconds, _children_cpu() - before)


Reader = Callable[[str], tuple[int, float]]


def _h2load(connections: int, amount: Amount) -> tuple[list[str], Reader]:
    limit = ["-D", f"{amount.seconds}s"] if amount.seconds else ["-n", str(amount.count)]
    clients = ["--h1", "-t", "1", "-c", str(connections)]
    return [program("h2load"), *clients, *limit], read_h2load


def _ab(connections: int, amount: Amount) -> tuple[list[str], Reader]:
    # By itself a time is a number of at most 50,000, so that number comes after it.
    limit = ["-t", str(amount.seconds)] if amount.seconds else []
    count = ["-n", str(amount.count or _MOST_A_SECOND * (amount.seconds or 1))]
    return [program("ab"), "-q", "-i", "-k", "-c", str(connections), *limit, *count], read_ab


_GENERATORS: dict[Method, Callable[[int, Amount], tuple[list[str], Reader]]] = {
    "GET": _h2load,
    "HEAD": _ab,
}


def read_h2load(text: str) -> tuple[int, float]:
    """Give the number of requests and the seconds that h2load tells of.

    Raises:
        LoadError: One failed, or was answered by another status than 2xx.
    """
    numbers = _find(
        r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text
    )
    statuses = _find(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if not int(numbers[0]) or any(map(int, (*numbers[1:], *statuses))):
        raise LoadError(f"not all answers were successes:\n{text}")
    (rate,) = _find(r"finished in .*, ([\d.]+) req/s", text)
    operations = int(numbers[0])
    return operations, operations / float(rate)


def read_ab(text: str) -> tuple[int, float]:
    """Give the number of requests and the seconds that ab tells of.

    Raises:
        LoadError: One failed, was answered by another status than 2xx, or had no kept connection.
    """
    (complete,) = map(int, _find(r"Complete requests: +(\d+)", text))
    (failed,) = map(int, _find(r"Failed requests: +(\d+)", text))
    (kept,) = map(int, _find(r"Keep-Alive requests: +(\d+)", text))
    if not complete or failed or kept < complete or "Non-2xx" in text:
        raise LoadError(f"not all answers were successes on kept connections:\n{text}")
    (rate,) = map(float, _find(r"Requests per second: +([\d.]+)", text))
    return complete, complete / rate


def _find(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    if not found:
        raise LoadError(f"the generator did not say what it did:\n{text}")
    return found.groups()


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
