# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a table needs: steps, each a command, and rows, each the result of a step."""

from collections.abc import Sequence
from dataclasses import dataclass

from scenedino_ros.core.errors import InputError
from scenedino_ros.reproduction.measures import Measures, Published

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
        part: Which part of their scores is the row, where one evaluation compares several things.
        published: What the paper has in the published columns of the table; empty: no such row.
    """

    method: str
    steps: tuple[str, ...]
    part: str = ""
    published: Published = ()


@dataclass(frozen=True)
class Recipe:
    """A table.

    Attributes:
        data: What it is made from.
        measures: What it shows.
        steps: All steps by name.
        rows: Its rows, in order.
        left_out: Rows of the paper that cannot be made, and why; a sentence, or nothing.
    """

    data: str
    measures: Measures
    steps: dict[str, Step]
    rows: tuple[Row, ...]
    left_out: str = ""

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
        self._rows: dict[str, Row] = {}

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

    def evaluate(
        self, table: str, kind: str, data: str, weights: str, *words: str, needs: Sequence[str]
    ) -> str:
        """Add an evaluation, and return its name.

        Args:
            table: Of `scenedino evaluate`.
            kind: Part of the name of the step.
            data: What is scored on.
            weights: The checkpoint.
            words: Other options.
            needs: Steps that come first.
        """
        name = f"{kind}_{self.seed}"
        start = ("scenedino", "evaluate", table, data, "--checkpoint", weights)
        words = (*start, "-o", f"scores/{name}", *words)
        return self.add(f"score_{name}", *words, needs=needs)

    def row(self, method: str, step: str, part: str = "", published: Published = ()) -> None:
        """Add a row, or an evaluation of another seed to a row.

        Args:
            method: Name of the row.
            step: The evaluation.
            part: As `Row.part`.
            published: As `Row.published`.
        """
        steps = self._rows[method].steps if method in self._rows else ()
        self._rows[method] = Row(method, (*steps, step), part, published)

    def recipe(self, data: str, measures: Measures, left_out: str = "") -> Recipe:
        """Return the recipe; arguments as the attributes of `Recipe`."""
        return Recipe(data, measures, self._steps, tuple(self._rows.values()), left_out)


def checkpoint(run: str, stage: str) -> str:
    """Return the checkpoint of a training run of a stage, ``field`` or ``semantics``."""
    return f"runs/{run}/{stage}.safetensors"
