"""A space with conditions and a forbidden clause: what is switched off is never proposed, what is forbidden neither.

The grammar that the model answers under is built from the space, so an invalid configuration cannot be written.
"""

import ConfigSpace as cs
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from airtune.engine import minimize

X, y = load_wine(return_X_y=True)
kernel = cs.Categorical("kernel", ["rbf", "poly", "linear"], default="rbf")
shrinking = cs.Categorical("shrinking", [True, False])
C = cs.Float("C", (0.01, 100.0), default=1.0, log=True)
gamma = cs.Float("gamma", (1e-4, 1.0), default=0.1, log=True)
degree = cs.Integer("degree", (2, 5), default=3)
space = cs.ConfigurationSpace()
space.add(kernel, shrinking, C, gamma, degree)
space.add(cs.EqualsCondition(degree, kernel, "poly"))  # a degree only where there is a polynomial
space.add(  # one combination that we do not want to pay for
    cs.ForbiddenAndConjunction(
        cs.ForbiddenEqualsClause(kernel, "linear"), cs.ForbiddenEqualsClause(shrinking, False)
    )
)


def objective(config):
    """`config` has `degree` only where the kernel is "poly": pass on what is there."""
    return 1.0 - cross_val_score(make_pipeline(StandardScaler(), SVC(**config)), X, y, cv=3).mean()


result = minimize(objective, space, budget=6, seed=1)
for trial in result.trials:
    assert ("degree" in trial.config) == (trial.config["kernel"] == "poly")
    print(f"{trial.loss:.4f}", dict(trial.config))
