"""Facts of data and model that the rules of a preset use (`finetune/recipe/conditions.py` describes each)."""

from __future__ import annotations

import statistics
from typing import Any

from finetune.data.labels import count_labels
from finetune.data.rows import Data, Rows
from finetune.errors import ModelError
from finetune.models.load import find_pooling, load_config
from finetune.recipe import Recipe
from finetune.training.measures import measure_for


def measure_facts(recipe: Recipe, data: Data) -> dict[str, Any]:
    """Every fact for one recipe on one data set; None: not known, or not defined for this task."""
    score = measure_for(data, recipe.training.score).score
    return {
        "task": data.task,
        "rows": len(data.train),
        "validation_rows": len(data.validation),
        **_class_facts(data),
        "score": score if score in ("accuracy", "macro_f1", "mcc") else "other",
        **_text_facts(data.train, recipe.data.max_length),
        "unlabelled": len(data.unlabelled or ()),
        **_model_facts(recipe, data),
    }


def _class_facts(data: Data) -> dict[str, float | None]:
    if data.labels is None:
        return dict.fromkeys(("classes", "rows_per_class", "rarest_class", "largest_class"))
    counts = count_labels(data.train)
    rows = [counts.get(label, 0) for label in data.labels]
    exclusive = data.task == "single_label"
    return {
        "classes": len(data.labels),
        "rows_per_class": statistics.mean(rows),
        "rarest_class": min(rows),
        "largest_class": max(rows) / len(data.train) if exclusive else None,
    }


def _text_facts(rows: Rows, max_length: int) -> dict[str, float]:
    pairs = rows.pairs or [""] * len(rows)
    words = [len(text.split()) + len(pair.split()) for text, pair in zip(rows.texts, pairs, strict=True)]
    return {"words": statistics.median(words), "long_texts": sum(count > max_length for count in words) / len(words)}


def _model_facts(recipe: Recipe, data: Data) -> dict[str, Any]:
    """Not known where there is no such model, which is an error of its own once it is to be trained."""
    try:
        config = load_config(recipe.model, data.task, data.labels)
        return {"pooling": find_pooling(recipe.model).kind, "width": getattr(config, "hidden_size", None)}
    except ModelError:
        return {"pooling": None, "width": None}
