"""Does an answer depend on what else is in its batch? A test of a loaded model, run when it starts.

Matrix products and attention kernels may round otherwise in another batch, so that the same request gets another
answer where other studies ask at the same time. Backends have settings against that; whether they hold depends on
the model, its dtype, the kernels and the machine. So it is tried, on the model itself, with its own prompts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

from airtune.models.types import Completion, LanguageModel, ModelError, Observation, Problem, Request

MODES = ("off", "strict", "warn")
_TRIALS = (
    0,
    1,
    2,
    3,
    5,
    8,
    13,
    21,
)  # lengths of the histories: prompts of several lengths that share prefixes
# Taken at import: vLLM replaces the function in torch by one that does nothing, for all of the process.
_set_num_threads = torch.set_num_threads


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Use `number` threads of torch (None: as many as now) for one call: they decide the last bits on the CPU."""
    before = torch.get_num_threads()
    if number is not None:
        _set_num_threads(number)
    try:
        yield
    finally:
        _set_num_threads(before)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the test found.

    Attributes:
        requests: How many requests were generated alone, together, together in reverse, and together again.
        answers_differ: How many of them had another text somewhere.
        bits_differ: How many had another text or other log-probabilities, to the last bit.
        first: Where a request differed first: "together", "reversed" or "again"; None if nowhere.
    """

    requests: int
    answers_differ: int
    bits_differ: int
    first: str | None

    @property
    def passed(self) -> bool:
        """Whether every answer was the same, bit for bit, in any batch."""
        return self.bits_differ == 0

    def json(self) -> dict[str, Any]:
        """For a manifest."""
        return {"passed": self.passed, **asdict(self)}


def read_mode(value: object) -> str:
    """The setting `deterministic` as one of MODES; True is "strict", False is "off".

    Raises:
        ModelError: If it is none of these.
    """
    mode = {True: "strict", False: "off"}.get(value, value) if isinstance(value, bool) else value
    if mode not in MODES:
        raise ModelError.unknown("value of deterministic", value, MODES)
    return str(mode)


def self_test(model: LanguageModel) -> SelfTest:
    """Generate the same requests alone, together, in the other order, and together again."""
    requests = probes(model)
    alone = [model.generate([request])[0] for request in requests]
    runs = {
        "together": model.generate(requests),
        "reversed": model.generate(requests[::-1])[::-1],
        "again": model.generate(requests),
    }
    answers: set[int] = set()
    bits: set[int] = set()
    first = None
    for name, run in runs.items():
        for i, (one, other) in enumerate(zip(alone, run, strict=True)):
            if _bits(one) != _bits(other):
                bits.add(i)
                first = first or name
            if one.text != other.text:
                answers.add(i)
    return SelfTest(len(requests), len(answers), len(bits), first)


def require_deterministic(model: LanguageModel, mode: str) -> SelfTest | None:
    """Run the test and act on it: "strict" refuses a model that fails, "warn" says so, "off" runs nothing.

    Raises:
        ModelError: If the test fails and `mode` is "strict".
    """
    if mode == "off":
        return None
    found = self_test(model)
    if found.passed:
        return found
    difference = (
        f"answers of {model.name!r} depend on what is generated beside them: of {found.requests} test requests, "
        f"{found.answers_differ} had another answer and {found.bits_differ} other bits "
        f"(first seen when run {found.first})"
    )
    if mode == "strict":
        raise ModelError(
            difference,
            value=found.bits_differ,
            allowed="0 requests that differ",
            hint="try dtype=float32 and threads=1 (bfloat16 depends on the batch where the processor has AMX), or "
            "deterministic=warn to go on regardless",
        )
    warnings.warn(f"{difference}; going on, as asked (deterministic=warn)", stacklevel=3)
    return found


def probes(model: LanguageModel) -> list[Request]:
    """Requests over one small space, in the model's own dialect, with histories of several lengths."""
    space = ConfigurationSpace()
    kernel = Categorical("kernel", ["rbf", "linear"])
    gamma = Float("gamma", (1e-4, 1.0), log=True)
    space.add(kernel, gamma, Float("C", (1e-3, 1e3), log=True), Integer("depth", (1, 30)))
    space.add(EqualsCondition(gamma, kernel, "rbf"))
    space.seed(0)
    tried = [dict(config) for config in space.sample_configuration(max(_TRIALS))]
    observations = tuple(Observation(config, 1.0 / (1 + i)) for i, config in enumerate(tried))
    dialect = model.dialect
    requests = []
    for seed, n in enumerate(_TRIALS):
        problem = Problem("self-test", "", space, "loss", observations[:n])
        grammar = dialect.grammar(space, exclude=tried[:n])
        requests.append(Request(dialect.render(problem), grammar, seed, dialect.temperature))
    return requests


def _bits(completion: Completion) -> tuple[object, ...]:
    return completion.token_ids, completion.logprobs, completion.text
