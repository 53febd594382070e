"""What an Optuna storage holds, as our trials; and claims, by which workers keep out of each other's way."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from airtune.engine.proposers.base import is_valid
from airtune.engine.types import Trial

if TYPE_CHECKING:
    import optuna

    from airtune.engine.integrations.optuna.space import OptunaSpace

# The key of a trial's system attribute: {"config": configuration, "origin": by whom, "kept": whether it is final}.
CLAIM = "airtune:claim"
# Of two workers with the same claim the one with the higher trial number gives way; the other one looks again so
# often, so many seconds apart, and then gives way too: that worker has died between two writes.
LOOKS, PAUSE_S = 100, 0.02


def all_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The study's trials as the storage has them now, those of other workers and brackets included."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def split(
    trials: Iterable[FrozenTrial], translation: OptunaSpace, direction: StudyDirection, number: int
) -> tuple[list[Trial], list[Trial]]:
    """The trials but that of this number, as (history, pending) of a proposer; those of other spaces left out.

    Complete trials are told, and so are pruned ones that reported a value: Optuna keeps the last one as theirs. Other
    pruned ones, failed ones, and those with an infinite value, are failures. Running and waiting ones are pending.
    """
    history, pending = [], []
    for trial in trials:
        config = None if trial.number == number else _config(trial, translation)
        if config is None:
            continue
        if trial.state.is_finished():
            history.append(_finished(trial, config, direction))
        else:
            pending.append(Trial(trial.number, config))
    return history, pending


def _config(trial: FrozenTrial, translation: OptunaSpace) -> dict[str, Any] | None:
    """What a trial is to be seen as: until it ends, what was claimed for it, as it is stored value by value."""
    if trial.state.is_finished():
        return translation.config(trial.params)
    claim = trial.system_attrs.get(CLAIM)
    if claim is not None and claim["config"].keys() <= set(translation.space):
        return claim["config"] if is_valid(translation.space, claim["config"]) else None
    return translation.config({**trial.system_attrs.get("fixed_params", {}), **trial.params})


def evaluated(trial: FrozenTrial, translation: OptunaSpace) -> dict[str, Any]:
    """What a trial evaluates, in Optuna's form: what was fixed for it goes before what was proposed."""
    given = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    config = _config(trial, translation)
    if trial.state.is_finished():
        given = trial.params
    elif config is not None:
        told = translation.params(config)
        given = {name: given.get(name, value) for name, value in told.items()}
    return {name: value for name, value in given.items() if name in translation.distributions}


def _finished(trial: FrozenTrial, config: Mapping[str, Any], direction: StudyDirection) -> Trial:
    if trial.state == TrialState.FAIL:
        return Trial(trial.number, config, "failed", reason="failed")
    if trial.value is None:
        return Trial(trial.number, config, "failed", reason="pruned before it reported a value")
    if not math.isfinite(trial.value):
        return Trial(trial.number, config, "failed", reason=f"the value is {trial.value}")
    loss = -trial.value if direction == StudyDirection.MAXIMIZE else trial.value
    return Trial(trial.number, config, "told", loss)


def claim(
    study: optuna.Study,
    trial: FrozenTrial,
    config: Mapping[str, Any],
    origin: str,
    ended: Collection[int] = (),
) -> bool:
    """Claim a configuration for a trial; whether it is kept, so that no other trial of the study has it.

    `ended` are the trials that had ended when it was proposed: their configurations were left out, or fixed by the
    user. What has ended since then may have had this one.

    The claim is written before the others' are read. Of two workers with the same one, the later writer therefore
    sees the earlier; it may not know that it is the later one, so it keeps what it has only if the other has given
    way. No lock and no clock is needed, and a worker may die at any point.
    """
    mine: dict[str, Any] = {"config": dict(config), "origin": origin, "kept": False}
    study._storage.set_trial_system_attr(trial._trial_id, CLAIM, mine)
    for _ in range(LOOKS):
        rivals = [
            other
            for other in all_trials(study)
            if other.number != trial.number
            and other.number not in ended
            and other.system_attrs.get(CLAIM, {}).get("config") == mine["config"]
        ]
        if not rivals:
            study._storage.set_trial_system_attr(trial._trial_id, CLAIM, {**mine, "kept": True})
            return True
        if any(
            other.state.is_finished() or other.system_attrs[CLAIM]["kept"] or other.number < trial.number
            for other in rivals
        ):
            return False
        time.sleep(PAUSE_S)
    return False


def earlier_duplicate(trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int | None:
    """The number of an earlier trial with the same parameters, retries of this one aside; or None."""
    again = trial.system_attrs.get("retry_history", ())  # Optuna's, of trials whose worker has died
    for other in trials:
        if other.number < trial.number and other.number not in again and other.params == trial.params:
            return other.number
    return None
