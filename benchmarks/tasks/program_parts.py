"""The data of `sklearn/program/*`. Also the code of scripts that run outside (`airtune export --program`)."""

from __future__ import annotations

from typing import Any


def load_parts(loader: str, *, classes: bool, images: bool) -> list[Any]:
    """One of scikit-learn's data sets in three parts: 10 % test, then 33 % of the rest validation, seed 1.

    Of classes the split is stratified; numbers are taken in standard deviations of the training part, from its mean.

    Returns:
        Features and targets for training, for validation, and for testing.
    """
    import numpy as np
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    x, y = getattr(datasets, f"load_{loader}")(return_X_y=True)
    rest, test = train_test_split(
        np.arange(len(y)), test_size=0.1, stratify=y if classes else None, random_state=1
    )
    train, validation = train_test_split(
        rest, test_size=0.33, stratify=y[rest] if classes else None, random_state=1
    )
    if not classes:
        y = (y - y[train].mean()) / y[train].std()
    if images:
        x = (x / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return [(x[part], y[part]) for part in (train, validation, test)]
