# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Runs the steps of a recipe, each in a process of its own; what is done is not done again."""

import glob
import importlib.util
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.reading import read_json
from scenedino_ros.reproduction.recipe import CONFIGS, Step

_SHOWN_LINES = 5  # of the log of a step that failed


@dataclass(frozen=True)
class Done:
    """What is known of a finished step.

    Attributes:
        words: Its command, as the recipe has it.
        seconds: How long it took, all attempts together.
    """

    words: tuple[str, ...]
    seconds: float


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

    def run(self, step: Step) -> None:
        """Run a step, or what is left of it.

        Raises:
            SceneDinoError: If it fails, with the end of its log.
        """
        before = self._seconds(step)
        log = self.folder / "logs" / f"{step.name}.log"
        begun = time.monotonic()
        try:
            with log.open("ab") as file:
                status = subprocess.run(
                    self.command(step), cwd=self.folder, stdout=file, stderr=subprocess.STDOUT
                ).returncode
        finally:
            seconds = before + time.monotonic() - begun
            self._write(step, seconds, finished=False)
        if status:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            end = "\n".join(lines[-_SHOWN_LINES:])
            raise SceneDinoError(
                f"step {step.name} ended with {status}; its log {log} ends:\n{end}"
            )
        self._write(step, seconds, finished=True)

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

    def _record(self, step: Step) -> Path:
        return self.folder / "steps" / f"{step.name}.json"

    def _seconds(self, step: Step) -> float:
        path = self._record(step)
        return float(read_json(path).get("seconds", 0.0)) if path.exists() else 0.0

    def _write(self, step: Step, seconds: float, *, finished: bool) -> None:
        record = {"words": step.words, "seconds": seconds, "finished": finished}
        write_atomically(self._record(step), (json.dumps(record, indent=2) + "\n").encode())
