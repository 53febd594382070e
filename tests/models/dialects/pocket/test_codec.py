"""pocket's alphabet: tokens, roles, ranges and scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airtune.models.dialects.pocket import codec
from airtune.models.dialects.pocket.words import (
    ALL_ROLES,
    MORE_TOKENS,
    TOKEN_ID,
    WORDS,
    budget_tokens,
    role_of,
    role_token,
    word_token,
)
from airtune.models.pocket.training.corpus.building import FAMILIES
from airtune.models.pocket.training.release import build_tokenizer


def test_tokens_are_distinct_and_lie_where_the_offsets_say() -> None:
    words = codec.vocabulary()
    assert len(set(words)) == len(words) == codec.FIRST_SIZE
    assert words[codec.SCORE0] == "=000"
    assert words[codec.CHOICE0] == "aA"
    assert words[codec.VALUE0] == "a000"
    assert words[codec.VALUE0 + 2 * codec.BINS + 372] == "c372"
    assert all(word.isascii() for word in [*words, *MORE_TOKENS])
    assert not set(words) & set(MORE_TOKENS)
    assert len(set(MORE_TOKENS)) == len(MORE_TOKENS)
    assert all(TOKEN_ID[token] == codec.FIRST_SIZE + i for i, token in enumerate(MORE_TOKENS))


def test_the_tokenizer_reads_every_token_as_itself_and_joins_them_back() -> None:
    tokenizer = build_tokenizer()
    words = [*codec.vocabulary()[3:], *MORE_TOKENS]  # without the special ones
    rng = np.random.default_rng(0)
    for _ in range(50):
        picked = [words[i] for i in rng.integers(len(words), size=30)]
        text = "".join(picked)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.convert_ids_to_tokens(ids) == picked
        assert tokenizer.decode(ids) == text


def test_no_answer_can_be_spelt_in_two_ways() -> None:
    """No token is a proper prefix of a value token: the mask leaves exactly one spelling of every answer."""
    answers = codec.vocabulary()[codec.CHOICE0 :]
    words = [*codec.vocabulary(), *MORE_TOKENS]
    prefixes = {answer[:k] for answer in answers for k in range(1, len(answer))}
    assert not prefixes & set(words)


@given(
    st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=40),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_scores_are_monotone_bounded_and_put_the_best_at_200(losses: list[float], a: float, b: float) -> None:
    x = np.array(losses)
    s = codec.scores(x, x)
    assert s[x.argmin()] == 200
    assert ((s >= 200) & (s < codec.BINS)).all()
    assert (np.diff(s[np.argsort(x)]) >= 0).all()


def test_scores_do_not_change_under_affine_maps_and_resist_outliers() -> None:
    x = np.array([0.1, 0.2, 0.25, 0.4, 0.7])
    assert (codec.scores(x, x) == codec.scores(1000 * x - 7, 1000 * x - 7)).all()
    blown = np.append(x[:-1], 1e30)
    assert (codec.scores(blown, blown)[:4] == codec.scores(x, x)[:4]).all()


def test_scores_skip_padding_and_tell_improvements() -> None:
    padded = np.array([[0.3, np.nan, 0.1, np.nan, 0.2]])
    plain = np.array([[0.3, 0.1, 0.2]])
    asked = np.array([[0.05, 0.1, np.inf]])
    assert (codec.scores(asked, padded) == codec.scores(asked, plain)).all()
    better, best, worst = codec.scores(asked, plain)[0]
    assert better < best == 200 < worst == codec.BINS - 1


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("learning_rate_init", "<learning_rate>"), ("model.optimizer.LR", "<learning_rate>"), ("C", "<C>"),
        ("svm:gamma", "<gamma>"), ("x", "<?>"), ("größe", "<?>"), ("", "<?>"), ("batch size", "<?>"),
    ],
)  # fmt: skip
def test_roles(name: str, role: str) -> None:
    assert codec.role_token(name) == role
    assert codec.role_token(name) in codec.HEAD_ID


@pytest.mark.parametrize("role", codec.ROLES)
def test_what_the_first_alphabet_reads_the_second_reads_too(role: str) -> None:
    assert role_token(role) == codec.role_token(role) == f"<{role}>"
    assert role_token(f"model.{role}") == role_token(f"model__{role}") == f"<{role}>"


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("svm_C", "C"), ("logreg.C", "C"), ("arc", None), ("abc_c", None), ("xgb_rounds", "n_estimators"),
        ("num.trees", "n_estimators"), ("n_units_l2", "width"), ("dropout_l0", "dropout"), ("kernel_size", None),
        ("size", "width"), ("ema_decay", None), ("lambda_l1", "reg_alpha"), ("top_k", None), ("k", "n_neighbors"),
        ("beta_2", "beta2"), ("Learning Rate", "learning_rate"), ("", None), ("größe", None), ("flux", None),
    ],
)  # fmt: skip
def test_roles_of_the_second_alphabet(name: str, role: str | None) -> None:
    assert role_of(name) == role


def test_names_and_words_of_the_training_spaces_are_known() -> None:
    """What a space is trained with and read as at run time is one function; nothing of it is unknown."""
    params = [p for family in FAMILIES.values() for p in family.params]
    assert {p.name for p in params if role_of(p.name) is None} == set()
    assert {c for p in params if p.kind == "C" for c in p.choices if word_token(c) is None} == set()
    assert {role_of(role) for role in ALL_ROLES} == set(ALL_ROLES)
    assert [word_token(word) for word in WORDS] == [f"{{{word}}}" for word in WORDS]


@pytest.mark.parametrize(
    ("choice", "token"),
    [
        (True, "{true}"), (None, "{none}"), ("None", "{none}"), ("Adam", "{adam}"), ("torch.optim.SGD", "{sgd}"),
        ("leaky_relu", "{relu}"), (3, "{3}"), ("3", "{3}"), (3.0, "{3}"), (0.001, "[+e-3]"), ("64", "[+e2]"),
        ("v3", None), ("", None), ("inf", None), ("nan", None), ("10" * 200, None), ("banana", None), (9, "[+e1]"),
    ],
)  # fmt: skip
def test_words_of_choices(choice: object, token: str | None) -> None:
    assert word_token(choice) == token
    assert token is None or token in TOKEN_ID


@given(st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()))
def test_whatever_stands_in_a_header_has_a_token(name: str, value: object) -> None:
    told = [role_token(name), *budget_tokens(name, value)]
    word = word_token(value)
    assert {*told, *([] if word is None else [word])} <= set(TOKEN_ID)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_range_end_has_a_token(value: float) -> None:
    assert codec.range_token(value) in codec.HEAD_ID
