"""Which elements dropout keeps: 15 random bits each, four elements a random word.

torch draws a float64 for each element of a dropout mask on one core; at 10 % of a small encoder's training time that
is more than the softmax of all its attention. Words of 63 random bits come eight times as fast.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

STEPS = 2**15  # probabilities are multiples of 1 / STEPS


def drawn_probability(probability: float) -> float:
    """The multiple of 1 / STEPS that masks have: within 1.6e-5 of `probability`."""
    return round(probability * STEPS) / STEPS


def draw_mask(shape: Sequence[int], probability: float) -> Tensor:
    """int16 of `shape`: all bits set where an element is kept, 0 where it is dropped.

    Draws from torch's global CPU generator, so that seeds and saved random states mean what they mean elsewhere.

    Args:
        shape: Of what is masked.
        probability: Of being dropped; one that `can_mask` accepts.
    """
    elements = math.prod(shape)
    words = torch.empty((elements + 3) // 4, dtype=torch.int64).random_()  # 63 random bits, the highest is 0
    mask = words.view(torch.int16)[:elements].bitwise_and_(STEPS - 1)
    # Below the threshold the difference is negative; its sign, shifted over all bits, says "dropped".
    mask.sub_(round(drawn_probability(probability) * STEPS)).bitwise_right_shift_(15).bitwise_not_()
    return mask.view(*shape)


def apply_mask(values: Tensor, mask: Tensor, probability: float) -> Tensor:
    """Kept elements divided by the fraction that is kept, 0 elsewhere; a new tensor.

    Args:
        values: float32, bfloat16 or float16.
        mask: From `draw_mask`, of the same shape.
        probability: With which the mask was drawn.
    """
    bits = torch.int32 if values.dtype == torch.float32 else torch.int16
    kept = values.contiguous().view(bits).bitwise_and(mask.to(bits)).view(values.dtype)
    return kept.mul_(1 / (1 - drawn_probability(probability)))
