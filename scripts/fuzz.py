# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Give random messages and files to every reader, and show the least that breaks a promise.

    python scripts/fuzz.py                              a million cases
    python scripts/fuzz.py --share 0.01 --seed 3        the first hundredth of those of seed 3
    python scripts/fuzz.py --only MCAP --only SQLite --cases 20000 --jobs 2
    python scripts/fuzz.py --replay fuzz/MCAP-3f2a.json

A case is a sound message or file with one to four random edits. Its reader must return a finite
result or raise the package's own error, in bounded time and memory. A case depends on seed and
number alone. Cases run in processes with limits, so that a hang or an exhausted memory is a
finding, too. Each kind of finding is cut down to the fewest edits, and written to a file that
--replay repeats. The exit code is 1 if there is a finding, 130 after Ctrl-C.
"""

import argparse
import faulthandler
import hashlib
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "test"), str(ROOT / "test" / "faults")]

import cv2  # noqa: E402
import torch  # noqa: E402
from edits import Edit, apply, fewest, from_json, random_edits, to_json  # noqa: E402
from promise import BrokenPromiseError, check  # noqa: E402
from readers import READERS  # noqa: E402

MIB = 1 << 20
# An image may have 100 million pixels (800 MiB at 16 bits and four channels).
MOST_MEMORY = 1024 * MIB  # that one case may add to the resident memory of the process
ADDRESS_SPACE = 2048 * MIB  # beyond what the process has at its start
FILE_SIZE = 256 * MIB  # of a temporary file
MOST_CPU_SECONDS = 10.0  # for one case
MOST_SECONDS = 120.0  # for one that waits for something
TRIALS = 60  # to cut a finding down
_PLACE = struct.Struct("<q")


class Finding(NamedTuple):
    """A broken promise.

    Attributes:
        reader: Name of the reader.
        kind: What happened and where; findings of one kind are one finding.
        words: More about this one.
    """

    reader: str
    kind: str
    words: str


@dataclass
class Run:
    """The cases of a run, and what was found so far."""

    seed: int
    output: Path
    names: list[str]
    found: dict[tuple[str, str], int] = field(default_factory=dict)  # cases by reader and kind

    def __post_init__(self) -> None:
        """Make the sound inputs, which every process shares."""
        self.sound = {name: READERS[name].sound() for name in self.names}
        self.wheel = [name for name in self.names for _ in range(READERS[name].weight)]
        random.Random(0).shuffle(self.wheel)

    def case(self, number: int) -> tuple[str, tuple[Edit, ...]]:
        """Return the reader of a case, and its edits."""
        name = self.wheel[number % len(self.wheel)]
        rng = random.Random(f"{self.seed}/{number}")
        return name, random_edits(rng, self.sound[name], typed=READERS[name].typed)

    def attempt(self, name: str, edits: Sequence[Edit]) -> Finding | None:
        """Try one case in this process."""
        before = _peak_memory()
        try:
            check(READERS[name], apply(self.sound[name], edits))
        except BrokenPromiseError as error:
            return Finding(name, str(error).split(":")[0][:60], str(error))
        except Exception as error:  # that is what this is for
            kind = f"{type(error).__name__} in {_place(error)}"
            return Finding(name, kind, f"{type(error).__name__}: {error}"[:300])
        grown = _peak_memory() - before
        if grown > MOST_MEMORY:
            return Finding(name, "memory", f"took {grown // MIB} MiB")
        return None

    def report(self, finding: Finding, edits: tuple[Edit, ...], case: str) -> None:
        """Count a finding; cut the first of its kind down, show it and write it to a file."""
        key = finding.reader, finding.kind
        self.found[key] = self.found.get(key, 0) + 1
        if self.found[key] > 1:
            return
        trials = iter(range(TRIALS if "limit" not in finding.kind else 4))

        def fails(fewer: Sequence[Edit]) -> bool:
            if next(trials, None) is None:
                return False
            again = attempt_apart(self, finding.reader, fewer)
            return again is not None and again.kind == finding.kind

        edits = fewest(edits, fails)
        name = finding.reader.replace(" ", "_")
        stem = f"{name}-{hashlib.sha256(finding.kind.encode()).hexdigest()[:6]}"
        self.output.mkdir(parents=True, exist_ok=True)
        value = apply(self.sound[finding.reader], edits)
        if isinstance(value, bytes):
            (self.output / f"{stem}.bin").write_bytes(value)
        path = self.output / f"{stem}.json"
        facts = {"reader": finding.reader, "kind": finding.kind, "words": finding.words}
        path.write_text(
            json.dumps({**facts, "case": case, "edits": json.loads(to_json(edits))}, indent=1)
        )
        shown = to_json(edits)
        print(f"{finding.reader}: {finding.kind}\n  {finding.words[:300]!r}")
        print(f"  {shown if len(shown) < 400 else shown[:400] + '...'}\n  {path}", flush=True)


def _place(error: BaseException) -> str:
    """Return file and function of the package's last frame before an exception."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "scenedino_ros/" in f.filename or "/train/" in f.filename]
    last = (ours or frames)[-1]
    return f"{Path(last.filename).name} {last.name}"


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Process:
    """A process with limits that tries cases, and says which one it tries."""

    def __init__(self, run: Run, numbers: range, edits: Sequence[Edit] | None = None) -> None:
        """Start it.

        Args:
            run: The run.
            numbers: The cases.
            edits: Edits instead of those of the only case.
        """
        self.run, self.numbers = run, numbers
        self._shared = mmap.mmap(-1, _PLACE.size)
        self._write(numbers.start)
        self._tried_since = (numbers.start, time.monotonic(), 0.0)
        self._pipe, writing = os.pipe()
        sys.stdout.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self._work(writing, edits)
        os.close(writing)

    def _work(self, writing: int, edits: Sequence[Edit] | None) -> None:
        code = 1
        try:
            os.close(self._pipe)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            faulthandler.disable()  # a test runner's, which writes elsewhere
            _limit()
            with os.fdopen(writing, "w") as lines:
                for number in self.numbers:
                    self._write(number)
                    name, of_case = self.run.case(number)
                    finding = self.run.attempt(name, of_case if edits is None else edits)
                    if finding is not None:
                        lines.write(json.dumps([number, *finding]) + "\n")
                        lines.flush()
                self._write(self.numbers.stop)
            code = 0
        finally:
            os._exit(code)

    def _write(self, number: int) -> None:
        _PLACE.pack_into(self._shared, 0, number)

    @property
    def at(self) -> int:
        """Number of the case that is tried; the end of the numbers when all are done."""
        return int(_PLACE.unpack_from(self._shared)[0])

    def findings(self) -> Iterator[tuple[int, Finding]]:
        """Wait for the end of the process; return the findings that it wrote, and of its end."""
        code = self._wait()
        with os.fdopen(self._pipe) as lines:
            for line in lines:
                number, *parts = json.loads(line)
                yield number, Finding(*parts)
        if self.at < self.numbers.stop:
            name, _ = self.run.case(self.at)
            kind = "over the limit of time" if code == -signal.SIGKILL else f"ended with {code}"
            yield self.at, Finding(name, kind, f"the process of the case {kind}")

    def _wait(self) -> int:
        """Return the exit code of the process; kill it where a case takes too long."""
        while True:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            at, since, cpu_before = self._tried_since
            cpu = _cpu_seconds(self._pid)
            if self.at != at:
                self._tried_since = (self.at, time.monotonic(), cpu)
            elif cpu - cpu_before > MOST_CPU_SECONDS or time.monotonic() - since > MOST_SECONDS:
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.05)

    def kill(self) -> None:
        """End the process at once."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def attempt_apart(run: Run, name: str, edits: Sequence[Edit]) -> Finding | None:
    """Try edits for a reader in a process of its own."""
    number = run.wheel.index(name)
    process = Process(run, range(number, number + 1), edits)
    return next((finding for _, finding in process.findings()), None)


def main(argv: list[str] | None = None) -> int:
    """Run the cases that the arguments name; return the exit code."""
    options = _parser().parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    # A shell starts jobs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.replay:
        return _replay(options.replay, options.output)
    unknown = [name for name in options.only if name not in READERS]
    if unknown:
        print(f"unknown reader {unknown[0]!r}; known: {', '.join(READERS)}", file=sys.stderr)
        return 2
    run = Run(options.seed, options.output, options.only or list(READERS))
    cases = max(1, round(options.cases * options.share))
    start, done = time.monotonic(), 0
    next_line = start + options.every
    try:
        for first in range(0, cases, options.batch):
            numbers = range(first, min(first + options.batch, cases))
            while len(numbers):
                process = Process(run, numbers)
                try:
                    findings = list(process.findings())
                except BaseException:
                    process.kill()
                    raise
                for number, finding in findings:
                    case = f"seed {options.seed}, case {number}"
                    run.report(finding, run.case(number)[1], case)
                done = process.at + (process.at < numbers.stop)
                numbers = range(done, numbers.stop)
            if time.monotonic() > next_line:
                next_line += options.every
                print(_rate(done, start, run), flush=True)
    except KeyboardInterrupt:
        print(f"stopped: {_rate(done, start, run)}")
        return 130
    print(_rate(done, start, run))
    for (name, kind), count in sorted(run.found.items()):
        print(f"  {count:7d}  {name}: {kind}")
    return 1 if run.found else 0


def _rate(done: int, start: float, run: Run) -> str:
    seconds = time.monotonic() - start
    kinds = len(run.found)
    return (
        f"{done} cases of {len(run.names)} readers in {seconds:.0f} s "
        f"({done / max(seconds, 1e-9):.0f} per second), seed {run.seed}: "
        f"{kinds or 'no'} {'kind' if kinds == 1 else 'kinds'} of findings"
    )


def _replay(path: Path, output: Path) -> int:
    stored: dict[str, Any] = json.loads(path.read_text())
    run = Run(0, output, [stored["reader"]])
    finding = attempt_apart(run, stored["reader"], from_json(json.dumps(stored["edits"])))
    print("the promise holds" if finding is None else f"{finding.kind}\n{finding.words}")
    return 0 if finding is None else 1


def _parser() -> argparse.ArgumentParser:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cases", type=int, default=1_000_000, help="cases of the whole run")
    add("--share", type=float, default=1.0, help="fraction of them to try (default: all)")
    add("--seed", type=int, default=0, help="another seed is another million (default: 0)")
    add("--only", action="append", default=[], metavar="READER", help="only this reader")
    add("--batch", type=int, default=2000, help="cases of one process (default: 2000)")
    add("--every", type=float, default=30.0, help="seconds between lines on the rate")
    add("--output", type=Path, default=ROOT / "fuzz", help="folder of findings (default: fuzz)")
    add("--replay", type=Path, metavar="FILE", help="repeat a finding")
    return parser


if __name__ == "__main__":
    sys.exit(main())
