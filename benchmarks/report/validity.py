"""The report of `airtune bench validity`: what free text is worth beside the grammar, as tables, JSON and a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from airtune.benchmarks.analysis.significance import holm
from airtune.benchmarks.analysis.statistics import Array, Estimate, curve_bands, outcomes
from airtune.benchmarks.analysis.table import Cell, Column, Table
from airtune.benchmarks.measures.validity import FREE, GRAMMAR, Search
from airtune.benchmarks.measures.verdicts import KINDS, USEFUL
from airtune.benchmarks.report.style import ACCENT, GREY, INK, OTHERS, PAPER
from airtune.benchmarks.tasks.clusters import task_cluster

# Blue is what a search can use, grey is wasted, the rest is wrong.
_COLOURS = dict(
    zip(KINDS, (ACCENT, OTHERS[4], GREY, OTHERS[5], OTHERS[3], OTHERS[2], OTHERS[0], OTHERS[1]), strict=True)
)


@dataclass(frozen=True, slots=True)
class Arm:
    """The searches of one prompt in one mode, or of all prompts under the grammar.

    Attributes:
        prompt: The dialect; "all prompts".
        mode: "free text" or "grammar".
        proposals: How many there were.
        counts: Of them, by kind.
        shares: The same in percent, the mean over searches.
        useful: Valid and new proposals of a search.
        tokens: Written per proposal.
        tokens_per_useful: Written per valid and new proposal; None where there was none.
        wins: Of free text, tasks on which its best loss is below the grammar's under the same prompt.
        ties: Tasks on which it is equal.
        losses: Tasks on which it is above, or there is none.
        p: Of a two-sided sign test over the tasks, ties left out, by Holm's procedure over the prompts.
    """

    prompt: str
    mode: str
    proposals: int
    counts: Mapping[str, int]
    shares: Mapping[str, Estimate]
    useful: Estimate
    tokens: Estimate
    tokens_per_useful: float | None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    p: float | None = None


@dataclass(frozen=True, slots=True)
class ValidityReport:
    """What was found.

    Attributes:
        tasks: Their names.
        seeds: Searches per prompt, mode and task.
        budget: Proposals of a search.
        arms: By prompt, free text and then the grammar; the last is the grammar under all prompts.
    """

    tasks: tuple[str, ...]
    seeds: int
    budget: int
    arms: tuple[Arm, ...]

    @property
    def free(self) -> list[Arm]:
        """The arms of free text."""
        return [arm for arm in self.arms if arm.mode == FREE]

    @property
    def best(self) -> Arm:
        """Free text under the prompt that makes the most of it, by valid and new proposals: chosen by these figures."""
        return max(self.free, key=lambda arm: arm.useful.value)

    @property
    def broken(self) -> int:
        """Answers under the grammar that were not valid and new: none, where it is exact."""
        pooled = self.arms[-1]
        return pooled.proposals - sum(pooled.counts[kind] for kind in USEFUL)

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "tasks": list(self.tasks),
            "seeds": self.seeds,
            "budget": self.budget,
            "best_prompt": self.best.prompt,
            "arms": [_without_nan(asdict(arm)) for arm in self.arms],
        }

    def tables(self) -> list[Table]:
        """What the answers were, and what the searches got from them."""
        return [self._kinds(), self._bought()]

    def words(self) -> list[str]:
        """What the tables do not say."""
        return [
            f"{len(self.tasks)} tasks, {self.seeds} seeds, {self.budget} proposals a search. In brackets: 95 % "
            "bootstrap over tasks and seeds.",
            f"Best of the prompts without the grammar, by these figures: {self.best.prompt}.",
        ]

    def figure(self) -> Any:
        """Stacked bars of the kinds, one per prompt and one of the grammar."""
        from matplotlib.figure import Figure

        arms = [*self.free, self.arms[-1]][::-1]
        figure = Figure(figsize=(7.4, 1.35 + 0.42 * len(arms)))
        axes = figure.add_axes(
            (0.24, 0.62 / figure.get_figheight(), 0.74, 0.42 * len(arms) / figure.get_figheight())
        )
        start = np.zeros(len(arms))
        for kind, words in KINDS.items():
            widths = np.array([arm.shares[kind].value for arm in arms])
            axes.barh(
                range(len(arms)), widths, 0.72, start, color=_COLOURS[kind], ec=PAPER, lw=0.8, label=words
            )
            for y, width in enumerate(widths):
                if width >= 5:
                    axes.text(
                        start[y] + width / 2,
                        y,
                        f"{width:.0f}",
                        ha="center",
                        va="center",
                        color=PAPER,
                        fontsize=8.5,
                    )
            start += widths
        axes.set_yticks(range(len(arms)), [_label(arm) for arm in arms])
        axes.set_xlim(0, 100)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("% of proposals", color=INK)
        figure.legend(
            loc="upper center", ncols=4, frameon=False, fontsize=7.6, handlelength=1, columnspacing=1.2
        )
        return figure

    def _kinds(self) -> Table:
        arms = [*self.free, self.arms[-1]]
        rows = [
            [
                Cell(words, "", words, "name"),
                *(_estimate(arm.shares[kind], f"{arm.counts[kind]}", digits=0) for arm in arms),
            ]
            for kind, words in KINDS.items()
        ]
        heads = [*(arm.prompt for arm in self.free), "grammar"]
        columns = [Column("% of proposals", number=False), *map(Column, heads)]
        return Table("what the answers in free text were, and with the grammar", columns, rows)

    def _bought(self) -> Table:
        heads = ["tokens each", "tokens per valid", "win/tie/loss", "p"]
        columns = [Column("", number=False), Column(f"valid and new of {self.budget}"), *map(Column, heads)]
        rows = []
        for arm in self.arms[:-1]:
            spent = "-" if arm.tokens_per_useful is None else f"{arm.tokens_per_useful:.0f}"
            against = "-" if arm.wins is None else f"{arm.wins}/{arm.ties}/{arm.losses}"
            row = [
                Cell(arm.prompt, arm.mode, f"{arm.prompt}, {arm.mode}", "name"), _estimate(arm.useful),
                _estimate(arm.tokens, digits=0), Cell(spent), Cell(against),
                Cell("-" if arm.p is None else f"{arm.p:.2g}"),
            ]  # fmt: skip
            rows.append(row)
        title = f"what {self.budget} proposals bought, and best losses of free text against the grammar"
        return Table(title, columns, rows)


def validity_report(searches: Sequence[Search]) -> ValidityReport:
    """The report of complete searches: all prompts and modes on the same tasks and seeds.

    Best losses are compared task by task, the mean over seeds; a search that found nothing valid has lost.
    """
    found = {(one.prompt, one.mode, one.task, one.seed): one for one in searches}
    prompts, tasks = (
        list(dict.fromkeys(s.prompt for s in searches)),
        list(dict.fromkeys(s.task for s in searches)),
    )
    seeds = range(1 + max(s.seed for s in searches))
    keys = [(prompt, mode) for prompt in prompts for mode in (FREE, GRAMMAR)]
    grid = [[[found[prompt, mode, task, seed] for seed in seeds] for task in tasks] for prompt, mode in keys]
    figures = np.array([[[_figures(one) for one in row] for row in arm] for arm in grid])
    pooled = figures[1::2].mean(axis=0, keepdims=True)
    bands = curve_bands(np.concatenate([figures, pooled]), [task_cluster(task) for task in tasks])
    against = _against(grid)
    arms = []
    for a, (prompt, mode) in enumerate([*keys, ("all prompts", GRAMMAR)]):
        mine = [one for arm in (grid[a : a + 1] or grid[1::2]) for row in arm for one in row]
        counts = Counter(answer.kind for one in mine for answer in one.answers)
        useful, tokens, *shares = (
            Estimate(float(value), float(low), float(high))
            for value, low, high in zip(*(band[a] for band in bands), strict=True)
        )
        number, written = sum(one.useful for one in mine), sum(x.tokens for one in mine for x in one.answers)
        arm = Arm(
            prompt, mode, counts.total(), {kind: counts[kind] for kind in KINDS},
            dict(zip(KINDS, shares, strict=True)), useful, tokens, written / number if number else None,
            *(against[prompt] if mode == FREE else ()),
        )  # fmt: skip
        arms.append(arm)
    return ValidityReport(tuple(tasks), len(seeds), max(len(s.answers) for s in searches), tuple(arms))


def _figures(search: Search) -> list[float]:
    """Valid and new proposals of a search, tokens per proposal, and the percentage of each kind."""
    answers = search.answers
    kinds = Counter(answer.kind for answer in answers)
    mean = sum(answer.tokens for answer in answers) / len(answers)
    return [float(search.useful), mean, *(100.0 * kinds[kind] / len(answers) for kind in KINDS)]


def _against(grid: Sequence[Sequence[Sequence[Search]]]) -> dict[str, tuple[int, int, int, float]]:
    """Free text against the grammar, by prompt: tasks won, tied and lost, and the p-value."""
    from scipy.stats import binomtest

    known = np.array(
        [[[np.nan if one.best is None else one.best for one in row] for row in arm] for arm in grid]
    )
    worst = np.nanmax(known, axis=(0, 2), initial=0.0) + 1.0  # by task: worse than anything that was seen
    means: Array = np.where(np.isnan(known), worst[None, :, None], known).mean(axis=2)
    counts = []
    for free, grammar in zip(means[::2], means[1::2], strict=True):
        signs = outcomes(free, grammar)
        counts.append((int((signs > 0).sum()), int((signs == 0).sum()), int((signs < 0).sum())))
    p = holm(
        [float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0 for wins, _, losses in counts]
    )
    prompts = [arm[0][0].prompt for arm in grid[::2]]
    return {prompt: (*three, value) for prompt, three, value in zip(prompts, counts, p, strict=True)}


def _estimate(one: Estimate, number: str = "", digits: int = 1) -> Cell:
    interval = f"[{one.low:.{digits}f}, {one.high:.{digits}f}]"
    return Cell(f"{one.value:.{digits}f}", f"{number} {interval}".strip(), one.value)


def _label(arm: Arm) -> str:
    """An arm in few words."""
    return arm.prompt if arm.mode == FREE else "with grammar"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
