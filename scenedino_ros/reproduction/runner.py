# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs the steps of a recipe, each in a process of its own; what is done is not done again."""

import contextlib
import glob
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.reading import read_json
from scenedino_ros.reproduction.recipe import CONFIGS, Step

_SHOWN_LINES = 5  # of the log of a step that failed
_POLL = 0.1  # seconds
_GRACE = 1.0  # seconds: Ctrl-C in a terminal has reached the steps as well
_PATIENCE = 60.0  # seconds that a step may take to save its work when it is asked to stop
_THREADS = "OMP_NUM_THREADS"  # what torch and OpenMP libraries read


@dataclass(frozen=True)
class Done:
    """What is known of a finished step.

    Attributes:
        words: Its command, as the recipe has it.
        seconds: How long it took, all attempts together.
    """

    words: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Running:
    """A step in its process.

    Attributes:
        step: The step.
        process: Its process.
        begun: When, by the monotonic clock.
        before: Seconds that earlier attempts took.
    """

    step: Step
    process: subprocess.Popen[bytes]
    begun: float
    before: float


class StepRunner:
    """Runs steps in a folder.

    Attributes:
        folder: Where they run; ``steps/NAME.json`` says that a step is done, ``logs/NAME.log`` is
            what it printed.
    """

    def __init__(self, folder: Path, processes: int = 1) -> None:
        """Choose a folder.

        Args:
            folder: Created if it does not exist.
            processes: Processes of a training run; more than one are started by torchrun.

        Raises:
            InputError: If the training scripts cannot be found.
        """
        self.folder, self._processes = Path(folder).absolute(), processes
        spec = importlib.util.find_spec("train")
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                "the training scripts (folder train) cannot be found: run this in the repository"
            )
        self._scripts = Path(next(iter(spec.submodule_search_locations)))
        for name in ("steps", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def done(self, step: Step) -> Done | None:
        """Return what is known of a step; None: it is not done.

        Raises:
            InputError: If it was done with another command.
        """
        path = self._record(step)
        if not path.exists():
            return None
        stored = read_json(path)
        if not stored.get("finished"):
            return None
        if stored.get("words") != list(step.words):
            raise InputError(
                f"{path} was made by another command, '{' '.join(stored.get('words', []))}'; "
                "choose another folder"
            )
        return Done(step.words, float(stored["seconds"]))

    def run(
        self, steps: Sequence[Step], jobs: int = 1, begun: Callable[[Step], None] = lambda _: None
    ) -> None:
        """Run the steps that are not done, each after those that it needs.

        Args:
            steps: In an order that could be theirs one by one.
            jobs: Steps that run at the same time; several share the cores of the machine.
            begun: Is told of each step that begins.

        Raises:
            SceneDinoError: If one fails, with the end of its log; those beside it are asked to
                stop. The next call resumes what has not ended, here and after an interruption.
        """
        waiting = [step for step in steps if self.done(step) is None]
        running: list[_Running] = []
        try:
            while waiting or running:
                missing = {step.name for step in waiting} | {each.step.name for each in running}
                ready = [step for step in waiting if missing.isdisjoint(step.needs)]
                for step in ready[: jobs - len(running)]:
                    begun(step)
                    waiting.remove(step)
                    running.append(self._start(step, jobs))
                ended = [each for each in running if each.process.poll() is not None]
                for each in ended:
                    running.remove(each)
                    self._finish(each)
                if not ended:
                    time.sleep(_POLL)
        finally:
            self._stop(running)

    def _start(self, step: Step, jobs: int) -> _Running:
        environment = dict(os.environ)
        if jobs > 1:
            environment.setdefault(_THREADS, str(max(1, (os.cpu_count() or 1) // jobs)))
        before = self._seconds(step)
        with self._log(step).open("ab") as file:
            process = subprocess.Popen(
                self.command(step),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return _Running(step, process, time.monotonic(), before)

    def _finish(self, ended: _Running) -> None:
        """Note that a step has ended.

        Raises:
            SceneDinoError: If it has failed.
        """
        self._note(ended)
        status, log = ended.process.returncode, self._log(ended.step)
        if status:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            end = "\n".join(lines[-_SHOWN_LINES:])
            raise SceneDinoError(
                f"step {ended.step.name} ended with {status}; its log {log} ends:\n{end}"
            )

    def _stop(self, running: Sequence[_Running]) -> None:
        """Ask steps to stop, as Ctrl-C does."""
        for each in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.process.wait(_GRACE)
            each.process.send_signal(signal.SIGINT)
        for each in running:
            try:
                each.process.wait(_PATIENCE)
            except BaseException as error:
                each.process.kill()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
            finally:
                self._note(each)

    def _note(self, step: _Running) -> None:
        """Write how long a step ran, and that it is done if it has succeeded."""
        seconds = step.before + time.monotonic() - step.begun
        self._write(step.step, seconds, finished=step.process.returncode == 0)

    def command(self, step: Step) -> list[str]:
        """Return the words of the process of a step."""
        program, *arguments = step.words
        words = [
            str(self._scripts / "configs" / word.removeprefix(CONFIGS))
            if word.startswith(CONFIGS)
            else word
            for word in arguments
        ]
        if program == "scenedino":
            return [sys.executable, "-m", "scenedino_ros.cli", *self._expanded(words)]
        start = [sys.executable, "-m", program]
        if self._processes > 1 and program == "train.train_field":
            start = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node"]
            start += [str(self._processes), "-m", program]
        return [*start, *words]

    def _expanded(self, words: list[str]) -> list[str]:
        """Return words with the paths that patterns stand for, as a shell would."""
        found = []
        for word in words:
            paths = sorted(glob.glob(word, root_dir=self.folder)) if "*" in word else []
            found += paths or [word]
        return found

    def _log(self, step: Step) -> Path:
        return self.folder / "logs" / f"{step.name}.log"

    def _record(self, step: Step) -> Path:
        return self.folder / "steps" / f"{step.name}.json"

    def _seconds(self, step: Step) -> float:
        path = self._record(step)
        return float(read_json(path).get("seconds", 0.0)) if path.exists() else 0.0

    def _write(self, step: Step, seconds: float, *, finished: bool) -> None:
        record = {"words": step.words, "seconds": seconds, "finished": finished}
        write_atomically(self._record(step), (json.dumps(record, indent=2) + "\n").encode())
