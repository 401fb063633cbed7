"""Credentials where Docker keeps them: `~/.docker/config.json`, and the helpers that it names.

Source: docker/cli, "docker login", "Credential stores"; docker/docker-credential-helpers.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from storagedriver_registry.client.addresses import DOCKER_HUB
from storagedriver_registry.client.credentials import Credentials
from storagedriver_registry.client.errors import CredentialsError

_HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"
_HELPER_SECONDS = 60


def default_config() -> Path:
    """Give the file: `REGISTRY_AUTH_FILE`, or `config.json` in `DOCKER_CONFIG` or `~/.docker`."""
    if file := os.environ.get("REGISTRY_AUTH_FILE"):
        return Path(file)
    folder = os.environ.get("DOCKER_CONFIG")
    if folder:
        return Path(folder) / "config.json"
    try:
        return Path.home() / ".docker" / "config.json"
    except RuntimeError:
        # A user without a home, as in a container, has no credentials there.
        return Path("/nonexistent/.docker/config.json")


class DockerConfig:
    """The credentials of a user, for `RegistryClient(credentials=...)`.

    Args:
        path: The file; by default Docker's. It need not be there.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_config()

    def credentials(self, host: str) -> Credentials | None:
        """Give the credentials for a registry; None if there are none."""
        document = self._read()
        helper = self._helper(document, host)
        if helper is not None:
            return _from_helper(helper, _key(host))
        auths = _section(document, "auths")
        # The key of today first, and then what older programs have left.
        for key in (_key(host), *(key for key in auths if _host_of(key) == host)):
            entry = auths.get(key)
            if isinstance(entry, dict) and entry:
                return self._of_entry(entry, host)
        return None

    def store(self, host: str, credentials: Credentials) -> str:
        """Keep credentials, and give where they are: a helper, or the file."""
        helper = self._helper(self._read(), host)
        if helper is not None:
            secret = credentials.identity_token or credentials.password
            user = _TOKEN_USER if credentials.identity_token else credentials.username
            request = {"ServerURL": _key(host), "Username": user, "Secret": secret}
            _run(helper, "store", json.dumps(request))
            return f"docker-credential-{helper}"
        text = f"{credentials.username}:{credentials.password}"
        entry = {"auth": base64.b64encode(text.encode()).decode()}
        if credentials.identity_token:
            entry["identitytoken"] = credentials.identity_token
        self._change(host, {_key(host): entry})
        return str(self.path)

    def erase(self, host: str) -> bool:
        """Forget the credentials for a registry; tell whether there were any."""
        helper = self._helper(self._read(), host)
        if helper is not None:
            found = _from_helper(helper, _key(host)) is not None
            if found:
                _run(helper, "erase", _key(host))
            return found
        return self.path.exists() and self._change(host, {})

    def _change(self, host: str, entries: Mapping[str, Any]) -> bool:
        """Replace what is kept for a registry; tell whether there was anything."""
        # Docker's may be a link to where the user keeps it.
        path = self.path.resolve()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(path.parent):
            document = self._read()
            auths = _section(document, "auths")
            others = {key: value for key, value in auths.items() if _host_of(key) != host}
            found = len(others) < len(auths)
            if found or entries:
                _write(path, {**document, "auths": {**others, **entries}})
        return found

    def _of_entry(self, entry: Mapping[str, Any], host: str) -> Credentials:
        try:
            text = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode()
        except ValueError:
            raise CredentialsError(f"{self.path}: auth of {host} is no base64") from None
        user, _, password = text.partition(":")
        try:
            return Credentials(
                str(entry.get("username") or user),
                str(entry.get("password") or password.rstrip("\0")),
                str(entry.get("identitytoken") or ""),
                str(entry.get("registrytoken") or ""),
            )
        except ValueError as error:
            raise CredentialsError(f"{self.path}: {host}: {error}") from None

    def _helper(self, document: Mapping[str, Any], host: str) -> str | None:
        helper = _section(document, "credHelpers").get(_key(host)) or document.get("credsStore")
        if helper is not None and (not isinstance(helper, str) or "/" in helper):
            raise CredentialsError(f"{self.path}: {helper!r} is no name of a helper")
        return helper or None

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self.path.read_bytes() or b"{}")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            # The error of a JSON parser quotes nothing of the file.
            raise CredentialsError(f"{self.path} cannot be read: {error}") from None
        if not isinstance(document, dict):
            raise CredentialsError(f"{self.path} is no JSON object")
        return document


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Have the files of a folder alone, as far as its file system can: two logins at once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a file, which only its owner may read, in one step."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent="\t")
            file.write("\n")
            file.flush()
            os.fsync(descriptor)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _section(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _key(host: str) -> str:
    return _HUB_KEY if host == DOCKER_HUB else host


def _host_of(key: str) -> str:
    """Give the host of a key of `auths`; old ones are URLs, or end with a version.

    Any other path is a namespace, as podman and skopeo have it: its credentials are not the host's,
    and the key is given as it is.
    """
    if key.rstrip("/") in (_HUB_KEY.rstrip("/"), "index.docker.io"):
        return DOCKER_HUB
    rest = key.removeprefix("https://").removeprefix("http://")
    host, _, path = rest.partition("/")
    is_old = rest != key or path.strip("/") in ("", "v1", "v2")
    return host if is_old else key


def _from_helper(helper: str, key: str) -> Credentials | None:
    answer = _run(helper, "get", key)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        user, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, LookupError, TypeError, RecursionError):
        # Nothing of the answer is told: it may hold the secret.
        raise CredentialsError(f"docker-credential-{helper}: its answer makes no sense") from None
    if user == _TOKEN_USER:
        return Credentials(identity_token=secret)
    try:
        return Credentials(user, secret)
    except ValueError as error:
        raise CredentialsError(f"docker-credential-{helper}: {error}") from None


def _run(helper: str, action: str, text: str) -> str | None:
    """Run a helper; give what it says, None if it has nothing."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, action],
            input=text,
            capture_output=True,
            text=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CredentialsError(f"{program} cannot be run: {type(error).__name__}") from None
    if done.returncode == 0:
        return done.stdout
    if "not found" in done.stdout.lower():
        return None
    raise CredentialsError(f"{program} {action} failed with status {done.returncode}")
