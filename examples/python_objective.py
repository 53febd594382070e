"""Tune a scikit-learn model from Python: an objective, a search space, one call.

Run it with `python examples/python_objective.py`. It takes a few seconds and needs no network.
"""

from ConfigSpace import ConfigurationSpace, Float, Integer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from airtune.engine import minimize

X, y = load_breast_cancer(return_X_y=True)


def objective(config):
    """The loss of one configuration, a plain dictionary; smaller is better."""
    model = RandomForestClassifier(n_estimators=16, random_state=0, **config)
    return 1.0 - cross_val_score(model, X, y, cv=3).mean()


# Say `log=True` where a factor matters and not a difference. The defaults are evaluated first, so give good ones.
space = ConfigurationSpace(
    space=[
        Integer("max_depth", (2, 12), default=12),
        Integer("min_samples_leaf", (1, 20), default=1, log=True),
        Float("max_features", (0.1, 1.0), default=0.3),
    ]
)

# The same seed gives the same search. With path="study.sqlite" it could be stopped and gone on with.
result = minimize(objective, space, budget=5, seed=0)
for trial in result.trials:
    print(trial.number, f"{trial.loss:.4f}", dict(trial.config))
print("best:", f"{result.best.loss:.4f}", dict(result.best.config))
