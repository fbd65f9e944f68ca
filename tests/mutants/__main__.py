"""Break one behaviour after the other on purpose, and see whether a test notices.

    python tests/mutants                  all mutants, each with the tests that should notice it
    python tests/mutants teacher slots    those whose name, path or tests have one of these words
    python tests/mutants --all-tests ...  with the whole suite but its end-to-end tests

Slow, so run on demand and not in CI. The checkout is not touched: a copy of it is broken, in a
temporary folder.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mutant import Mutant
from tables import PACKAGE, TESTS, all_mutants, broken

ROOT = TESTS.parent
SECONDS, SECONDS_OF_ALL = 180, 1800  # after which a run counts as hung
ALL_TESTS = ("tests", "--ignore=tests/e2e", "--ignore=tests/test_mutants.py")

# A plugin of the runs. That the copy runs is checked in each, as an editable installation, or the
# folder that pytest is started in, could well put the checkout before it.
CHECK = """
from pathlib import Path

import pytest_mipro.plugin

assert Path(pytest_mipro.plugin.__file__).parents[1] == Path(__file__).parent
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all-tests", action="store_true", help="run the whole fast suite")
    options = parser.parse_args()
    mutants = [m for m in all_mutants() if _is_meant(m, options.names)]
    if not mutants:
        parser.error("no mutant has such a name")
    for mutant in mutants:
        broken(mutant)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder))
        every = ALL_TESTS if options.all_tests else _tests_of(mutants)
        seconds = SECONDS_OF_ALL
        say(f"nothing broken: {len(mutants)} mutants, {len(every)} test arguments ...")
        status, output = copy.run(every, seconds, keep_bytecode=True)
        if status != 0:
            say(output, "\nthese tests must pass before anything is broken")
            return 2
        noticed = 0
        for mutant in mutants:
            if not options.all_tests:
                every, seconds = _tests_of([mutant]), SECONDS
            found = copy.notices(mutant, every, seconds)
            noticed += bool(found)
            say(f"noticed   {mutant.name}  ({found})" if found else f"SURVIVED  {mutant.name}")
    say(f"{noticed} of {len(mutants)} noticed")
    return 0 if noticed == len(mutants) else 1


class Copy:
    """A copy of the checkout whose package can be broken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        without = shutil.ignore_patterns("__pycache__", "mutants")
        for path in (PACKAGE, TESTS):
            shutil.copytree(path, self._folder / path.name, ignore=without)
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy2(path, self._folder)
            elif path not in (PACKAGE, TESTS) and not path.name.startswith("."):
                (self._folder / path.name).symlink_to(path)
        (self._folder / "mutated_copy.py").write_text(CHECK, encoding="utf-8")

    def notices(self, mutant: Mutant, tests: Sequence[str], seconds: float) -> str:
        """Which test notices a mutant, or that it hangs; empty where it survives."""
        package = self._folder / PACKAGE.name
        path = package / mutant.path
        text, times = path.read_bytes(), path.stat()
        path.write_text(broken(mutant, package), encoding="utf-8")
        try:
            status, output = self.run(tests, seconds)
        finally:
            path.write_bytes(text)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # its bytecode is valid again
        if status is None:
            return f"hangs: no result in {seconds} seconds"
        lines = [line for line in output.splitlines() if line.startswith("FAILED tests/")]
        failed = [line.removeprefix("FAILED ").split(" - ")[0] for line in lines]
        return "" if status == 0 else next(iter(failed), f"pytest ended with {status}")

    def run(
        self, tests: Sequence[str], seconds: float, *, keep_bytecode: bool = False
    ) -> tuple[int | None, str]:
        """Run tests in the copy; the status is None when they took too long."""
        # Bytecode is filed by size and second, which a mutant may share with what it replaced.
        env = {**os.environ, "PYTHONPATH": str(self._folder)}
        env |= {} if keep_bytecode else {"PYTHONDONTWRITEBYTECODE": "1"}
        options = ("-x", "-q", "-p", "mutated_copy", "-p", "no:cacheprovider")
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=self._folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None, ""
        return process.returncode, output


def say(*texts: str) -> None:
    print(*texts, flush=True)  # noqa: T201


def _is_meant(mutant: Mutant, names: Sequence[str]) -> bool:
    text = " ".join((mutant.name, mutant.path, *mutant.tests)).casefold()
    return not names or any(name.casefold() in text for name in names)


def _tests_of(mutants: Sequence[Mutant]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"tests/{test}" for mutant in mutants for test in mutant.tests))


if __name__ == "__main__":
    sys.exit(main())
