"""Which encoder suits the data: linear models on frozen features, by cross-validation on the training rows.

Only the linear models are trained, and validation and test are not read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from finetune.checks.out_of_fold import FoldedRows, interval, refuse_single_rows
from finetune.data.rows import Data
from finetune.data.subset import draw_probe
from finetune.data.tokens import Encoder
from finetune.data.train_set import Collator
from finetune.errors import FinetuneError
from finetune.models.configuration import load_tokenizer, position_limit
from finetune.models.features import FrozenEncoder
from finetune.models.load import pooled_for_pairs
from finetune.recipe import ModelSection, Recipe
from finetune.records.encoders import EncoderComparison, EncoderScore
from finetune.training.measures import measure_for

MOST_ROWS = 2000  # training rows: at 80 % accuracy the interval is ± 1.8 points wide
UNLIMITED = 10**9  # tokens: what tokenizers say that know no limit is far above
Floats = NDArray[np.float64]


def compare_encoders(
    recipe: Recipe, data: Data, models: Sequence[str], tell: Callable[[str], None]
) -> EncoderComparison:
    """Score each encoder on the training rows.

    Args:
        recipe: Source of the data section, `model.pooling`, and the recipe's own model.
        data: Data whose training rows are read.
        models: Hub ids, folders or package paths, each once.
        tell: Called with a message about the encoder that is being read.

    Returns:
        A row for each encoder, the best first; one that cannot be read has its error instead of a score.

    Raises:
        DataError: There are too few training rows.
    """
    refuse_single_rows(data.train, data.task)
    seed = recipe.data.split_seed
    most = min(MOST_ROWS, len(data.train))
    rows = data.train
    if most < len(rows):
        rows = rows.take(draw_probe(rows.labels, most, data.task, seed, "models"))
    folded = FoldedRows(data, rows, seed)
    score = measure_for(data, recipe.training.score).score
    entries: list[EncoderScore] = []
    draws: dict[str, Floats] = {}
    for number, name in enumerate(models, 1):
        tell(f"{name}: reading {len(rows):,} training rows ({number} of {len(models)})")
        entry, logits = _read(recipe, data, folded, name)
        if logits is not None:
            draws[name] = folded.draws(logits, score)
            entry = _scored(entry, folded, logits, score, draws[name])
        entries.append(entry)
    started = time.perf_counter()
    logits = folded.predict_with_words()
    words = EncoderScore(model="TF-IDF", seconds=round(time.perf_counter() - started, 1))
    draws[words.model] = folded.draws(logits, score)
    words = _scored(words, folded, logits, score, draws[words.model])
    entries.sort(key=_rank)
    *entries, words = _with_differences([*entries, words], draws)
    return EncoderComparison(
        score=score,
        rows=len(rows),
        of_rows=len(data.train),
        folds=len(folded.folds),
        how=folded.how,
        seed=seed,
        max_length=recipe.data.max_length,
        recipe_model=recipe.model.id,
        models=entries,
        tfidf=words,
    )


def section_of(recipe: Recipe, model: str) -> ModelSection:
    """The model section: that of the recipe for its own model, else one with the recipe's pooling."""
    if model == recipe.model.id:
        return recipe.model
    return ModelSection(id=model, pooling=recipe.model.pooling)


def frozen_features(
    recipe: Recipe, data: Data, folded: FoldedRows, model: str
) -> tuple[NDArray[np.float32], EncoderScore]:
    """(rows, dimension) of length 1, and facts about the encoder. Only the first window of a text in windows is read.

    Raises:
        ModelError: The model cannot be used.
        DataError, RecipeError: The model does not take `data.max_length` tokens, or cannot cut texts in this way.
    """
    section, settings, rows = section_of(recipe, model), recipe.data, folded.rows
    section = pooled_for_pairs(section) if data.has_pairs else section
    frozen = FrozenEncoder(section)
    tokenizer = load_tokenizer(section)
    positions = position_limit(frozen.config)
    encoder = Encoder(tokenizer, data, settings.max_length, settings.long_texts, settings.overlap, positions)
    tokens = encoder.encode_once(rows.texts, rows.pairs)
    items = [{**tokens[int(first)], "labels": 0} for first in tokens.first[:-1]]
    warnings = [problem.for_command_line() for problem in frozen.pooling.warnings]
    if frozen.lacking:
        warnings.append(
            f"{len(frozen.lacking)} weights of the encoder are missing and random ({frozen.lacking[0]} …): this is "
            "not the pretrained model that you expect."
        )
    facts = EncoderScore(
        model=model,
        is_recipe=model == recipe.model.id,
        pooling=frozen.pooling.kind,
        pooling_reason=frozen.pooling.reason,
        parameters=frozen.parameters,
        dimension=frozen.dimension,
        max_tokens=encoder.limit if encoder.limit < UNLIMITED else None,
        truncated=float((tokens.lengths > settings.max_length).mean()),
        warnings=warnings,
    )
    return frozen.features(items, Collator(tokenizer)), facts


def _read(recipe: Recipe, data: Data, folded: FoldedRows, model: str) -> tuple[EncoderScore, Floats | None]:
    """What is to know of one encoder and its out-of-fold logits; None where it cannot be used."""
    started = time.perf_counter()
    try:
        features, facts = frozen_features(recipe, data, folded, model)
    except FinetuneError as error:
        why = error.for_command_line()
        return EncoderScore(model=model, is_recipe=model == recipe.model.id, error=why), None
    logits = folded.predict_with(features)
    return facts.model_copy(update={"seconds": round(time.perf_counter() - started, 1)}), logits


def _scored(entry: EncoderScore, folded: FoldedRows, logits: Floats, score: str, draws: Floats) -> EncoderScore:
    scores = folded.scores(logits)
    return entry.model_copy(update={"scores": scores, "score": interval(scores[score], draws)})


def _rank(entry: EncoderScore) -> tuple[bool, float]:
    """The best first, then undefined scores, then errors. Equal ones keep the order in which they were named."""
    return entry.error is not None, np.inf if entry.score.mean is None else -entry.score.mean


def _with_differences(entries: list[EncoderScore], draws: dict[str, Floats]) -> list[EncoderScore]:
    """With the paired difference to the first, which is the best; it has none itself."""
    best = entries[0]
    if best.score.mean is None:
        return entries
    found = [best]
    for entry in entries[1:]:
        if entry.model in draws and entry.score.mean is not None:
            change = interval(entry.score.mean - best.score.mean, draws[entry.model] - draws[best.model])
            entry = entry.model_copy(update={"difference": change})
        found.append(entry)
    return found
