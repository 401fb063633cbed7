"""The commands `storagedriver conformance` and `storagedriver bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TypeAlias

import pytest
import typer
from hypothesis.configuration import set_hypothesis_home_dir

from storagedriver_testsuite._named import require_harness, suite_for
from storagedriver_testsuite._suite import SuiteBase

conformance = typer.Typer(add_completion=False, rich_markup_mode=None)
bench = typer.Typer(add_completion=False, rich_markup_mode=None)

NameArgument: TypeAlias = Annotated[str, typer.Argument(help="The driver's name.")]
ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file; without, as the driver's own tests."),
]
ThroughOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--through", help="Put a middleware around the driver; the outermost first."),
]
KeywordOption: TypeAlias = Annotated[
    str | None, typer.Option("-k", help="Run only what matches, as `W33 or resume`.")
]

_INTERRUPTED = 130


def _in_a_directory(path: Path | None) -> Path | None:
    """Refuse a report that could not be written, before anything runs for it."""
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{path}: {path.parent} is no directory")
    return path


_FILE = """\
from pathlib import Path
from storagedriver_testsuite import {base}, suite_for

TestDriver = suite_for({base}, {name!r}, config={config}, through={through!r})
"""


@conformance.command()
def run_conformance(
    name: NameArgument,
    config: ConfigOption = None,
    through: ThroughOption = None,
    report: Annotated[
        Path,
        typer.Option(callback=_in_a_directory, help="Where the result of each case goes."),
    ] = Path("conformance.json"),
    keyword: KeywordOption = None,
    large: Annotated[
        bool, typer.Option("--large", help="Run at real size what comes in two sizes.")
    ] = False,
) -> None:
    """Test a driver against the contract.

    Exit code 1 if a case failed or none passed, 130 if interrupted.
    """
    options = ["--conformance-table", f"--conformance-report={report.absolute()}"]
    if large:
        options.append("--conformance-large")
    _run("DriverSuite", name, config, through or [], keyword, options)


@bench.command()
def run_bench(
    name: NameArgument,
    config: ConfigOption = None,
    through: ThroughOption = None,
    report: Annotated[
        Path | None,
        typer.Option(callback=_in_a_directory, help="Keep the figures in this JSON file."),
    ] = None,
    keyword: KeywordOption = None,
) -> None:
    """Measure a driver.

    Exit code 1 if what came was wrong, or took more requests or memory than it may. Times are
    told, and never judged.
    """
    options = ["--benchmark-columns=min,median,max,rounds", "--benchmark-sort=name"]
    if report is not None:
        options.append(f"--benchmark-json={report.absolute()}")
    _run("DriverBenchmarks", name, config, through or [], keyword, options)


def _run(
    base: str,
    name: str,
    config: Path | None,
    through: Sequence[str],
    keyword: str | None,
    options: Sequence[str],
) -> None:
    """Run a suite with pytest, in this process, and exit."""
    path = config.absolute() if config is not None else None
    # What is wrong shows now. The cases are not imported yet: pytest rewrites their assertions.
    suite_for(SuiteBase, name, config=path, through=through)
    require_harness(name, path)
    with TemporaryDirectory() as directory:
        # A file of its own: pytest then needs no other, and reads no configuration of the caller's.
        file = Path(directory, "test_driver.py")
        place = f"Path({str(path)!r})" if path is not None else "None"
        file.write_text(_FILE.format(base=base, name=name, config=place, through=list(through)))
        ini = Path(directory, "pytest.ini")
        # This very package is imported already, which pytest remarks.
        ini.write_text("[pytest]\nfilterwarnings = ignore::pytest.PytestAssertRewriteWarning\n")
        selection = ["-k", keyword] if keyword else []
        settings = ["-q", "-c", str(ini), "--rootdir", directory, "-p", "no:cacheprovider"]
        # Nothing but the report is left where the caller stands.
        settings.append(f"--benchmark-storage=file://{directory}/benchmarks")
        settings.append(f"--basetemp={directory}/stores")
        set_hypothesis_home_dir(directory)
        arguments = [*settings, "--import-mode=importlib", *options, *selection, str(file)]
        interrupts = _Interrupts()
        code = pytest.main(arguments, plugins=[interrupts])
    if interrupts.came:
        raise typer.Exit(_INTERRUPTED)
    raise typer.Exit(0 if code == pytest.ExitCode.OK else 1)


class _Interrupts:
    """Knows whether Ctrl-C came; pytest gives one code for that and for what it cannot collect."""

    came = False

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Be told by pytest."""
        self.came = self.came or excinfo.type is KeyboardInterrupt
