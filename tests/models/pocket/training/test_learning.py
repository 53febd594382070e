"""pocket's data, batches and network: what is trained is what is asked at run time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from ConfigSpace import Categorical, ConfigurationSpace, Constant, Float, Integer

from airtune.models import Observation, Problem
from airtune.models.dialects.pocket.codec import (
    BINS,
    CHOICES,
    HEAD_ID,
    KINDS,
    ROLES,
    UNKNOWN_ROLE,
    range_token,
    role_token,
)
from airtune.models.dialects.pocket.dialect import PocketDialect
from airtune.models.dialects.pocket.words import TOKEN_ID
from airtune.models.pocket.training import batch as batch_module
from airtune.models.pocket.training import networks
from airtune.models.pocket.training import tables as tables_module
from airtune.models.pocket.training.algorithms import ALGORITHMS, HELD_OUT, Param, choice
from airtune.models.pocket.training.batch import attention_mask, encode
from airtune.models.pocket.training.curriculum import split_tables
from airtune.models.pocket.training.datasets import make_dataset
from airtune.models.pocket.training.episodes import (
    BORROWED_FUNCTIONS,
    BORROWED_TABLES,
    PROPOSALS,
    QUERIES,
    Episodes,
    budget_ids,
)
from airtune.models.pocket.training.loss import Loss
from airtune.models.pocket.training.net import HalfLinear, Pocket
from airtune.models.pocket.training.prior import synthetic
from airtune.models.pocket.training.release import build_tokenizer, write
from airtune.models.pocket.training.table_episodes import column_order, from_tables
from airtune.models.pocket.training.train import SMOKE, Config, train


@pytest.fixture(scope="module")
def net() -> Pocket:
    torch.manual_seed(0)
    model = Pocket(32, 2, 2, 48)
    with torch.no_grad():  # the output factors start at zero; random ones make the comparison mean something
        for p in (model.value_out, model.choice_out, model.score_out):
            p.normal_()
    return model


@pytest.mark.parametrize("alphabet", [1, 2])
def test_a_training_row_is_the_prompt_that_the_dialect_renders(
    monkeypatch: pytest.MonkeyPatch, alphabet: int
) -> None:
    """Ids, order, scores and separators: training and use must not drift apart by a single token."""
    space = ConfigurationSpace(
        space=[
            Float("C", (1e-3, 1e3), log=True, default=10.0),
            Integer("max_depth", (1, 9), default=4),
            Categorical("act", ["relu", "q", "tanh"], default="q"),
            *([Constant("epochs", 8)] if alphabet == 2 else []),
        ]
    )
    u = np.array([[0.25, 0.5, 0.5], [0.75, 0.125, 1 / 6], [0.4, 1.0, 5 / 6]], dtype=np.float32)
    losses = np.array([[0.3, np.inf, 0.1]], dtype=np.float32)
    choices = ["relu", "q", "tanh"]
    configs = [
        {"C": 1e-3 * 1e6 ** float(a), "max_depth": round(1 + 8 * float(b)), "act": choices[int(c * 3)]}
        for a, b, c in u
    ]
    observations = tuple(
        Observation(c, None if np.isinf(y) else float(y), "failed" if np.isinf(y) else "told")
        for c, y in zip(configs, losses[0], strict=True)
    )
    prompt = PocketDialect(alphabet=alphabet).render(Problem("t", "", space, "loss", observations))

    # Names come in the space's own order, which sorts them; the episode must name them the same way.
    names = [n for n in space if n != "epochs"]
    column = [["C", "max_depth", "act"].index(n) for n in names]
    facts = {"C": ("L", 1e-3, 1e3, 4 / 6, 0), "max_depth": ("I", 1, 9, 0.375, 9), "act": ("C", 0, 3, 0.5, 3)}
    header = [[role_token(n), facts[n][0], range_token(facts[n][1]), range_token(facts[n][2])] for n in names]
    on = np.ones((1, 3, 3), dtype=bool)
    words = [TOKEN_ID["{relu}"], -1, TOKEN_ID["{tanh}"]] if alphabet == 2 else []
    episode = Episodes(
        header=np.array([[[HEAD_ID[t] for t in h] for h in header]]),
        levels=np.array([[facts[n][4] for n in names]]),
        categorical=np.array([[facts[n][0] == "C" for n in names]]),
        default=np.array([[facts[n][3] for n in names]], dtype=np.float32),
        points=u[None, :, column], active=on, losses=losses,
        proposals=np.repeat(u[None, :1, column], PROPOSALS, 1), proposal_active=np.ones((1, PROPOSALS, 3), dtype=bool),
        queries=np.repeat(u[None, :1, column], QUERIES, 1), query_active=np.ones((1, QUERIES, 3), dtype=bool),
        query_losses=np.full((1, QUERIES), 0.2, dtype=np.float32),
        words=np.array([[words if n == "act" else [-1] * len(words) for n in names]], dtype=np.int64),
        budget=np.array([budget_ids("epochs", 8) if alphabet == 2 else [-1] * 3]),
    )  # fmt: skip
    monkeypatch.setattr(batch_module, "LETTERS", "abc")  # all letters taken: no random choice of letters
    row = encode(np.random.default_rng(0), episode)
    first_branch = int((row.group[0] == 1).nonzero()[0])
    ids = row.tokens[0, : first_branch + 1].tolist()
    tokenizer = build_tokenizer()
    assert "".join(tokenizer.convert_ids_to_tokens(ids)) == prompt
    assert tokenizer(prompt, add_special_tokens=False)["input_ids"] == ids


def test_branches_do_not_see_each_other(net: Pocket) -> None:
    """A branch's states are those of its history followed by it alone."""
    rng = np.random.default_rng(1)
    row = encode(rng, synthetic(rng, 3, 3, 5, np.array([0, 3, 5])))
    with torch.no_grad():
        together = net.states(row.tokens, row.positions, attention_mask(row.group))
        plain = net.export(torch.float32)
        for i in range(3):
            for g in range(1, 1 + PROPOSALS + QUERIES):
                keep = (row.group[i] == 0) | (row.group[i] == g)
                alone = plain.model(row.tokens[i][keep][None]).last_hidden_state[0]
                torch.testing.assert_close(together[i][keep], alone, atol=2e-4, rtol=1e-3)


def test_the_release_is_a_plain_llama_with_the_same_answers(net: Pocket, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write(net, {"seed": 0}, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.config.architectures == ["LlamaForCausalLM"]
    ids = tokenizer(";a372b110=200>", return_tensors="pt", add_special_tokens=False)["input_ids"]
    assert ids.shape == (1, 5)
    with torch.no_grad():
        expected = net.export(torch.float32)
        for parameter in expected.parameters():  # the release is in bf16
            parameter.copy_(parameter.bfloat16())
        assert torch.equal(loaded(ids).logits, expected(ids).logits)
    assert not [*tmp_path.glob("*.bin"), *tmp_path.glob("*.pt")]


def test_supervision_points_at_the_next_active_value() -> None:
    """What a supervised position should say is what stands at the branch's next position (or is its last value)."""
    rng = np.random.default_rng(5)
    episodes = synthetic(rng, 200, 4, 6, rng.integers(0, 7, size=200))
    assert not episodes.proposal_active.all()  # conditional spaces are among them
    row = encode(rng, episodes)
    width = row.tokens.shape[1]
    words = build_tokenizer().convert_ids_to_tokens
    checked = 0
    for where, target, kind in zip(row.where.tolist(), row.target.tolist(), row.kind.tolist(), strict=True):
        i, j = divmod(where, width)
        following = j + 1
        if kind == 2 or following >= width or row.group[i, following] != row.group[i, j]:
            continue
        token = words([int(row.tokens[i, following])])[0]
        assert token[1:] == (f"{target:03d}" if kind == 0 else CHOICES[target])
        checked += 1
    assert checked > 200


@pytest.mark.parametrize("p", [1, 2, 5, 16])
def test_targets_of_the_prior_are_good(p: int) -> None:
    """The first target is no worse than any query, all positions are legal, and a seed gives the same episodes."""
    lengths = np.array([0, 1, 4, 8] * 4)
    one, two = (synthetic(np.random.default_rng(3), 16, p, 8, lengths) for _ in range(2))
    for field in Episodes.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
    for positions in (one.points, one.proposals, one.queries):
        assert ((positions >= 0) & (positions <= 1)).all()
    assert (np.isnan(one.losses).sum(1) == 8 - lengths).all()
    assert set(np.unique(one.header[:, :, 1])) <= {HEAD_ID[k] for k in KINDS}


def test_borrowed_names_are_in_some_episodes_and_change_nothing_else() -> None:
    """Names that say nothing: about the stated share of functions and of tables has them, only once they are due."""
    unknown, lengths = HEAD_ID[UNKNOWN_ROLE], np.full(400, 4)
    plain = synthetic(np.random.default_rng(3), 400, 5, 8, lengths)
    assert (plain.header[:, :, 0] == unknown).all()
    named = (
        synthetic(np.random.default_rng(3), 400, 5, 8, lengths, borrow=True).header[:, :, 0] != unknown
    ).any(1)
    assert abs(named.mean() - BORROWED_FUNCTIONS) < 0.1  # 4 standard deviations

    table = next(t for t in split_tables()[0]["svm"] if len(t.params) == 2)
    with_own, with_all = (
        from_tables(np.random.default_rng(1), [table] * 400, 4, lengths, borrow=share)
        for share in (0.0, BORROWED_TABLES)
    )
    own = {unknown, *(HEAD_ID[f"<{param.role}>"] for param in table.params)}
    foreign = [~np.isin(e.header[:, :, 0], list(own)).all(1) for e in (with_own, with_all)]
    assert not foreign[0].any()
    assert 0 < foreign[1].mean() < 2 * BORROWED_TABLES


def test_whole_algorithms_are_held_out() -> None:
    training, development = split_tables()
    assert len(HELD_OUT) >= 3
    assert set(training) == set(ALGORITHMS) - set(HELD_OUT)
    assert len(training) >= 12
    assert sum(map(len, training.values())) >= 300
    assert set(development) == set(ALGORITHMS)
    assert {p.role for a in ALGORITHMS.values() for p in a.params} <= set(ROLES)


def test_tables_that_were_added_change_nothing_for_those_before_them() -> None:
    """The shipped weights' stages know nothing of them, and what was kept for development stays so."""
    every, before = split_tables(), split_tables(added=False)
    for with_them, without in zip(every, before, strict=True):
        assert set(with_them) == set(without)
        for name, tables in without.items():
            more = with_them[name]
            assert len(tables) <= len(more)
            for one, same in zip(tables, more, strict=False):
                np.testing.assert_array_equal(one.loss, same.loss)
    counts = [sum(map(len, training.values())) for training, _ in (every, before)]
    assert counts[0] > counts[1]
    assert {name: len(v) + len(before[1][name]) for name, v in before[0].items()} == {
        name: a.tables for name, a in ALGORITHMS.items() if name not in HELD_OUT
    }


def test_tables_are_never_proposed_again_and_carry_their_roles() -> None:
    training, development = split_tables()
    episodes = from_tables(np.random.default_rng(0), training["svm"][:32], 10, np.full(32, 10))
    for i in range(32):
        tried = {tuple(row) for row in episodes.points[i].tolist()}
        assert tuple(episodes.proposals[i, 0].tolist()) not in tried
    roles = set(np.unique(episodes.header[:, :, 0]))
    assert roles <= {HEAD_ID["<C>"], HEAD_ID["<gamma>"], HEAD_ID["<?>"]}
    assert all(len(v) > 0 for v in development.values())


def test_a_shipped_table_is_what_its_builder_builds() -> None:
    """The packed tables come from the generator in this repository: one of each cheap algorithm is built again.

    Another processor rounds otherwise, and where training diverges that shows: a few rows may differ by hundredths.
    """
    packed = tables_module.load(Path(tables_module.__file__).parent / "tables.npz")
    for name in ("sgd", "tree", "optimizer_net"):  # the last one: choices, conditions, torch
        fresh = tables_module.build_table(name, 1)
        np.testing.assert_allclose(packed[name][1].unit, fresh.unit, atol=1e-5)
        apart = np.abs(packed[name][1].loss - fresh.loss)
        assert apart.max() < 0.1
        assert (apart < 2e-2).mean() > 0.9


def test_unpacked_tables_pack_into_the_same_file(tmp_path: Path) -> None:
    """More tables can be built beside the shipped ones, which are not built again."""
    shipped = Path(tables_module.__file__).parent / "tables.npz"
    tables_module.main(["--out", str(tmp_path / "tables"), "--unpack", str(shipped)])
    tables_module.main(["--out", str(tmp_path / "tables"), "--pack", str(tmp_path / "again.npz")])
    again, packed = np.load(tmp_path / "again.npz"), np.load(shipped)
    assert set(again.files) == set(packed.files)
    for name in packed.files:
        np.testing.assert_array_equal(again[name], packed[name])


def test_episodes_of_conditional_tables_are_those_of_the_table() -> None:
    """Shuffling columns and choices changes names only: every point of an episode is a row of its table."""
    table = split_tables()[0]["optimizer_net"][3]
    episodes = from_tables(np.random.default_rng(1), [table] * 8, 12, np.full(8, 12))
    assert not episodes.active.all()
    assert (episodes.categorical.sum(1) == 2).all()
    numbers = [i for i, p in enumerate(table.params) if p.kind != "C"]
    checked = 0
    for i in range(8):
        names = episodes.header[i, :, 0].tolist()
        where = [HEAD_ID[f"<{table.params[j].role}>"] for j in numbers]
        if not set(where) <= set(names):  # some role is hidden
            continue
        columns = [names.index(name) for name in where]
        for point, on, loss in zip(episodes.points[i], episodes.active[i], episodes.losses[i], strict=True):
            said = np.where(on, point, np.nan)[columns]
            same = np.isclose(table.unit[:, numbers], said, atol=1e-6, equal_nan=True).all(1)
            assert loss in table.loss[same]
            checked += 1
    assert checked > 20


def test_what_switches_a_hyperparameter_on_is_spoken_before_it() -> None:
    table = split_tables()[0]["kernel_svm"][0]
    orders = {tuple(column_order(np.random.default_rng(seed), table)) for seed in range(50)}
    assert len(orders) > 5
    kernel = [p.role for p in table.params].index("kernel")
    for order in orders:
        assert sorted(order) == list(range(len(table.params)))
        assert all(order.index(kernel) < order.index(i) for i, p in enumerate(table.params) if p.only)


def test_the_nearest_row_is_the_configuration_itself_and_respects_conditions() -> None:
    params = (
        choice("optimizer", "adam", "sgd"),
        Param("momentum", "F", 0, 1, 0.5, only=("optimizer", ("sgd",))),
    )
    unit = np.array([[0.25, np.nan], [0.75, 0.1], [0.75, 0.9]], dtype=np.float32)
    table = tables_module.Table(params, unit, np.array([0.3, 0.2, 0.1], dtype=np.float32))
    assert tables_module.squared_distances(table, {"optimizer": "adam"}).argmin() == 0
    distances = tables_module.squared_distances(table, {"optimizer": "sgd", "momentum": 0.4})
    assert distances.argsort().tolist()[:2] == [1, 2]


def test_networks_learn_and_a_batch_of_configurations_changes_none_of_them() -> None:
    data = make_dataset(11)
    good, bad = {"learning_rate": 0.1, "epochs": 15}, {"learning_rate": 1e-9}
    together = networks.run(data, [good, bad, {"optimizer": "adam", "learning_rate": 1e-2}])
    assert together[0] < together[1] - 0.1
    np.testing.assert_array_equal(
        together, networks.run(data, [good, bad, {"optimizer": "adam", "learning_rate": 1e-2}])
    )
    assert networks.run(data, [good])[0] == pytest.approx(together[0], abs=0.02)


def test_half_precision_products_are_near_the_exact_ones() -> None:
    torch.manual_seed(0)
    exact = torch.nn.Linear(64, 48, bias=False)
    half = torch.nn.Linear(64, 48, bias=False)
    half.load_state_dict(exact.state_dict())
    half.__class__ = HalfLinear
    x = torch.randn(3, 7, 64)
    results = []
    for layer in (exact, half):
        inputs = x.clone().requires_grad_(True)
        layer(inputs).square().sum().backward()
        results.append((layer(x), inputs.grad, layer.weight.grad))
    for a, b in zip(*results, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).norm() / a.norm() < 0.01


def test_generated_data_sets_are_functions_of_their_seed() -> None:
    a, b, c = make_dataset(4), make_dataset(4), make_dataset(5)
    np.testing.assert_array_equal(a.x_train, b.x_train)
    assert a.x_train.shape != c.x_train.shape or not np.array_equal(a.x_train, c.x_train)


def test_no_benchmark_data_goes_into_training() -> None:
    """What pocket learns from is generated: its modules read no data set, downloaded or shipped with a library."""
    for module in Path(tables_module.__file__).parent.rglob("*.py"):
        source = module.read_text(encoding="utf-8")
        for banned in (
            "sklearn.datasets",
            "load_digits",
            "fetch_",
            "read_csv",
            "openml",
            "airtune.benchmarks",
            "urllib",
        ):
            assert banned not in source, f"{module.name} mentions {banned}"


def test_an_interrupted_run_continues_as_if_nothing_had_happened(tmp_path: Path) -> None:
    config = Config(
        **{**{k: getattr(SMOKE, k) for k in SMOKE.__dataclass_fields__}, "tokens": 6e3, "batch_tokens": 800}
    )
    training, _ = split_tables()
    whole, _ = train(config, training, None)
    # The first half of the same schedule: stop by raising from the draw of step 4, after a checkpoint each step.
    import airtune.models.pocket.training.train as module

    original, calls = module.draw, [0]

    def interrupted(*args: object, **options: bool) -> Episodes:
        calls[0] += 1
        if calls[0] > 4:
            raise KeyboardInterrupt
        return original(*args, **options)  # type: ignore[arg-type]

    module.draw = interrupted  # type: ignore[assignment]
    try:
        with pytest.raises(KeyboardInterrupt):
            train(config, training, tmp_path, save_every_s=0.0)
    finally:
        module.draw = original
    resumed, _ = train(config, training, tmp_path)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


@pytest.mark.parametrize("levels", [2, 3, 4, 10, 40])
def test_every_value_of_a_list_is_as_likely_where_all_are_as_good(levels: int) -> None:
    """Bug: a target at an end, half of whose surroundings lie beyond, made half again as likely.

    What the loss asks of flat logits is the density that they move to; read at the values, as a mask does.
    """
    logits = torch.zeros(levels, BINS, requires_grad=True)
    target = torch.linspace(0, BINS - 1, levels).round().long()
    loss = Loss()._density(logits, target, torch.full((levels,), levels)).mean()
    loss.backward()
    assert logits.grad is not None
    density = float(loss.detach()) / math.log(BINS) / BINS - logits.grad.sum(0)
    assert float(density[target].max() / density[target].min()) < 1.12
    between = density[(target[:-1] + target[1:]) // 2]
    assert float(between.min()) > 0.4 * float(density[target].max())  # nothing is a spike


def test_uneven_lists_are_spread_as_even_ones() -> None:
    logits, target = torch.randn(3, BINS), torch.tensor([0, 200, 999])
    spread = [Loss()._density(logits, target, torch.full((3,), k)) for k in (-3, 3, 0)]
    torch.testing.assert_close(spread[0], spread[1])
    assert (spread[1] - spread[2]).abs().max() > 0.01
