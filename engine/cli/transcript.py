"""A transcript as lines for people: how a language model came to a proposal, and what a server said of it."""

from __future__ import annotations

from typing import Any


def transcript_lines(transcript: dict[str, Any]) -> list[str]:
    """How a language model came to propose it: prompt, answer, log-probability, what was rejected before."""
    lines = ["prompt", *(f"  {line}" for line in str(transcript["prompt"]).splitlines())]
    thought = (transcript.get("details") or {}).get("thought")
    if thought:
        lines += ["thought", *(f"  {line}" for line in str(thought["text"]).splitlines())]
    lines += ["answer", f"  {transcript['text']}"]
    told = transcript["logprobs"]  # None: a server that does not tell them
    logprobs = None if told is None else [float(value) for value in told]
    answered = None if transcript["token_ids"] is None else len(transcript["token_ids"])
    steps = transcript["decode_steps"]
    counts = f"{_told(transcript['prompt_tokens'])} of prompt, {_told(answered)} of answer"
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
        f"served by        {_told(details['served_model'])}" + (f" ({fingerprint})" if fingerprint else "")
    ]
    if "answer" in details:
        lines.append(f"in its words     {details['answer']!r}")
    lines += [f"failed           {failure}" for failure in details.get("failures", ())]
    cost = f", cost {usage['cost']:.4g}" if usage.get("cost") is not None else ""
    tokens = f"{_told(usage.get('prompt_tokens'))} + {_told(usage.get('completion_tokens'))} tokens"
    return [*lines, f"took             {_told(usage.get('requests'))} requests, {tokens}{cost}"]


def _told(value: object) -> object:
    return "?" if value is None else value


def _logprob_text(logprobs: list[float] | None) -> str:
    if logprobs is None:
        return "not told by the server"
    drawn = [value for value in logprobs if value != 0.0]
    values = " ".join(f"{value:.3f}" for value in drawn)
    return f"{sum(logprobs):.4f} nats, of the {len(drawn)} drawn tokens: {values}"
