"""The dialect `code`: golden prompts, programs as answers, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ConfigSpace import ConfigurationSpace

from airtune.grammars import SpaceError, program_space
from airtune.models import ModelError, Observation, Problem, Request, load_model
from airtune.models.dialects.code.dialect import CodeDialect
from airtune.models.registry import make_dialect
from tests.golden import check_golden

GOLDEN = Path(__file__).parent / "golden"
PROGRAMS = program_space(
    """
    program: Program = '''
        def fit_predict(train_x, train_y, test_x, seed):
            {scaling}
            return {model: Model}(train_x, train_y, test_x)
        '''
    scaling: Step = scaled: "train_x, test_x = train_x / {factor}, test_x / {factor}" | none: ""
    model: Model = "ridge" | "forest"
    factor: int = 1 .. 9
    """
)
TRIED = [
    Observation({"scaling": "none", "model": "ridge"}, 0.5),
    Observation({"scaling": "scaled", "factor": 3, "factor:2": 4, "model": "forest"}, 0.25),
    Observation({"scaling": "none", "model": "forest"}, None, "failed", "ValueError: </s> is no\nnumber"),
    Observation({"scaling": "scaled", "factor": 2, "factor:2": 2, "model": "ridge"}, None, "asked"),
]
PROBLEM = Problem("taxi", "Durations of rides.", PROGRAMS.space, "mse", tuple(TRIED))


@pytest.mark.parametrize(
    "name",
    ["code", "code+history=none", "code+max_trials=1+budget=9+system=off", "code+default=hidden"],
)
def test_golden_prompts(name: str) -> None:
    check_golden(GOLDEN / f"{name}.txt", make_dialect(name).render(PROBLEM))


def test_the_first_prompt() -> None:
    prompt = CodeDialect().render(replace(PROBLEM, observations=()))
    assert "No program has been tried yet." in prompt
    assert f"```python\n{PROGRAMS.render(PROGRAMS.default())}```" in prompt


def test_without_history_all_prompts_are_one() -> None:
    """The control: programs that are drawn independently of each other."""
    dialect = make_dialect("code+history=none")
    assert dialect.render(PROBLEM) == dialect.render(replace(PROBLEM, observations=()))


def test_answers_are_the_programs_that_are_left() -> None:
    dialect = CodeDialect()
    grammar = dialect.grammar(PROGRAMS.space, [trial.config for trial in TRIED])
    assert grammar.count() == PROGRAMS.count() - 4
    assert all(not grammar.accepts(PROGRAMS.render(trial.config)) for trial in TRIED)
    config = grammar.sample(np.random.default_rng(0))
    assert dialect.parse(PROGRAMS.render(config), grammar) == config
    model = load_model("scripted", dialect="code")
    for answer in model.generate([Request(dialect.render(PROBLEM), grammar, seed) for seed in range(5)]):
        assert answer.finish_reason == "stop"
        assert PROGRAMS.render(model.dialect.parse(answer.text, grammar)) == answer.text


def test_numbers_are_round_until_all_round_ones_were_tried() -> None:
    space = program_space('p: P = "f({n})"  n: int = 1 .. 100 default 37')
    dialect = CodeDialect()
    some = dialect.grammar(space.space)
    left = [some.nth(i) for i in range(some.count())]
    assert len(left) < 25
    assert {"n": 37} in left
    assert {"n": 43} not in left
    assert all(space.accepts(some.encode(config)) for config in left)
    assert dialect.grammar(space.space, left[1:]).count() == 1
    assert dialect.grammar(space.space, left).count() == 100 - len(left)
    assert CodeDialect(values="all").grammar(space.space) == space.grammar()


def test_too_long_a_history_is_thinned() -> None:
    room = len(CodeDialect(max_trials=2).render(PROBLEM)) + PROGRAMS.grammar().max_length
    dialect = CodeDialect(count_tokens=len, max_tokens=room)
    assert "2 of 3 programs so far" in dialect.render(PROBLEM)
    with pytest.raises(ModelError, match="without its history"):
        replace(dialect, max_tokens=100).render(PROBLEM)


def test_other_spaces_and_settings_are_refused() -> None:
    space = ConfigurationSpace({"n": (1, 5)})
    with pytest.raises(SpaceError, match="speaks of programs"):
        CodeDialect().grammar(space)
    with pytest.raises(SpaceError, match="speaks of programs"):
        CodeDialect().render(replace(PROBLEM, space=space, observations=()))
    with pytest.raises(ModelError, match="unknown setting of the code dialect 'reasoning'"):
        make_dialect("code+reasoning=on")
    with pytest.raises(ModelError, match="setting history cannot be 'turns'"):
        make_dialect("code+history=turns")
