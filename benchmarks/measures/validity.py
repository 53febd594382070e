"""`airtune bench validity`: the same model with the grammar and without it.

Without it the model writes free text until it ends its turn, or up to a stated number of tokens, and `judge` reads that
as leniently as it can. The search then goes on as a user's own loop would: a valid configuration is evaluated, one
that was tried before gives its loss again, and an answer that is no valid configuration is a failed trial, which the
next prompt shows as it was written, with what is wrong with it. Each has used up one proposal of the budget.

With it, everything else is the same: prompt, seed, temperature, and the judge. Seeds are those of the proposer `lm` of
a comparison (`airtune bench`): with a grammar that is exact, these are its trials.

Searches advance in lock step, as those of a comparison do: a step is proposal i of one prompt, mode and seed on up to
`TASKS_PER_GROUP` tasks, which the model gets as one batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from airtune.benchmarks import get_task
from airtune.benchmarks.measures.json_lines import append_line, read_lines
from airtune.benchmarks.measures.verdicts import USEFUL, judge
from airtune.benchmarks.running.plan import TASKS_PER_GROUP, study_seed
from airtune.engine.evaluation.outcome import evaluate
from airtune.engine.seeds import derive_seed
from airtune.engine.types import Task
from airtune.grammars import AirtuneError, Grammar, canonical_grammar
from airtune.models import Completion, LanguageModel, Observation, Problem, Request, TextRequest, TextWriter
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
# Of a manifest: the dialect is that of a prompt, and the size is that of the files.
_NOT_THE_MODEL = ("dialect", "weights", "weights_bytes")


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
    on_step: Callable[[Sequence[Search]], None] | None = None,
) -> list[Search]:
    """Play all searches and return them.

    Args:
        models: The same model by prompt: under each of some variants of the chat dialect. It must write free text.
        tasks: Their names.
        budget: Proposals of a search; fewer where its space is exhausted.
        seeds: Searches per prompt, mode and task.
        cap: Tokens of a free text, at most.
        temperature: Of sampling; None for the dialect's own.
        path: A JSON-lines file of all answers: the same call resumes from it, and more tasks, prompts, seeds and
            proposals may be asked for.
        on_step: Called with the searches of a group after each of its steps, those of the file too.

    Raises:
        AirtuneError: If an argument makes no sense, a model cannot do it, or the file is of something else.
    """
    dialects = _checked(models, budget, seeds, cap)
    first = next(iter(models.values()))
    setting: dict[str, Any] = {
        "model": {key: value for key, value in first.manifest().items() if key not in _NOT_THE_MODEL},
        "cap": cap,
        "temperature": first.dialect.temperature if temperature is None else temperature,
    }
    setting = json.loads(json.dumps(setting))  # as it is read from a file
    known = {} if path is None else _known(path, setting)
    made = {name: get_task(name) for name in tasks}
    found = []
    for seed, mode, prompt in product(range(seeds), MODES, models):
        asking = _Asking(models[prompt], dialects[prompt], mode, cap, float(setting["temperature"]))
        for start in range(0, len(tasks), TASKS_PER_GROUP):
            group = [
                known.get((prompt, mode, name, seed), Search(prompt, mode, name, seed))
                for name in tasks[start : start + TASKS_PER_GROUP]
            ]
            group = [replace(search, answers=search.answers[:budget]) for search in group]
            for number in range(budget):
                step = _step(asking, made, group, number)
                group = [
                    search if answer is None else replace(search, answers=(*search.answers, answer))
                    for search, answer in zip(group, step, strict=True)
                ]
                for search, answer in zip(group, step, strict=True):
                    if path is not None and answer is not None:
                        append_line(path, _line(search, answer))
                if on_step is not None:
                    on_step(group)
            found += group
    return found


@dataclass(frozen=True, slots=True)
class _Asking:
    """A model, the variant of the chat dialect that it is asked in, and how."""

    model: Any  # a LanguageModel that is also a TextWriter
    dialect: ChatDialect
    mode: str
    cap: int
    temperature: float

    def request(self, problem: Problem, seed: int) -> Request | TextRequest | None:
        """What to ask for a search's next proposal; None if nothing is left to be tried."""
        tried = [o.config for o in problem.observations if o.answer is None]
        grammar = self.dialect.grammar(problem.space, exclude=tried)
        if grammar.count() == 0:
            return None
        prompt = self.dialect.render(problem)
        if self.mode == GRAMMAR:
            return Request(prompt, grammar, seed, self.temperature)
        return TextRequest(prompt, seed, self.temperature, self.cap, self.dialect.format.stops)

    def ask(self, requests: Sequence[Request | TextRequest]) -> list[Completion]:
        """The model's answers, in one batch."""
        answers: list[Completion] = (
            self.model.generate(requests) if self.mode == GRAMMAR else self.model.write(requests)
        )
        return answers


def _step(
    asking: _Asking, tasks: Mapping[str, Task], group: Sequence[Search], number: int
) -> list[Answer | None]:
    """Proposal `number` of those searches of a group that lack it; None for the others.

    All that had it asked are asked again, as the first time: in another batch the model's last bits may differ.
    """
    answers: list[Answer | None] = [None] * len(group)
    if all(len(search.answers) != number for search in group):
        return answers
    asked: list[tuple[int, Request | TextRequest]] = []
    for i, search in enumerate(group):
        if len(search.answers) >= number:  # else its space is exhausted
            request = asking.request(*_problem(tasks[search.task], search, number))
            asked += [] if request is None else [(i, request)]
    said = asking.ask([request for _, request in asked])
    for (i, _), completion in zip(asked, said, strict=True):
        if len(group[i].answers) == number:
            answers[i] = _judged(tasks[group[i].task], group[i], completion)
    return answers


def _problem(task: Task, search: Search, number: int) -> tuple[Problem, int]:
    """What the prompt of proposal `number` tells, and the seed of its draws."""
    grammar = canonical_grammar(task.space)
    seen = tuple(_seen(answer, grammar) for answer in search.answers[:number])
    problem = Problem(task.name, task.description, task.space, task.metric, seen)
    # As `LMProposer` asks at its first attempt.
    return problem, derive_seed(derive_seed(study_seed(task.name, "lm", search.seed), number), 0)


def _judged(task: Task, search: Search, said: Completion) -> Answer:
    """An answer, judged, and evaluated if it is valid and new."""
    before = {answer.chosen: answer for answer in search.answers if answer.chosen is not None}
    verdict = judge(said.text, task.space, before)
    loss, reason = None, verdict.reason or None
    if verdict.text in before:
        loss, reason = before[verdict.text].loss, before[verdict.text].reason
    elif verdict.text is not None:
        outcome = evaluate(task.objective, canonical_grammar(task.space).decode(verdict.text))
        loss, reason = outcome.loss, outcome.reason
    return Answer(
        len(search.answers), said.text, verdict.kind, reason, verdict.text, loss, len(said.token_ids or ()),
        said.prompt_tokens or 0, said.finish_reason,
    )  # fmt: skip


def _seen(answer: Answer, grammar: Grammar) -> Observation:
    """An answer as the next prompt shows it."""
    status = "failed" if answer.loss is None else "told"
    if answer.chosen is None:
        return Observation({}, None, status, answer.reason, answer.text)
    return Observation(grammar.decode(answer.chosen), answer.loss, status, answer.reason)


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
