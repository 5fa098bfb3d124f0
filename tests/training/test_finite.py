"""Objectives are looked at in their order, at once or some passes later."""

import pytest
import torch

from finetune.training.finite import FiniteWatch, reading_delay

BAD = [float("nan"), float("inf"), float("-inf")]


def complaint(number: int, found: float) -> Exception:
    return ValueError(f"pass {number}: {found}")


def add(watch: FiniteWatch, number: int, value: float) -> None:
    watch.add(torch.tensor(value), lambda found: complaint(number, found))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("behind", [0, 1, 2])
def test_what_is_not_finite_is_named_and_so_many_passes_later(behind: int, bad: float) -> None:
    watch = FiniteWatch(behind)
    values = [0.5, bad, 0.25, -3.0, 1e38]
    for number in range(1 + behind):
        add(watch, number, values[number])
    with pytest.raises(ValueError, match=f"pass 1: {bad}"):
        add(watch, 1 + behind, values[1 + behind])


@pytest.mark.parametrize("behind", [0, 1, 2])
def test_nothing_is_left_out_at_the_end(behind: int) -> None:
    watch = FiniteWatch(behind)
    add(watch, 0, 1.0)
    watch.catch_up()
    with pytest.raises(ValueError, match="pass 1: nan"):  # noqa: PT012  # with 0 it is the first that raises
        add(watch, 1, float("nan"))
        watch.catch_up()
    watch.catch_up()


def test_a_cpu_is_asked_at_once_and_a_gpu_a_pass_later() -> None:
    assert reading_delay(torch.device("cpu")) == 0
    assert reading_delay(torch.device("cuda")) == 1
