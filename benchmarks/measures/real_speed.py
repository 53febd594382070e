"""Speed of a real chat model, side by side in one process: the same files, prompts, grammars and threads.

`with_and_without_cache` is our `transformers` backend against itself, `against_generate` against transformers' own
`generate` with outlines' logits processor. Every proposal is another one, with a trial more than the last: that is
what a search asks. Comparisons with other engines are functions of their own that `measure` calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from airtune.benchmarks import get_task
from airtune.benchmarks.measures.speed import Ratio, history_of, side_by_side
from airtune.grammars import AirtuneError, space_grammar
from airtune.models import Dialect, LanguageModel, Observation, Problem, Request
from airtune.models.spec import parse_spec

TRIALS = (10, 30)


def search_requests(dialect: Dialect, task: str, trials: int, number: int) -> list[Request]:
    """The requests of a search from `trials` told trials on, each with one trial more: random ones, made-up losses.

    Args:
        dialect: Writes the prompts.
        task: The task's name.
        trials: Of the first request.
        number: How many requests.
    """
    found = get_task(task)
    told = [Observation(t.config, t.loss) for t in history_of(found, trials + number - 1)]
    made = []
    for n in range(trials, trials + number):
        problem = Problem(found.name, found.description, found.space, found.metric, tuple(told[:n]))
        grammar = space_grammar(found.space, [one.config for one in told[:n]])
        made.append(Request(dialect.render(problem), grammar, seed=n))
    return made


def one_by_one(model: LanguageModel, requests: Sequence[Request]) -> Callable[[], None]:
    """A call answers the next of the requests, and sees that the answer is one."""
    rounds = count()

    def propose() -> None:
        request = requests[next(rounds)]
        (answer,) = model.generate([request])
        if not request.grammar.accepts(answer.text):
            raise AirtuneError("an answer is not in the grammar's language", value=answer.text)

    return propose


def with_and_without_cache(model: str, task: str, repeats: int) -> list[Ratio]:
    """Ours with its prefix cache against prompts read whole, as they are without blocks."""
    spec = parse_spec(model)
    kept, whole = spec.load(), spec.load(prefix_block=0)
    threads = kept.manifest()["settings"]["threads"]
    ratios = []
    for trials in TRIALS:
        requests = search_requests(kept.dialect, task, trials, repeats + 1)
        what = (
            f"proposal, {task}, {trials} trials, {spec.label}, threads={threads}: prefix cache against none"
        )
        ours, theirs = one_by_one(kept, requests), one_by_one(whole, requests)
        ratios.append(side_by_side(what, ours, theirs, repeats))
    return ratios


def against_generate(model: str, task: str, repeats: int) -> list[Ratio]:
    """Ours against `generate` with outlines' processor, which may repeat a trial.

    Its index of the grammar without those that were tried takes minutes, and every proposal would need its own: it is
    given the space's grammar, and builds the index once, which is not part of the time.
    """
    try:
        import outlines
        from outlines.backends.outlines_core import OutlinesCoreBackend, OutlinesCoreLogitsProcessor
    except ImportError as error:
        raise AirtuneError(
            f"this comparison needs outlines ({error})", hint="pip install 'airtune[engines]'"
        ) from error
    import torch
    from transformers import LogitsProcessorList

    from airtune.models.backends.determinism import torch_threads

    spec = parse_spec(model)
    loaded: Any = spec.load()
    backend = OutlinesCoreBackend(outlines.from_transformers(loaded.model, loaded.tokenizer))
    grammar = space_grammar(get_task(task).space)
    index = backend.get_regex_logits_processor(grammar.regex()).index
    ratios = []
    for trials in TRIALS:
        requests = search_requests(loaded.dialect, task, trials, repeats + 1)
        rounds = count()

        def theirs(requests: Sequence[Request] = requests, rounds: Any = rounds) -> None:
            ids = loaded.prompts.encode(requests[next(rounds)].prompt)
            with torch_threads(loaded.threads):
                whole = loaded.model.generate(
                    input_ids=torch.tensor([ids]),
                    attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
                    logits_processor=LogitsProcessorList([OutlinesCoreLogitsProcessor(index, "torch")]),
                    do_sample=True, top_k=0, top_p=1.0, temperature=1.0, max_new_tokens=grammar.max_length + 1,
                )  # fmt: skip
            text = loaded.tokenizer.decode(whole[0, len(ids) :], skip_special_tokens=True)
            if not grammar.accepts(text):
                raise AirtuneError("an answer is not in the grammar's language", value=text)

        what = f"proposal, {task}, {trials} trials, {spec.label}: ours against generate + outlines"
        ratios.append(side_by_side(what, one_by_one(loaded, requests), theirs, repeats))
    return ratios


def measure_real(model: str, task: str, repeats: int) -> list[Ratio]:
    """All comparisons of this module.

    Args:
        model: A chat model in one word, see `airtune.models.spec`: ./smollm2@chat+history=turns.
        task: Whose proposals.
        repeats: Measurements of each pair.

    Raises:
        AirtuneError: If the model reads its prompts whole, so that there is no cache to measure.
    """
    if model == "pocket":
        raise AirtuneError(
            "this comparison is of a real chat model",
            value=model,
            allowed="a checkpoint of more than 100 million weights",
            hint="name its directory with --model",
        )
    return [*with_and_without_cache(model, task, repeats), *against_generate(model, task, repeats)]
