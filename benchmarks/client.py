"""`dist` and skopeo: the same image to, from and between the same servers, by turns.

The image has layers of random bytes, packed with gzip, which is what layers look like on the wire.
Each round begins with two empty servers. The whole command is timed, from start to end, and its
memory is the most that it had at any time. The processor time is the command's own, which other
work on the machine changes less. In one more round, which is not timed, all that goes to and from
the servers is counted on its way.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks._disk import quick_directory, spread_directories
from benchmarks._measure import Row, speed_row
from benchmarks._report import Report, report_of
from benchmarks.registry_load._servers import Ours, on_files
from registry.tests.counting import CountingProxy, counting
from servers._process import program

MIB = 1024 * 1024
LAYERS, LAYER_BYTES = 10, 1024 * MIB // 10
ROUNDS = 5
AIM = 1 / 0.8
"""Of the speeds, where the wall time is to be 0.8 of skopeo's at most."""

MEMORY_AIM = 150
MOST_ON_THE_WIRE = 1.01
"""Of the bytes, where they are to be equal but for headers and small requests."""

_LOOK_SECONDS = 0.01
WORKS = ("push", "pull", "copy")
_PREFIX = "application/vnd.oci.image"


@dataclass(frozen=True)
class Run:
    """One command.

    Attributes:
        seconds: From start to end.
        processor: Seconds of the processor that it took.
        memory: Most resident memory, in MiB.
        wire: Bytes to and from the servers; 0 if they were not counted.
    """

    seconds: float
    processor: float
    memory: float
    wire: int = 0


def run(rounds: int | None = None, *, quick: bool = False) -> Report:
    """Measure both on the temporary directory's disk."""
    count, size = (2, MIB) if quick else (LAYERS, LAYER_BYTES)
    skopeo = program("skopeo")
    with tempfile.TemporaryDirectory(prefix="storagedriver-bench-") as directory:
        base = Path(directory)
        spread_directories(base)
        image = make_image(base / "image", count, size)
        found: dict[tuple[str, str], list[Run]] = {}
        for _ in range(rounds or (1 if quick else ROUNDS)):
            for name in ("dist", "skopeo"):
                place = quick_directory(base)
                for work, one in zip(WORKS, _round(name, skopeo, image, place), strict=True):
                    found.setdefault((name, work), []).append(one)
                shutil.rmtree(place)
        counted: dict[str, list[Run]] = {}
        for name in ("dist", "skopeo"):
            place = quick_directory(base)
            counted[name] = _round(name, skopeo, image, place, is_counted=True)
            shutil.rmtree(place)
    rows = [_speed(work, found, count * size / MIB) for work in WORKS]
    rows += [_processor(work, found) for work in WORKS]
    rows += [_memory(work, found) for work in WORKS]
    wires = zip(WORKS, counted["dist"], counted["skopeo"], strict=True)
    rows += [_wire(work, ours.wire, other.wire) for work, ours, other in wires]
    title = f"dist and skopeo, {count} layers of {size / MIB:.0f} MiB"
    return report_of(title, rows, ["storagedriver-registry", "aiohttp", "uvloop"])


def make_image(folder: Path, count: int, size: int) -> str:
    """Make an OCI layout with an image; give its name."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    layers, diff_ids = [], []
    for index in range(count):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            member = tarfile.TarInfo(f"{index}.bin")
            member.size = size
            archive.addfile(member, io.BytesIO(os.urandom(size)))
        diff_ids.append(f"sha256:{hashlib.sha256(file.getbuffer()).hexdigest()}")
        layers.append(put(gzip.compress(file.getbuffer(), 1), f"{_PREFIX}.layer.v1.tar+gzip"))
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_PREFIX}.manifest.v1+json",
        "config": put(json.dumps(config).encode(), f"{_PREFIX}.config.v1+json"),
        "layers": layers,
    }
    listed = put(json.dumps(manifest).encode(), f"{_PREFIX}.manifest.v1+json")
    listed["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    index_json = {"schemaVersion": 2, "manifests": [listed]}
    (folder / "index.json").write_text(json.dumps(index_json))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return f"oci:{folder}:v1"


def _round(
    name: str, skopeo: str, image: str, place: Path, *, is_counted: bool = False
) -> list[Run]:
    """Push, pull and copy with one of the two, and see that the same came out."""
    proxies = []
    with contextlib.ExitStack() as stack:
        hosts = []
        for number in "12":
            folder = place / number
            section = stack.enter_context(on_files(folder))
            server = stack.enter_context(Ours(folder, section))
            hosts.append(server.url.removeprefix("http://"))
            if is_counted:
                proxies.append(stack.enter_context(counting(hosts[-1])))
                hosts[-1] = proxies[-1].host
        first, second = (f"{host}/bench/image:v1" for host in hosts)
        pulled = f"oci:{place / 'pulled'}:v1"
        ways = [(image, first), (first, pulled), (first, second)]
        runs = []
        for way in ways:
            before = _passed(proxies)
            done = _timed(_command(name, skopeo, *way), place)
            runs.append(replace(done, wire=_passed(proxies) - before))
    blobs = [sorted(_layout(one).glob("blobs/*/*")) for one in (image, pulled)]
    assert [one.name for one in blobs[0]] == [one.name for one in blobs[1]]
    return runs


def _passed(proxies: Sequence[CountingProxy]) -> int:
    return sum(proxy.up + proxy.down for proxy in proxies)


def _command(name: str, skopeo: str, source: str, target: str) -> Sequence[str]:
    if name == "dist":
        return [str(Path(sys.executable).with_name("dist")), "copy", "--quiet", source, target]
    ends = [one if one.startswith("oci:") else f"docker://{one}" for one in (source, target)]
    plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    return [skopeo, "copy", "--quiet", "--preserve-digests", *plain, *ends]


def _timed(command: Sequence[str], home: Path) -> Run:
    environment = os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home)}
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
    )
    peak = 0.0
    # Not `poll`, which takes what the process has used to its grave.
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        peak = max(peak, _peak(process.pid))
        time.sleep(_LOOK_SECONDS)
    seconds = time.perf_counter() - begun
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, " ".join(command)
    return Run(seconds, used.ru_utime + used.ru_stime, peak)


def _peak(pid: int) -> float:
    """Give the most resident memory that a process has had, in MiB; 0 if it has ended."""
    # Not what `wait4` says: that counts this process's own, from before the command was begun.
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def _layout(image: str) -> Path:
    return Path(image.removeprefix("oci:").removesuffix(":v1"))


def _speed(work: str, found: dict[tuple[str, str], list[Run]], amount: float) -> Row:
    ours, other = ([one.seconds for one in found[who, work]] for who in ("dist", "skopeo"))
    return speed_row(work, amount, "MiB/s", ours, other, AIM)


def _processor(work: str, found: dict[tuple[str, str], list[Run]]) -> Row:
    ours, other = ([one.processor for one in found[who, work]] for who in ("dist", "skopeo"))
    mine, reference = statistics.median(ours), statistics.median(other)
    share = mine / reference
    most = 1 / AIM
    return Row(
        *(f"{work}: processor", mine, reference, "s", f"{share:.2f} x", f"<= {most:.2f} x"),
        share <= most,
        max(ours) / min(ours),
    )


def _wire(work: str, ours: int, other: int) -> Row:
    share = ours / other
    return Row(
        f"{work}: on the wire",
        ours / MIB,
        other / MIB,
        "MiB",
        f"{share:.4f} x",
        f"<= {MOST_ON_THE_WIRE:.2f} x",
        share <= MOST_ON_THE_WIRE,
        1.0,
    )


def _memory(work: str, found: dict[tuple[str, str], list[Run]]) -> Row:
    ours, other = ([one.memory for one in found[who, work]] for who in ("dist", "skopeo"))
    most = max(ours)
    return Row(
        f"{work}: most memory",
        most,
        statistics.median(other),
        "MiB",
        f"{most:.0f} MiB",
        f"<= {MEMORY_AIM} MiB",
        most <= MEMORY_AIM,
        max(ours) / min(ours),
    )
