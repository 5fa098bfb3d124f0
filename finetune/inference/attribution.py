"""How much each token contributes to a classifier's output: integrated gradients over the word embeddings, by captum.

A straight path leads from the text with every word replaced by the mask token to the text itself; gradients along it,
times the difference, add up to the difference of the two outputs (completeness), which the error of the sum checks.

Source: Sundararajan, Taly & Yan 2017, arXiv:1703.01365.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from finetune.data.located import Located
from finetune.errors import Change, ModelError
from finetune.measurement.scores import Floats

STEPS = (32, 128, 512)  # points of the Gauss-Legendre rule on the path: more, where the sum is not exact enough
EXACT = 0.02  # of the difference of the two outputs, which the sum may miss
AT_ONCE = 16  # of them in a pass


def contributions(
    model: Any, tokenizer: Any, pieces: Sequence[Located], weights: Floats, words: int
) -> tuple[Floats, float, float]:
    """Contributions of words to a weighted sum of the logits, which are means over the pieces.

    Args:
        model: A sequence classifier of transformers, in eval mode.
        tokenizer: Its own.
        pieces: Pieces of one text.
        weights: (outputs,) weights of the logits.
        words: Number of words.

    Returns:
        (words,) contributions, the weighted sum for the text, and that for the text with masks for words.

    Raises:
        ModelError: captum is not installed.
    """
    try:
        from captum.attr import LayerIntegratedGradients
    except ImportError as error:
        why = "words are explained by captum, which is not installed."
        raise ModelError(why, Change(command='pip install "finetune[explain]"')) from error
    device = next(model.parameters()).device
    blank = next(
        token
        for token in (tokenizer.mask_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id)
        if token is not None
    )
    factors = torch.tensor(weights, dtype=torch.float32, device=device)
    found = np.zeros(words)
    value = start = 0.0
    for piece in pieces:
        names = [name for name in piece.item if name != "input_ids"]

        def output(ids: torch.Tensor, *others: torch.Tensor, names: list[str] = names) -> torch.Tensor:
            inputs = dict(zip([*names, "attention_mask"], others, strict=True))
            summed: torch.Tensor = model(input_ids=ids, **inputs).logits.float() @ factors
            return summed

        ids = torch.tensor([piece.item["input_ids"]], device=device)
        others = (*(torch.tensor([piece.item[name]], device=device) for name in names), torch.ones_like(ids))
        numbers = np.array(piece.words)
        masked = torch.where(torch.tensor(numbers >= 0, device=device), torch.tensor(blank, device=device), ids)
        with torch.no_grad():
            ends = [float(_output_of(model, output, ids, given, others)) for given in (ids, masked)]
        method = LayerIntegratedGradients(output, model.get_input_embeddings())
        for steps in STEPS:
            gradients = method.attribute(
                ids, masked, additional_forward_args=others, n_steps=steps, internal_batch_size=AT_ONCE
            )
            of_tokens = gradients.sum(dim=-1)[0].detach().double().cpu().numpy()
            if abs(of_tokens.sum() - (ends[0] - ends[1])) <= EXACT * abs(ends[0] - ends[1]):
                break
        np.add.at(found, numbers[numbers >= 0], of_tokens[numbers >= 0] / len(pieces))
        value += ends[0] / len(pieces)
        start += ends[1] / len(pieces)
    return found, value, start


def _output_of(model: Any, output: Any, ids: torch.Tensor, given: torch.Tensor, others: Any) -> torch.Tensor:
    """The output with the word embeddings of the given tokens; positions are those of `ids`."""
    layer = model.get_input_embeddings()
    replaced = layer(given)
    hook = layer.register_forward_hook(lambda *_: replaced)
    try:
        summed: torch.Tensor = output(ids, *others)
    finally:
        hook.remove()
    return summed
