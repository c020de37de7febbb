from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sonograph import weights
from sonograph.errors import InputError
from sonograph.systems.adapt import soups


def states(*values: float) -> list[dict[str, torch.Tensor]]:
    return [{"w": torch.tensor([value]), "n": torch.tensor(k)} for k, value in enumerate(values)]


def test_of_equal_members_the_later_comes_first():
    assert soups.ranked([0.5, 0.9, 0.5, 0.9]) == [3, 1, 2, 0]


def test_a_member_that_changes_nothing_stays_out():
    made = soups.greedy(states(2.0, 2.0, 2.0), [1.0, 1.0, 1.0], lambda state: 1.0)
    assert made.kept == (2,)
    assert made.trials == (1.0, 1.0)
    assert made.brought == (0.0, 0.0)


def test_each_trial_is_the_mean_of_what_was_kept_and_the_next():
    seen = []

    def score(state):
        seen.append(state["w"].item())
        return {3.0: 0.6, 2.0: 0.5, 4.0: 0.7}[round(seen[-1], 4)]

    # ranked: 4, 2, 0, 6; (4+2)/2 = 3 is kept, (4+2+0)/3 = 2 is not, (4+2+6)/3 = 4 is
    made = soups.greedy(states(0.0, 6.0, 2.0, 4.0), [0.3, 0.2, 0.4, 0.5], score)
    assert seen == pytest.approx([3, 2, 4])
    assert made.order == (3, 2, 0, 1)
    assert made.kept == (3, 2, 1)
    assert made.brought == pytest.approx([0.1, -0.1, 0.1])
    assert made.state["w"].item() == pytest.approx(4)
    assert made.score == 0.7


def test_whole_numbers_are_the_first_members():
    made = soups.uniform(states(1.0, 3.0))
    assert made["w"].item() == 2
    assert made["n"].item() == 0
    assert made["n"].dtype == torch.int64
    best_first = soups.greedy(states(1.0, 3.0), [0.1, 0.2], lambda state: 1.0)
    assert best_first.state["n"].item() == 1


def test_no_member_is_changed():
    given = states(1.0, 3.0, 5.0)
    soups.greedy(given, [1, 2, 3], lambda state: state["w"].mul_(0).item() + 9)
    soups.uniform(given)["w"].mul_(0)
    assert [state["w"].item() for state in given] == [1, 3, 5]


def test_members_of_other_shapes_or_names_are_refused():
    first = {"w": torch.zeros(2, 3)}
    with pytest.raises(InputError, match="w of member 2 is 3 x 2, not 2 x 3"):
        soups.uniform([first, {"w": torch.zeros(3, 2)}])
    with pytest.raises(InputError, match="member 2 lacks w"):
        soups.uniform([first, {"x": torch.zeros(1)}])
    with pytest.raises(InputError, match="none is given"):
        soups.uniform([])
    with pytest.raises(InputError, match="lies in 0 to 1"):
        soups.interpolate(first, first, 1.5)
    with pytest.raises(InputError, match="2 scores of 1 members"):
        soups.greedy([first], [1, 2], lambda state: 0.0)


def test_a_mean_never_holds_more_than_one_member_tensor_beside_it(tmp_path):
    alive: list[weakref.ref] = []
    most = 0

    class Watched(soups.StoredState):
        def __getitem__(self, name):
            nonlocal most
            value = super().__getitem__(name)
            alive.append(weakref.ref(value))
            most = max(most, sum(one() is not None for one in alive))
            return value

    members = []
    for k in range(4):
        tensors = {f"w{n}": torch.full((5,), float(k)) for n in range(6)}
        weights.write_tensors(tmp_path / f"{k}.safetensors", tensors)
        members.append(Watched(tmp_path / f"{k}.safetensors"))
    made = soups.uniform(members)
    assert made["w5"].tolist() == [1.5] * 5
    assert most <= 2


def test_a_file_is_read_in_single_precision_and_checked(tmp_path):
    weights.write_tensors(tmp_path / "half.safetensors", {"w": torch.ones(2).half()})
    state = soups.StoredState(tmp_path / "half.safetensors")
    assert state["w"].dtype == torch.float32
    assert list(state) == ["w"]
    weights.write_tensors(tmp_path / "nan.safetensors", {"w": torch.tensor([float("nan")])})
    with pytest.raises(InputError, match="not finite"):
        soups.StoredState(tmp_path / "nan.safetensors")["w"]
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(InputError, match="not a whole safetensors file"):
        soups.StoredState(tmp_path / "cut.safetensors")
    with pytest.raises(InputError, match="does not exist"):
        soups.StoredState(tmp_path / "none.safetensors")


class Line(nn.Module):
    """One linear layer under the name of a classifier's last."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.head = nn.ModuleDict({"norm": nn.Linear(4, 4), "project": nn.Linear(4, 3)})

    def forward(self, x):
        return self.head["project"](self.head["norm"](x).tanh())


@pytest.mark.parametrize("by", ["tensor", "model"])
def test_learned_weights_start_uniform_and_lower_the_loss(by):
    members = [Line(seed).state_dict() for seed in range(4)]
    torch.manual_seed(9)
    x = torch.randn(64, 4)
    teacher = Line()
    teacher.load_state_dict(members[2])
    targets = teacher(x).argmax(1)
    soup = soups.LearnedSoup(Line(), members, by)
    mean = Line()
    mean.load_state_dict(soups.uniform(members))
    torch.testing.assert_close(soup(x), mean(x))
    before = cross_entropy(soup(x), targets).item()
    losses = soups.learn(soup, [x], targets, soups.Learning(epochs=40, batch=32, by=by))
    assert len(losses) == 80
    after = cross_entropy(soup(x), targets).item()
    assert after < 0.5 * before
    shares = soup.shares()
    torch.testing.assert_close(shares.sum(1), torch.ones(4))
    assert shares.mean(0).argmax() == 2  # the teacher itself
    assert (shares.std(0).max() > 1e-4) == (by == "tensor")
    plain = Line()
    plain.load_state_dict(soup.state())
    torch.testing.assert_close(plain(x), soup(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="has no 'out'"):
        soup.state(head=["out"])
    with pytest.raises(InputError, match="no held-out clip"):
        soups.learn(soup, [x[:0]], targets[:0], soups.Learning())


def test_gradients_of_the_mixing_weights_are_right():
    members = [{name: v.double() for name, v in Line(s).state_dict().items()} for s in range(3)]
    soup = soups.LearnedSoup(Line().double(), members).double()
    x = torch.randn(5, 4, dtype=torch.float64)

    def answer(alpha, beta):
        return torch.func.functional_call(soup, {"alpha": alpha, "beta": beta}, (x,))

    start = [part.detach().clone().requires_grad_(True) for part in (soup.alpha, soup.beta)]
    assert torch.autograd.gradcheck(answer, start)


def test_the_ensemble_is_a_mean_of_logits_or_probabilities():
    first, second = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    assert soups.ensemble([first, second]).tolist() == [[1, 2]]
    mean = soups.ensemble([first, second], "probabilities").exp()
    torch.testing.assert_close(mean, (first.softmax(1) + second.softmax(1)) / 2)
    with pytest.raises(InputError, match="none is given"):
        soups.ensemble([])


def test_a_barrier_is_the_rise_above_the_line_between_both_ends():
    one, other = states(-1.0, 3.0)
    hill = soups.barrier(one, other, lambda state: 5 - abs(state["w"].item() - 1), points=5)
    assert hill.shares == (0, 0.25, 0.5, 0.75, 1)
    assert hill.height == pytest.approx(2)  # 3 at both ends, 5 in the middle
    slope = soups.barrier(one, other, lambda state: state["w"].item())
    assert slope.height == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="at least 3"):
        soups.barrier(one, other, lambda state: 0.0, points=2)


def test_measuring_statistics_leaves_everything_else_in_evaluation():
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(2)).eval()
    batch = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    soups.reestimate_norms(model, [(batch,)])
    assert model[1].running_mean.tolist() == [2, 4]  # nothing was dropped
    assert model[1].momentum == 0.1
    assert not any(part.training for part in model.modules())
    with pytest.raises(InputError, match="no clip to measure"):
        soups.reestimate_norms(model, [])
    plain = nn.Linear(2, 2)
    soups.reestimate_norms(plain, [])
    assert not soups.has_batch_norms(plain)
    assert soups.has_batch_norms(model)


def test_the_spread_is_the_mean_squared_distance_from_the_mean():
    assert soups.spread(states(1.0, 5.0)) == pytest.approx(4)
