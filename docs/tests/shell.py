"""Running the commands of a page in one directory, as somebody who reads it would."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from docs.tests.blocks import Command

# Generous: the longest runs cases of the suite on a busy machine.
_SECONDS = 180
_SERVES = re.compile(
    r"\b(registry serve|registry token-server|storagedriver serve)\b(?!.*--describe)"
)
_READY = re.compile(r"^serving ", re.MULTILINE)
# What a shell that nobody types into says of a killed program; otherwise it says the last word.
_KILLED = re.compile(r"^\S*bash: line \d+: +\d+ (Killed) .*$", re.MULTILINE)
# Exit status of a program that SIGKILL has ended, by the shell.
_KILLED_STATUS = 128 + signal.SIGKILL


class Shell:
    """A shell whose directory and variables last from one command to the next.

    A server in the foreground ends when the next one of the same command begins, as its reader has
    to end it; whatever still runs ends with the shell.

    Args:
        directory: Where it begins.
        state: A file of its own.
        environment: All variables.
        answers: What is typed at prompts.
    """

    def __init__(
        self, directory: Path, state: Path, environment: Mapping[str, str], answers: str = ""
    ) -> None:
        self._state = state
        self._answers = answers
        self._environment = dict(environment)
        self._servers: list[subprocess.Popen[bytes]] = []
        self._in_foreground: dict[str, subprocess.Popen[bytes]] = {}
        self._logs = 0
        state.write_text(f"cd {shlex.quote(str(directory))}\n")

    def run(self, command: Command, status: int = 0) -> None:
        """Run a command and compare what it prints.

        Args:
            command: It; with `&` at its end, and if it serves, it goes on.
            status: What it has to exit with.

        Raises:
            AssertionError: It failed, or printed something else.
        """
        text = command.text
        if text.endswith("&"):
            self._start(text.removesuffix("&"), command.output, ready=bool(_SERVES.search(text)))
        elif match := _SERVES.search(text):
            if before := self._in_foreground.get(match[1]):
                _end(before)
            self._in_foreground[match[1]] = self._start(text, command.output, ready=True)
        else:
            self._run(text, command.output, status)

    def _run(self, text: str, output: Sequence[str], status: int) -> None:
        if output and output[-1] == "Killed":
            status = _KILLED_STATUS
        script = f"""
. {shlex.quote(str(self._state))}
{text}
status=$?
{{ export -p; printf 'cd %q\\n' "$PWD"; }} > {shlex.quote(str(self._state))}
exit $status
"""
        done = subprocess.run(
            ["bash", "-c", script],
            env=self._environment,
            input=self._answers,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
        )
        printed = _KILLED.sub(r"\1", done.stdout)
        assert done.returncode == status, f"$ {text}\nexit status {done.returncode}\n{printed}"
        # A page that shows nothing of what is printed says nothing about it.
        if output:
            assert matches(output, printed), f"$ {text}\n{printed}"

    def _start(self, text: str, output: Sequence[str], *, ready: bool) -> subprocess.Popen[bytes]:
        self._logs += 1
        log = self._state.with_name(f"{self._state.name}-{self._logs}.log")
        script = f". {shlex.quote(str(self._state))}\n{text}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", script],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # With what it starts it is a group, which ends as a whole.
                start_new_session=True,
            )
        self._servers.append(process)
        deadline = time.monotonic() + _SECONDS
        while True:
            ended = process.poll() is not None
            said = log.read_text()
            is_ready = _READY.search(said) if ready else True
            if is_ready and (not output or matches(output, said)):
                return process
            assert not ended and time.monotonic() < deadline, f"$ {text}\n{said}"
            time.sleep(0.02)

    def close(self) -> None:
        """End what still runs."""
        for process in reversed(self._servers):
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(120)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def matches(shown: Sequence[str], printed: str) -> bool:
    """Tell whether what was printed is what a page shows."""
    pattern = "".join(
        r"(.*\n)*?" if line.strip() in ("…", "...") else _of_line(line) + r" *\n" for line in shown
    )
    lines = [line.rstrip() for line in printed.splitlines()]
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


def _of_line(line: str) -> str:
    # Columns are as wide as what is in them, so that any number of spaces is like any other.
    texts = (re.sub(r"(\\ )+", " +", re.escape(text)) for text in line.rstrip().split("…"))
    return ".*".join(texts)
