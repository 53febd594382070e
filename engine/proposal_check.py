"""Proposals are never trusted: each is read as canonical text, checked, and refused if it is not valid or not new."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from airtune.engine.storage.study_file import StudyFile
from airtune.engine.types import Proposal
from airtune.grammars import AirtuneError, DecodeError, Grammar, violation


def checked(
    file: StudyFile,
    study: str,
    grammar: Grammar,
    tried: Container[str],
    number: int,
    proposal: Proposal,
    proposer: str,
) -> tuple[str, dict[str, Any]]:
    """A proposal's canonical text and configuration, found valid and new by us, whoever proposed it.

    Args:
        file: The study file.
        study: The study's name.
        grammar: The canonical grammar of its space.
        tried: The canonical texts of its trials.
        number: The number of the trial that is proposed.
        proposal: What was proposed.
        proposer: By whom.

    Raises:
        AirtuneError: If it is not valid or not new, after storing it as a violation.
    """
    problem, text, config = "", "", dict(proposal.config)
    try:
        text = grammar.encode(config)
        config = grammar.decode(text)
    except DecodeError as error:
        problem = f"is not a configuration of the space ({error.message})"
    else:
        refusal = violation(grammar.space, config)
        if refusal is not None:
            problem = f"ConfigSpace refuses: {refusal}"
        elif text in tried:
            problem = "has been tried already"
    if problem:
        file.violation(study, number, proposal, problem)
        raise AirtuneError(
            f"proposer {proposer!r} proposed for trial {number} what {problem}: {dict(proposal.config)!r}",
            value=dict(proposal.config),
            allowed="a valid configuration that has not been tried",
            hint="this is a fault of the proposer, not of your task; the study is as it was before",
        )
    return text, config
