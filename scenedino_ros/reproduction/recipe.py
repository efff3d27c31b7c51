# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a table needs: steps, each a command, and rows, each the result of a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.published import PublishedSsc

CONFIGS = "CONFIGS/"  # in a command: stands for the folder train/configs


@dataclass(frozen=True)
class Step:
    """One command, which resumes its own work when it is called again.

    Attributes:
        name: Unique in the recipe; names its log.
        words: The command: ``scenedino`` or ``train.SCRIPT``, and its arguments. Paths are
            relative to the folder of the reproduction.
        needs: Names of the steps that come first.
    """

    name: str
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        method: What is scored.
        steps: Names of the evaluations whose results are the row, one for each seed.
        published: The row of the paper; None: it has none.
    """

    method: str
    steps: tuple[str, ...]
    published: PublishedSsc | None = None


@dataclass(frozen=True)
class Recipe:
    """A table.

    Attributes:
        title: What it shows.
        steps: All steps by name.
        rows: Its rows, in order.
    """

    title: str
    steps: dict[str, Step]
    rows: tuple[Row, ...]

    def order(self, rows: tuple[Row, ...]) -> list[Step]:
        """Return the steps that some rows need, each after those it needs itself."""
        ordered: dict[str, Step] = {}

        def visit(name: str) -> None:
            if name in ordered:
                return
            for other in self.steps[name].needs:
                visit(other)
            ordered[name] = self.steps[name]

        for row in rows:
            for name in row.steps:
                visit(name)
        return list(ordered.values())

    def chosen(self, words: tuple[str, ...]) -> tuple[Row, ...]:
        """Return the rows whose method contains one of some words; all without words.

        Raises:
            InputError: If a word is in no method.
        """
        found = []
        for word in words:
            rows = [row for row in self.rows if word.lower() in row.method.lower()]
            if not rows:
                known = ", ".join(row.method for row in self.rows)
                raise InputError(f"no row has '{word}' in its name; rows: {known}")
            found += rows
        return tuple(dict.fromkeys(found)) if words else self.rows


class RecipeBuilder:
    """Collects the steps and rows of a recipe whose training runs have several seeds.

    Attributes:
        seed: Of the runs that are added next; the names of their steps end with it.
    """

    def __init__(self) -> None:
        """Begin without steps."""
        self.seed = 0
        self._steps: dict[str, Step] = {}
        self._rows: dict[str, list[str]] = {}

    def add(self, name: str, *words: str, needs: Sequence[str] = ()) -> str:
        """Add a step, and return its name."""
        self._steps[name] = Step(name, words, tuple(needs))
        return name

    def learn(self, stage: str, kind: str, config: str, *words: str, needs: Sequence[str]) -> str:
        """Add a training run, and return its name.

        Args:
            stage: ``field`` or ``semantics``.
            kind: What the run is.
            config: File of ``train/configs`` without its ending.
            words: Its other settings.
            needs: Steps that come first.
        """
        name = f"{kind}_{self.seed}"
        start = (f"train.train_{stage}", "--config", f"{CONFIGS}{config}.yaml")
        run = ("--output", f"runs/{name}", "--run.seed", str(self.seed), "--resume")
        return self.add(name, *start, *run, *words, needs=needs)

    def score(self, method: str, kind: str, root: str, run: str, stage: str, *words: str) -> None:
        """Add the evaluation of a run, and its row or its seed of a row.

        Args:
            method: Name of the row.
            kind: Part of the name of the step.
            root: Data that is scored.
            run: The run.
            stage: ``field`` or ``semantics``.
            words: Other options.
        """
        name = f"{kind}_{self.seed}"
        start = ("scenedino", "evaluate", "ssc", root, "--checkpoint", checkpoint(run, stage))
        step = self.add(f"score_{name}", *start, "-o", f"scores/{name}", *words, needs=(run,))
        self._rows.setdefault(method, []).append(step)

    def recipe(self, title: str, published: Mapping[str, PublishedSsc]) -> Recipe:
        """Return the recipe.

        Args:
            title: What the table shows.
            published: Rows of the paper, by the name of the row.
        """
        rows = (
            Row(method, tuple(steps), published.get(method))
            for method, steps in self._rows.items()
        )
        return Recipe(title, self._steps, tuple(rows))


def checkpoint(run: str, stage: str) -> str:
    """Return the checkpoint of a training run of a stage, ``field`` or ``semantics``."""
    return f"runs/{run}/{stage}.safetensors"
