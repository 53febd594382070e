"""Airtune inside Optuna: the study, the storage and the pruners are Optuna's, the proposals are Airtune's."""

import optuna

from airtune.engine.integrations import AirtuneSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(trial):
    """Define-by-run, as in any Optuna study."""
    x = trial.suggest_float("x", -5.0, 5.0)
    y = trial.suggest_float("y", 1e-3, 10.0, log=True)
    return (x - 1.0) ** 2 + (y - 0.1) ** 2


# Optuna learns the parameters from the first trial. Told beforehand, as here, the model proposes from the first one on,
# and no two workers of a shared storage get the same configuration.
search_space = {
    "x": optuna.distributions.FloatDistribution(-5.0, 5.0),
    "y": optuna.distributions.FloatDistribution(1e-3, 10.0, log=True),
}
sampler = AirtuneSampler(proposer="lm+gp", seed=0, search_space=search_space)
study = optuna.create_study(sampler=sampler)  # storage="sqlite:///optuna.db" would keep it
study.optimize(objective, n_trials=6)

for trial in study.trials:
    print(trial.number, f"{trial.value:.4f}", trial.params)
print("best:", study.best_params)
