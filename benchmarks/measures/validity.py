"""`airtune bench validity`: the same model with the grammar and without it.

Without it the model writes free text until it ends its turn, or up to a stated number of tokens, and `judge` reads that
as leniently as it can. The search then goes on as a user's own loop would: a valid configuration is evaluated, one
that was tried before gives its loss again, and an answer that is no valid configuration is a failed trial, which the
next prompt shows as it was written, with what is wrong with it. Each has used up one proposal of the budget.

With it, everything else is the same: prompt, seed, temperature, and the judge. Seeds are those of the proposer `lm` of
a comparison (`airtune bench`): with a grammar that is exact, these are its trials.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from airtune.benchmarks import get_task
from airtune.benchmarks.measures.json_lines import append_line, read_lines
from airtune.benchmarks.measures.verdicts import USEFUL, judge
from airtune.benchmarks.running.plan import study_seed
from airtune.engine.evaluation.outcome import evaluate
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Task
from airtune.grammars import AirtuneError, canonical_grammar
from airtune.models import LanguageModel, Observation, Problem, Request, TextRequest, TextWriter
from airtune.models.dialects.chat.dialect import ChatDialect

PROMPTS = (
    "chat",
    "chat+examples=1",
    "chat+history=turns",
)  # the chat prompt as it is, with an example, as a talk
CAP = 256  # tokens of a free text: more than twice of what the longest configuration of the suites takes
FREE, GRAMMAR = "free text", "grammar"
MODES = (FREE, GRAMMAR)
FILE = "validity.jsonl"


@dataclass(frozen=True, slots=True)
class Answer:
    """One proposal.

    Attributes:
        number: 0, 1, 2, ... within its search.
        text: What the model wrote.
        kind: What it is worth: a key of `airtune.benchmarks.measures.verdicts.KINDS`.
        reason: What is wrong with it, or why its evaluation failed; or None.
        chosen: The canonical text of the configuration that was evaluated, if it was valid.
        loss: What came of it, or None.
        tokens: How many were written.
        prompt_tokens: How many were read.
        finish_reason: "stop", or "length" where it was cut.
    """

    number: int
    text: str
    kind: str
    reason: str | None
    chosen: str | None
    loss: float | None
    tokens: int
    prompt_tokens: int
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Search:
    """One search: a prompt, a mode (one of MODES), a task and a seed, with its answers in order."""

    prompt: str
    mode: str
    task: str
    seed: int
    answers: tuple[Answer, ...] = ()

    @property
    def useful(self) -> int:
        """How many of the answers were valid and new."""
        return sum(answer.kind in USEFUL for answer in self.answers)

    @property
    def best(self) -> float | None:
        """The least loss, or None without any."""
        return min((answer.loss for answer in self.answers if answer.loss is not None), default=None)


def measure_validity(
    models: Mapping[str, LanguageModel],
    tasks: Sequence[str],
    *,
    budget: int = 10,
    seeds: int = 1,
    cap: int = CAP,
    temperature: float | None = None,
    path: Path | None = None,
    on_search: Callable[[Search], None] | None = None,
) -> list[Search]:
    """Play all searches, task by task, and return them.

    Args:
        models: The same model by prompt: under each of some variants of the chat dialect. It must write free text.
        tasks: Their names.
        budget: Proposals of a search; fewer where its space is exhausted.
        seeds: Searches per prompt, mode and task.
        cap: Tokens of a free text, at most.
        temperature: Of sampling; None for the dialect's own.
        path: A JSON-lines file of all answers: the same call resumes from it, and more tasks, prompts, seeds and
            proposals may be asked for.
        on_search: Called with every search that is complete, those of the file too.

    Raises:
        AirtuneError: If an argument makes no sense, a model cannot do it, or the file is of something else.
    """
    dialects = _checked(models, budget, seeds, cap)
    first = next(iter(models.values()))
    setting: dict[str, Any] = {
        "model": {key: value for key, value in first.manifest().items() if key != "dialect"},
        "cap": cap,
        "temperature": first.dialect.temperature if temperature is None else temperature,
    }
    setting = json.loads(json.dumps(setting))  # as it is read from a file
    known = {} if path is None else _known(path, setting)
    found = []
    for seed in range(seeds):
        for name in tasks:
            task = get_task(name)
            for prompt, model in models.items():
                asking = _Asking(model, dialects[prompt], cap, float(setting["temperature"]))
                for mode in MODES:
                    search = known.get((prompt, mode, name, seed), Search(prompt, mode, name, seed))
                    search = replace(search, answers=search.answers[:budget])
                    for answer in _rest(asking, task, search, budget):
                        search = replace(search, answers=(*search.answers, answer))
                        if path is not None:
                            append_line(path, _line(search, answer))
                    found.append(search)
                    if on_search is not None:
                        on_search(search)
    return found


@dataclass(frozen=True, slots=True)
class _Asking:
    """A model, the variant of the chat dialect that it is asked in, and how."""

    model: Any  # a LanguageModel that is also a TextWriter
    dialect: ChatDialect
    cap: int
    temperature: float

    def ask(self, mode: str, problem: Problem, tried: Sequence[Mapping[str, Any]], seed: int) -> Any:
        """The model's answer, a `Completion`; or None if nothing is left to be tried."""
        grammar = self.dialect.grammar(problem.space, exclude=tried)
        if grammar.count() == 0:
            return None
        prompt = self.dialect.render(problem)
        if mode == GRAMMAR:
            (answer,) = self.model.generate([Request(prompt, grammar, seed, self.temperature)])
        else:
            stops = self.dialect.format.stops
            (answer,) = self.model.write([TextRequest(prompt, seed, self.temperature, self.cap, stops)])
        return answer


def _rest(asking: _Asking, task: Task, search: Search, budget: int) -> Iterator[Answer]:
    """The answers that a search lacks."""
    grammar = canonical_grammar(task.space)
    answers = list(search.answers)
    start = study_seed(task.name, "lm", search.seed)
    for number in range(len(answers), budget):
        losses = {one.chosen: one for one in answers if one.chosen is not None}
        configs = {text: grammar.decode(text) for text in losses}
        seen = tuple(_seen(one, configs) for one in answers)
        problem = Problem(task.name, task.description, task.space, task.metric, seen)
        seed = derive_seed(derive_seed(start, number), 0)  # as `LMProposer` asks at its first attempt
        said = asking.ask(search.mode, problem, list(configs.values()), seed)
        if said is None:
            return
        verdict = judge(said.text, task.space, losses)
        loss, reason = None, verdict.reason or None
        if verdict.text in losses:
            loss, reason = losses[verdict.text].loss, losses[verdict.text].reason
        elif verdict.text is not None:
            outcome = evaluate(task.objective, grammar.decode(verdict.text))
            loss, reason = outcome.loss, outcome.reason
        answer = Answer(
            number, said.text, verdict.kind, reason, verdict.text, loss, len(said.token_ids or ()),
            said.prompt_tokens or 0, said.finish_reason,
        )  # fmt: skip
        answers.append(answer)
        yield answer


def _seen(answer: Answer, configs: Mapping[str, Mapping[str, Any]]) -> Observation:
    """An answer as the next prompt shows it."""
    status = "failed" if answer.loss is None else "told"
    if answer.chosen is None:
        return Observation({}, None, status, answer.reason, answer.text)
    return Observation(configs[answer.chosen], answer.loss, status, answer.reason)


def _checked(
    models: Mapping[str, LanguageModel], budget: int, seeds: int, cap: int
) -> dict[str, ChatDialect]:
    """The models' dialects by prompt, with room for the longest free text."""
    for name, value in {"budget": budget, "seeds": seeds, "cap": cap, "prompts": len(models)}.items():
        if value < 1:
            raise AirtuneError(f"{name} must be 1 or more, not {value}", value=value, allowed="1, 2, ...")
    dialects = {}
    for prompt, model in models.items():
        dialect = model.dialect
        if not isinstance(dialect, ChatDialect) or dialect.names == "hidden" or dialect.reasoning == "on":
            raise AirtuneError(
                f"free text in the dialect {dialect.name!r} is not measured",
                value=dialect.name,
                allowed="the chat dialect, without names=hidden and reasoning=on",
                hint=f"for example --prompts {','.join(PROMPTS)}",
            )
        if not isinstance(model, TextWriter):
            raise AirtuneError(
                f"the model {model.name!r} cannot write free text",
                value=model.name,
                allowed="models of the backends transformers, llama_cpp, vllm, openai and scripted",
                hint="choose another --model",
            )
        room = dialect.max_tokens
        dialects[prompt] = dialect if room is None else replace(dialect, max_tokens=room - cap)
    return dialects


def _line(search: Search, answer: Answer) -> dict[str, Any]:
    return {
        "prompt": search.prompt, "mode": search.mode, "task": search.task, "seed": search.seed, **asdict(answer)
    }  # fmt: skip


def _known(path: Path, setting: Mapping[str, Any]) -> dict[tuple[str, str, str, int], Search]:
    """The searches in a file, by prompt, mode, task and seed; a new file gets the setting as its first line."""
    head, *lines = read_lines(path) or [{}]
    if not head:
        append_line(path, setting)
        return {}
    other = [key for key in setting if head.get(key) != setting[key]]
    if other:
        raise AirtuneError(
            f"{str(path)!r} holds answers of another {' and '.join(other)}",
            value={key: setting[key] for key in other},
            allowed=str({key: head.get(key) for key in other}),
            hint="choose another folder (--out)",
        )
    searches: dict[tuple[str, str, str, int], Search] = {}
    for line in lines:
        answer = Answer(**{field.name: line[field.name] for field in fields(Answer)})
        key = (line["prompt"], line["mode"], line["task"], line["seed"])
        search = searches.get(key, Search(*key))
        searches[key] = replace(search, answers=(*search.answers, answer))
    return searches
