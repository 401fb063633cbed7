"""Fetches the programs that tests start into `.services/`, without installing anything.

    python scripts/services.py fetch [NAME...]    all of services.toml, or those named
    python scripts/services.py where NAME         the path of a program

A service that cannot be fetched does not stop the others. It is an error in CI (`CI=true`);
elsewhere the tests that need it are skipped.
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

TABLE = Path(__file__).with_suffix(".toml")
SERVICES = Path(__file__).resolve().parent.parent / ".services"
BIN = SERVICES / "bin"
UNPACKED = SERVICES / "apt"
# The C library belongs to the machine's dynamic loader; another one beside it crashes.
NEVER_UNPACK = {"libc6", "libc-bin"}
# Images made in tests are unsigned, and no test may depend on who runs it.
HOME_FILES = {
    "home/.config/containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}\n',
    "home/.config/containers/registries.d/default.yaml": "default-docker: {}\n",
}


class FetchError(Exception):
    """A service could not be fetched; the text says why."""


@dataclass(frozen=True, slots=True)
class Service:
    """One table of services.toml."""

    name: str
    kind: str
    packages: list[str]
    programs: list[str]
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def stamp(self) -> Path:
        """The file that says what was fetched."""
        return SERVICES / "stamps" / self.name

    def state(self) -> str:
        """Returns a text that changes when the service has to be fetched again."""
        facts = [asdict(self), str(SERVICES), Path(__file__).read_text(encoding="utf-8")]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def is_fetched(self) -> bool:
        """Says whether the service is there as its table now wants it."""
        return self.stamp.is_file() and self.stamp.read_text(encoding="utf-8") == self.state()


def load_services() -> dict[str, Service]:
    """Returns what services.toml lists, by name."""
    tables = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {name: Service(name=name, **table) for name, table in tables.items()}


def fetch_apt(service: Service) -> None:
    """Downloads Debian packages with the dependencies that are missing here, and unpacks them.

    Needs no root. The machine's package lists are tried first; where there are none, or they name
    files that the mirror no longer has, private lists are fetched.
    """
    if not shutil.which("apt-get"):
        raise FetchError("needs apt-get and dpkg-deb (Debian, Ubuntu)")
    with tempfile.TemporaryDirectory() as folder:
        try:
            _download([], service.packages, folder)
        except FetchError:
            _download(_private_lists(), service.packages, folder)
        for package in sorted(Path(folder).glob("*.deb")):
            _run("dpkg-deb", "-x", str(package), str(UNPACKED))


def _download(options: list[str], packages: list[str], folder: str) -> None:
    apt = ["apt-get", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", *options]
    plan = _run(*apt, "--simulate", "--no-install-recommends", "install", *packages)
    wanted = {line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")}
    if wanted - NEVER_UNPACK:
        _run(*apt, "-o", "Acquire::Retries=3", "download", *wanted - NEVER_UNPACK, cwd=folder)


@functools.cache
def _private_lists() -> list[str]:
    lists, cache = SERVICES / "apt-lists", SERVICES / "apt-cache"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
    _run("apt-get", *options, "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "update")
    return options


def _run(*command: str, cwd: str | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()
        raise FetchError(f"{' '.join(command)}: {reason[-1] if reason else done.returncode}")
    return done.stdout


# npm and pip services get their functions here.
FETCHERS: dict[str, Callable[[Service], None]] = {"apt": fetch_apt}


def fetch(service: Service) -> None:
    """Fetches one service, and writes the scripts that start its programs."""
    FETCHERS[service.kind](service)
    for name, text in (HOME_FILES | service.files).items():
        _write(SERVICES / name, _fill_in(text))
    for program in service.programs:
        _write(BIN / program, _start_script(service, program), mode=0o755)
    _write(service.stamp, service.state())


def _start_script(service: Service, program: str) -> str:
    path = os.pathsep.join([str(UNPACKED / "usr/sbin"), str(UNPACKED / "usr/bin"), os.defpath])
    found = shutil.which(program, path=path)
    if not found:
        raise FetchError(f"its packages hold no program {program}")
    libraries = {str(path.parent) for path in UNPACKED.glob("**/lib*.so.*")}
    lines = ["#!/bin/sh", f"export HOME={shlex.quote(str(SERVICES / 'home'))}"]
    if libraries:
        joined = shlex.quote(":".join(sorted(libraries)))
        lines.append(f"export LD_LIBRARY_PATH={joined}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}")
    for name, value in service.env.items():
        lines.append(f': "${{{name}:={_fill_in(value)}}}"; export {name}')
    return "\n".join([*lines, f'exec {shlex.quote(found)} "$@"', ""])


def _fill_in(text: str) -> str:
    return text.replace("{services}", str(SERVICES))


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    SERVICES.mkdir(exist_ok=True)
    with (SERVICES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch_all(names: list[str]) -> int:
    """Fetches what is named, or everything, and returns the exit status."""
    services = load_services()
    if unknown := set(names) - set(services):
        sys.exit(f"no such service: {', '.join(sorted(unknown))}; known: {', '.join(services)}")
    failed = False
    with _one_at_a_time():
        for service in (services[name] for name in names or services):
            if service.is_fetched():
                continue
            try:
                fetch(service)
                print(f"{service.name}: fetched")
            except (FetchError, OSError) as exc:
                failed = True
                print(f"{service.name}: not fetched: {exc}", file=sys.stderr)
    return int(failed and os.environ.get("CI") == "true")


def where(program: str) -> int:
    """Prints the path of a program, and returns the exit status."""
    if not (BIN / program).exists():
        print(f"{program} is not fetched; run: make services", file=sys.stderr)
        return 1
    print(BIN / program)
    return 0


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch").add_argument("names", nargs="*", metavar="NAME")
    commands.add_parser("where").add_argument("name", metavar="NAME")
    arguments = parser.parse_args()
    if arguments.command == "fetch":
        sys.exit(fetch_all(arguments.names))
    sys.exit(where(arguments.name))


if __name__ == "__main__":
    main()
