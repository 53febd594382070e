"""pocket's alphabet: tokens, roles, ranges and scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airtune.models.dialects.pocket import codec
from airtune.models.pocket.training.release import build_tokenizer


def test_tokens_are_distinct_and_lie_where_the_offsets_say() -> None:
    words = codec.vocabulary()
    assert len(set(words)) == len(words) == codec.VOCABULARY_SIZE
    assert words[codec.SCORE0] == "=000"
    assert words[codec.CHOICE0] == "aA"
    assert words[codec.VALUE0] == "a000"
    assert words[codec.VALUE0 + 2 * codec.BINS + 372] == "c372"
    assert all(word.isascii() for word in words)


def test_the_tokenizer_reads_every_token_as_itself_and_joins_them_back() -> None:
    tokenizer = build_tokenizer()
    words = codec.vocabulary()[3:]  # without the special ones
    rng = np.random.default_rng(0)
    for _ in range(50):
        picked = [words[i] for i in rng.integers(len(words), size=30)]
        text = "".join(picked)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.convert_ids_to_tokens(ids) == picked
        assert tokenizer.decode(ids) == text


def test_no_answer_can_be_spelt_in_two_ways() -> None:
    """No token is a proper prefix of a value token: the mask leaves exactly one spelling of every answer."""
    words = codec.vocabulary()
    answers = words[codec.CHOICE0 :]
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


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_range_end_has_a_token(value: float) -> None:
    assert codec.range_token(value) in codec.HEAD_ID
