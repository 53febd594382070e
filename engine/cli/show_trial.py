"""`airtune show STUDY --trial N`: one trial, its program if it is one, and how a language model came to propose it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from airtune.engine.cli.output import (
    config_words,
    loss_text,
    print_json,
    print_lines,
    seconds_text,
    trial_json,
)
from airtune.engine.cli.programs import difference_lines, program_lines, program_source, stored_programs

if TYPE_CHECKING:
    from rich.text import Text

    from airtune.engine import StudyFile
    from airtune.engine.storage.study_file import StudyRecord, TrialRecord
    from airtune.engine.types import Trial

Reader: TypeAlias = Callable[[str], dict[str, Any] | None]  # from a model's answer to the configuration
Words: TypeAlias = Callable[[Mapping[str, Any]], str]  # a configuration on one line
# What a trial's origin means, where its name does not say it.
ORIGINS = {
    "first": "you (--try, first=)",
    "default": "the space's defaults",
    "lm+gp": "lm+gp: the model's candidate",
    "lm+gp:gp": "lm+gp: the process's candidate",
}


def show_trial(file: StudyFile, record: StudyRecord, number: int, as_json: bool) -> None:
    """Print one trial of a study.

    Raises:
        StoreError: If there is no such trial.
    """
    records = stored_trials(file, record, number)
    found, transcript = records[number], file.transcripts(record.name).get(number)
    read = _reader(record, () if transcript is None else (transcript,))
    candidates = _candidates(found, transcript or {}, read)
    programs, best = stored_programs(record.manifest), best_before(records.values(), number)
    source = program_source(record.manifest, programs, found.trial.config)
    if as_json:
        fields: dict[str, Any] = {"origin": found.origin, "text": found.text, "log": found.log}
        fields["transcript"] = transcript
        if source is not None:
            fields |= {"program": source, "best_before": None if best is None else best.number}
        if candidates:
            fields["candidates"] = candidates
        print_json(
            {"study": record.name, **trial_json(found.trial), **fields, "pending": list(found.pending)}
        )
        return
    trial, words = found.trial, partial(config_words, programs)
    said = words(trial.config) if programs or source is None else "free"
    lines: list[str | Text] = [
        f"trial {number} of study {record.name!r}: {trial.status}",
        f"  {'configuration' if source is None else 'program      '}  {said}",
        f"  proposed by    {ORIGINS.get(found.origin, found.origin)} in {seconds_text(trial.proposal_s)} s",
        f"  evaluated in   {seconds_text(trial.evaluation_s)} s",
    ]
    if found.pending:
        lines.append(f"  without        the results of trials {', '.join(map(str, found.pending))}")
    if trial.loss is not None:
        lines.append(f"  {record.manifest['metric']:<14} {trial.loss!r}")
    lines += [f"  {name:<14} {loss_text(value, 2000)}" for name, value in trial.info.items()]
    if trial.reason is not None:
        lines.append(f"  reason         {trial.reason}")
    lines += _candidate_lines(candidates, words)
    if source is not None:
        before = None if best is None else program_source(record.manifest, programs, best.config)
        lines += ["program", *program_lines(source), *_difference(before, source, best)]
    if transcript is not None:
        lines += _transcript_lines(transcript, partial(_said, read=read, words=words, source=source))
    lines += _section("log", found.log.rstrip()) if found.log else []
    print_lines(lines)


def stored_trials(file: StudyFile, record: StudyRecord, number: int) -> dict[int, TrialRecord]:
    """The trials of a study by number, among which there must be this one.

    Raises:
        StoreError: If there is no such trial.
    """
    from airtune.engine import StoreError

    records = {one.trial.number: one for one in file.records(record.name)}
    if number not in records:
        known = f"0 to {max(records)}" if records else "none: no trial was asked yet"
        raise StoreError(
            f"study {record.name!r} has no trial {number}",
            value=number,
            allowed=known,
            hint=f"airtune show {file.path} lists them",
        )
    return records


def best_before(records: Iterable[TrialRecord], number: int) -> Trial | None:
    """The best of the trials whose results trial `number` was proposed from; None if none had a loss."""
    from airtune.engine.types import best_of

    known = {one.trial.number: one for one in records}
    pending = known[number].pending
    return best_of(one.trial for n, one in known.items() if n < number and n not in pending)


def _difference(before: str | None, source: str, best: Trial | None) -> list[str | Text]:
    """What is new in a program, against the best when it was proposed."""
    if best is None or best.loss is None or before is None:
        return ["no program had a loss before it"]
    lines = difference_lines(before, source)
    return [f"difference to trial {best.number}, the best before it (loss {loss_text(best.loss)})", *lines]


def _section(title: str, text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")  # not splitlines: texts may hold U+2028
    return [title, *(f"  {line}" for line in lines.removesuffix("\n").split("\n"))]


def _reader(record: StudyRecord, transcripts: Sequence[dict[str, Any]]) -> Reader:
    """What a model's answer says: the configuration, or None where it is none (any more).

    The bundled model speaks in numbers of its own, a986 for C=843: nobody should have to know them.
    """
    from airtune.engine.manifest import stored_space
    from airtune.engine.replay.stored import RecordedModel
    from airtune.grammars import AirtuneError, canonical_grammar

    if not transcripts or not record.manifest.get("model"):
        return lambda text: None
    try:
        space = stored_space(record.manifest)
        dialect = RecordedModel(record.manifest["model"]).dialect
        spoken, canonical = dialect.grammar(space), canonical_grammar(space)
    except (AirtuneError, ValueError):
        return lambda text: None

    def read(text: str) -> dict[str, Any] | None:
        try:
            return canonical.snap(dialect.parse(text, spoken))
        except AirtuneError:
            return None

    return read


def _candidates(record: TrialRecord, transcript: dict[str, Any], read: Reader) -> dict[str, Any]:
    """What `lm+gp` chose among: the best of the model's answers, and of the process's own points, if that was better.

    The expected improvement is in the units of the process's scale of losses, and given by its logarithm.
    """
    ranking = transcript.get("ranking") or {}
    own, other = ranking.get("log_ei"), ranking.get("best_other_log_ei")
    if not isinstance(own, list) or not own:
        return {}
    chosen = "process" if record.origin.endswith(":gp") else "model"
    found = {"model": {"config": read(str(transcript["text"])), "log_ei": max(own), "answers": len(own)}}
    if chosen == "process":
        found["process"] = {"config": dict(record.trial.config), "log_ei": other}
    return {**found, "chosen": chosen}


def _candidate_lines(candidates: dict[str, Any], words: Words) -> list[str]:
    """Which candidate the model gave and which the process chose."""
    if not candidates:
        return []
    lines, model, process = [], candidates["model"], candidates.get("process")
    config = "an answer that cannot be read" if model["config"] is None else words(model["config"])
    best = f", the best of {model['answers']} answers" if model["answers"] > 1 else ""
    lines.append(f"  model:         {config}, {_improvement_text(model['log_ei'])}{best}")
    if process is None:
        lines.append("  process:       chose that: none of its own candidates was better")
    else:
        lines.append(
            f"  process:       {words(process['config'])}, {_improvement_text(process['log_ei'])}: chosen"
        )
    return lines


def _improvement_text(log_ei: object) -> str:
    """An expected improvement, which may be smaller than a float can be."""
    if not isinstance(log_ei, int | float):
        return "expected improvement not stored"
    return (
        f"expected improvement {math.exp(log_ei):.3g}"
        if -700 < log_ei < 700
        else f"expected improvement e^{log_ei:.0f}"
    )


def _said(text: str, read: Reader, words: Words, source: str | None) -> str:
    """An answer in words: the configuration with the answer itself behind it, unless that is JSON, or a program."""
    config = None if text.startswith("{") else read(text)
    if source is not None and text == source:
        return "the program above"
    if config is None:
        return text
    return f"{words(config)}  ({text})" if "\n" not in text else words(config)


def _transcript_lines(transcript: dict[str, Any], said: Callable[[str], str]) -> list[str]:
    """How a language model came to propose it: prompt, answer, log-probability, what was rejected before."""
    lines = _section("prompt", str(transcript["prompt"]))
    thought = (transcript.get("details") or {}).get("thought")
    if thought:
        lines += _section("thought", str(thought["text"]))
    lines += _section("answer", said(str(transcript["text"])))
    told = transcript["logprobs"]  # None: a server that does not tell them
    logprobs = None if told is None else [float(value) for value in told]
    answered = None if transcript["token_ids"] is None else len(transcript["token_ids"])
    steps = transcript["decode_steps"]
    counts = f"{_or_unknown(transcript['prompt_tokens'])} of prompt, {_or_unknown(answered)} of answer"
    lines += [
        f"model            {transcript['model']} (dialect {transcript['dialect']})",
        f"tokens           {counts}" + ("" if steps is None else f", {steps} decode steps"),
        f"log-probability  {_logprob_text(logprobs)}",
        f"seed, attempt    {transcript['seed']}, {transcript['attempt']}",
        f"grammar          {transcript['grammar']}",
    ]
    lines += _predicted_lines(transcript.get("ranking") or {}, said)
    for rejected in [*transcript["rejected"], *(transcript.get("details") or {}).get("rejected", ())]:
        lines.append(f"rejected         {said(str(rejected['text']))}: {rejected['reason']}")
    return lines + _server_lines(transcript.get("details") or {})


def _predicted_lines(ranking: dict[str, Any], said: Callable[[str], str]) -> list[str]:
    """What `lm+self` chose among: the model's answers with the scores that it predicts, the best first."""
    scores = ranking.get("score")
    if not isinstance(scores, dict):
        return []
    known = {text: score for text, score in scores.items() if isinstance(score, int | float)}
    ranked = sorted(known, key=known.__getitem__)
    lines = [f"predicted        {known[text]:7.3f} for {said(text)}" for text in ranked]
    return lines[:1] + [line.replace("predicted", " " * 9, 1) for line in lines[1:]]


def _server_lines(details: dict[str, Any]) -> list[str]:
    """What a server said of itself and its answer, and what it took."""
    if "served_model" not in details:
        return []
    usage, fingerprint = details.get("usage") or {}, details.get("system_fingerprint")
    lines = [
        f"served by        {_or_unknown(details['served_model'])}"
        + (f" ({fingerprint})" if fingerprint else "")
    ]
    if "answer" in details:
        lines.append(f"in its words     {details['answer']!r}")
    lines += [f"failed           {failure}" for failure in details.get("failures", ())]
    cost = f", cost {usage['cost']:.4g}" if usage.get("cost") is not None else ""
    tokens = (
        f"{_or_unknown(usage.get('prompt_tokens'))} + {_or_unknown(usage.get('completion_tokens'))} tokens"
    )
    return [*lines, f"took             {_or_unknown(usage.get('requests'))} requests, {tokens}{cost}"]


def _or_unknown(value: object) -> object:
    return "?" if value is None else value


def _logprob_text(logprobs: list[float] | None) -> str:
    if logprobs is None:
        return "not told by the server"
    drawn = [value for value in logprobs if value != 0.0]
    values = " ".join(f"{value:.3f}" for value in drawn)
    return f"{sum(logprobs):.4f} nats, of the {len(drawn)} drawn tokens: {values}"
