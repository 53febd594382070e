"""`airtune show STUDY --trial N`: one trial, and how a language model came to propose it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airtune.engine.cli.output import (
    config_text,
    loss_text,
    print_json,
    print_lines,
    seconds_text,
    trial_json,
)

if TYPE_CHECKING:
    from airtune.engine import StudyFile
    from airtune.engine.storage.study_file import StudyRecord


def show_trial(file: StudyFile, record: StudyRecord, number: int, as_json: bool) -> None:
    """Print one trial of a study.

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
    found, transcript = records[number], file.transcripts(record.name).get(number)
    if as_json:
        pending = None if found.pending is None else list(found.pending)
        fields = {"origin": found.origin, "text": found.text, "log": found.log, "transcript": transcript}
        print_json({"study": record.name, **trial_json(found.trial), **fields, "pending": pending})
        return
    trial = found.trial
    lines = [
        f"trial {number} of study {record.name!r}: {trial.status}",
        f"  configuration  {config_text(trial.config)}",
        f"  proposed by    {found.origin} in {seconds_text(trial.proposal_s)} s",
        f"  evaluated in   {seconds_text(trial.evaluation_s)} s",
    ]
    if found.pending:
        lines.append(f"  without        the results of trials {', '.join(map(str, found.pending))}")
    if trial.loss is not None:
        lines.append(f"  {record.manifest['metric']:<14} {trial.loss!r}")
    lines += [f"  {name:<14} {loss_text(value, 2000)}" for name, value in trial.info.items()]
    if trial.reason is not None:
        lines.append(f"  reason         {trial.reason}")
    lines += [] if transcript is None else _transcript_lines(transcript)
    lines += _section("log", found.log.rstrip()) if found.log else []
    print_lines(lines)


def _section(title: str, text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")  # not splitlines: texts may hold U+2028
    return [title, *(f"  {line}" for line in lines.removesuffix("\n").split("\n"))]


def _transcript_lines(transcript: dict[str, Any]) -> list[str]:
    """How a language model came to propose it: prompt, answer, log-probability, what was rejected before."""
    lines = _section("prompt", str(transcript["prompt"]))
    thought = (transcript.get("details") or {}).get("thought")
    if thought:
        lines += _section("thought", str(thought["text"]))
    lines += ["answer", f"  {transcript['text']}"]
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
    lines += _predicted_lines(transcript.get("ranking") or {})
    for rejected in [*transcript["rejected"], *(transcript.get("details") or {}).get("rejected", ())]:
        lines.append(f"rejected         {rejected['text']}: {rejected['reason']}")
    return lines + _server_lines(transcript.get("details") or {})


def _predicted_lines(ranking: dict[str, Any]) -> list[str]:
    """What `lm+self` chose among: the model's answers with the scores that it predicts, the best first."""
    scores = ranking.get("score")
    if not isinstance(scores, dict):
        return []
    known = {text: score for text, score in scores.items() if isinstance(score, int | float)}
    ranked = sorted(known, key=known.__getitem__)
    lines = [f"predicted        {known[text]:7.3f} for {text}" for text in ranked]
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
