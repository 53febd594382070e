"""What a chat model is fine-tuned on."""

import numpy as np
import pytest

from airtune.grammars import DecodeError, space_grammar
from airtune.models.finetuning.episodes import HYPERPARAMETERS, TRIALS, draw_episode
from airtune.models.pocket.training.curriculum import split_tables


def test_a_seed_gives_the_same_episode() -> None:
    tables = split_tables()[0]
    first, again, other = (draw_episode(np.random.default_rng(s), tables) for s in (1, 1, 2))
    assert (first.problem.observations, first.answers) == (again.problem.observations, again.answers)
    assert first.problem.observations != other.problem.observations


@pytest.mark.parametrize("with_tables", [True, False])
def test_trials_and_answers_are_configurations_of_the_space(with_tables: bool) -> None:
    """Choices that are no strings, inactive hyperparameters and ends of cut ranges must all be in the space."""
    tables = split_tables()[0] if with_tables else {}
    lengths, hidden, new = set(), 0, 0
    for seed in range(60):
        episode = draw_episode(np.random.default_rng(seed), tables)
        space, tried = episode.problem.space, episode.problem.observations
        assert len(space) <= HYPERPARAMETERS
        assert len(tried) <= TRIALS
        every = space_grammar(space)
        for config in [*(t.config for t in tried), *episode.answers]:
            assert every.accepts(every.encode(every.snap(config)))
        assert all((t.loss is None) == (t.status == "failed") for t in tried)
        assert all(t.loss is None or t.loss >= 0 for t in tried)
        hidden += "x1" in space
        lengths.add(len(tried))
        left = space_grammar(space, [t.config for t in tried])
        for config in episode.answers:
            try:
                new += bool(left.encode(left.snap(config)))
            except DecodeError:
                continue
    assert {0, TRIALS} & lengths
    assert len(lengths) > 10
    assert new > 120  # of 180: most are new
    assert (0 < hidden < 40) if with_tables else hidden == 60


def test_the_answers_are_better_than_the_trials() -> None:
    """The answers must be drawn by the function's values, not at random: on a valley they lie in it."""
    closer = 0
    for seed in range(40):
        episode = draw_episode(np.random.default_rng(seed), {})
        told = [t for t in episode.problem.observations if t.loss is not None]
        numbers = [n for n, hp in episode.problem.space.items() if hasattr(hp, "upper")]
        if len(told) < 8 or not numbers:
            continue

        def place(config: dict, names: list = numbers, space=episode.problem.space) -> np.ndarray:
            return np.array([space[n].to_vector(config[n]) for n in names])

        best = place(dict(min(told, key=lambda t: t.loss).config))
        worst = place(dict(max(told, key=lambda t: t.loss).config))
        answer = place(dict(episode.answers[0]))
        closer += 1 if np.abs(answer - best).sum() < np.abs(answer - worst).sum() else -1
    assert closer >= 8  # by chance 0 +- 5
