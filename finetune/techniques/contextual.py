"""Contextual substitution: words of a training text replaced by what a masked language model expects there."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from finetune.errors import Change, DataError, ModelError
from finetune.techniques.base import Technique
from finetune.techniques.changes import turned_off
from finetune.techniques.eda import NEGATIONS
from finetune.techniques.helper_models import fingerprint, load_part, load_weights
from finetune.techniques.hooks.augmentation import Augmentation, AugmentSources, BatchAugment
from finetune.techniques.search import SearchRange, linear
from finetune.techniques.text_cache import Variant, cache_key, draw_variants, stored_texts
from finetune.techniques.words import find_words, match_case, replace_spans, vocabulary_words

BATCH_TOKENS = 2048  # logits of so many tokens: 250 MB with 30,000 words, 2 GB with 250,000
LONGEST = 512  # tokens; words beyond them are not replaced
KEY = "techniques.contextual.model"
ANOTHER_MODEL = Change(
    settings={KEY: "NAME_OR_FOLDER"},
    note="a masked language model; sentence encoders and classifiers are saved without its head",
)

Span = tuple[int, int]


def choose_words(text: str, fraction: float, protected: frozenset[str], rng: random.Random) -> list[Span]:
    """Draw `fraction` of the words that may be replaced, at least one, from left to right; protected words are never
    drawn.
    """
    spans = [(start, end) for start, end in find_words(text) if text[start:end].lower() not in protected]
    return sorted(rng.sample(spans, max(1, round(fraction * len(spans))))) if spans else []


def draw_word(
    words: Sequence[str], scores: Sequence[float], original: str, top_k: int, rng: random.Random
) -> str | None:
    """Draw one of the `top_k` likeliest words by their probabilities; the original is excluded in upper and lower case.

    Args:
        words: The likeliest first.
        scores: Log-probability of each word, up to a constant.
        original: The word to replace.
        top_k: Words to draw from.
        rng: The random stream.
    """
    others = [(word, score) for word, score in zip(words, scores, strict=True) if word.lower() != original.lower()]
    if not others:
        return None
    highest = others[0][1]
    (drawn,) = rng.choices(
        [word for word, _ in others[:top_k]], [math.exp(score - highest) for _, score in others[:top_k]]
    )
    return drawn


class Contextual(Technique, Augmentation):
    """Replace words by those that a masked language model predicts in their place.

        w_i ← w ~ p(w | the text with i masked), over the top_k likeliest words w ≠ w_i, for `share` of the words

    All chosen words of a text are masked at once and filled from one pass of a masked language model. Each training
    text is rewritten `variants` times before training, and an epoch draws among them: `probability` of the texts, by
    the stream keyed by (seed, epoch, row). The rewriting itself is keyed by content (text, model, settings, number),
    so it is the same in all seeds, and it is stored on disk (folder contextual of FINETUNE_CACHE) for later runs.
    Only whole words made of letters are removed or inserted, in the case of the replaced word; negations and other
    `protected` words, @names, #tags, web addresses and numbers never are. Words beyond the model's first 512 tokens
    stay as they are.

    Range: share near 0 replaces one word per text; 1 masks all words and leaves no context. top_k 1 takes the likeliest
    word, 100 nearly any. More variants repeat less from epoch to epoch.
    Cost: 1.0 × once the texts are made; before that, `variants` forward passes of the model over the training texts.
    Raises: ModelError if the model cannot be loaded or has no trained head for masked words (sentence encoders have
    none); DataError if no training text has a word that may be replaced.
    Relations: put it before techniques that change texts anew in each epoch (`aeda`, `eda`, `synonyms`), or it has to
    run in every epoch. Can be combined with `back_translation`.
    Evidence: 10 examples per class, BERT-base: TREC 48.6 ± 11.5 → 64.3 and SST-2 52.9 ± 5.0 → 57.4 with a model that
    sees the label; this one does not, so "good" may become "bad" where that word alone decides the label. At 1,000 rows
    and more there is about no gain.
    Source: Wu et al. 2019, arXiv:1812.06705, and Kumar et al. 2020, arXiv:2003.02245. Departs from it in: the model
    does not see the label; whole words only, never the original; online replacement instead of added copies.
    """

    family: ClassVar[str] = "augmentation"
    source: ClassVar[str] = "Wu et al. 2019, arXiv:1812.06705"
    search: ClassVar[Mapping[str, SearchRange]] = {"probability": linear(0.1, 0.8), "share": linear(0.05, 0.3)}

    probability: float = Field(0.5, gt=0, le=1, description="Fraction of the training texts changed in an epoch.")
    share: float = Field(
        0.15, gt=0, le=1, description="Fraction of the words of a text that are replaced; at least one word."
    )
    top_k: int = Field(10, ge=1, le=1000, description="Number of likeliest words to draw from.")
    variants: int = Field(
        2, ge=1, le=100, description="Rewritten versions of each training text, made before training."
    )
    model: str | None = Field(
        None, description="Folder or hub id of a masked language model; null: the run's own checkpoint."
    )
    protected: list[str] = Field(list(NEGATIONS), description="Words that are never replaced; case is ignored.")

    def check_sources(self, sources: AugmentSources) -> None:
        location = self._location(sources)
        config = load_part("AutoConfig", location, KEY, ANOTHER_MODEL)
        saved_as = config.architectures or []  # what the checkpoint holds, where it says so
        if saved_as and not any(name.endswith("ForMaskedLM") for name in saved_as):
            why = f"'{location}' holds a {saved_as[0]}, which cannot predict masked words."
            raise ModelError(why, ANOTHER_MODEL, key=KEY, found=location)

    def _location(self, sources: AugmentSources) -> str:
        return sources.model if self.model is None else self.model

    def augmenter(self, sources: AugmentSources) -> BatchAugment:
        location = self._location(sources)
        config = load_part("AutoConfig", location, KEY, ANOTHER_MODEL)
        if not any(choose_words(text, self.share, self._kept(), random.Random(0)) for text in sources.texts):
            raise DataError(
                "no training text has a word that may be replaced (letters only, between spaces).",
                turned_off("contextual"),
                key="techniques.contextual",
            )
        made_of = [fingerprint(location, config), self.model_dump(include={"share", "top_k", "protected"})]
        file = sources.cache / "contextual" / "texts.sqlite3"

        def rewrite(variants: list[Variant]) -> dict[Variant, str]:
            keys = {cache_key(made_of, text, number): (text, number) for text, number in variants}
            filled = stored_texts(
                file,
                list(keys),
                lambda missing: self._fill({key: keys[key][0] for key in missing}, location),
                "contextual",
            )
            return {variant: filled[key] for key, variant in keys.items()}

        return draw_variants(rewrite, sources.texts, self.probability, self.variants, "contextual")

    def _kept(self) -> frozenset[str]:
        return frozenset(NEGATIONS) | {word.lower() for word in self.protected}

    def _fill(self, texts: dict[str, str], location: str) -> Iterator[dict[str, str]]:
        """Key -> text, rewritten batch by batch. The stream of a text is made of its key."""
        filler = _Filler(location, self._kept(), self.top_k)
        streams = {key: random.Random(key) for key in texts}
        chosen = {key: choose_words(text, self.share, self._kept(), streams[key]) for key, text in texts.items()}
        for keys in filler.batches(texts, chosen):
            yield dict(
                zip(
                    keys,
                    filler.fill([(texts[key], chosen[key], streams[key]) for key in keys]),
                    strict=True,
                )
            )


class _Filler:
    """A masked language model and the words it may put in."""

    def __init__(self, location: str, kept: frozenset[str], top_k: int) -> None:
        self._tokenizer = load_part("AutoTokenizer", location, KEY, ANOTHER_MODEL)
        if self._tokenizer.mask_token is None:
            why = f"the tokenizer of '{location}' has no mask token."
            raise ModelError(why, ANOTHER_MODEL, key=KEY, found=location)
        self._model = load_weights("AutoModelForMaskedLM", location, KEY, ANOTHER_MODEL)
        size = int(self._model.config.vocab_size)
        words = {
            word: number
            for word, number in vocabulary_words(self._tokenizer).items()
            if number < size and word.lower() not in kept
        }
        if not words:
            why = f"the vocabulary of '{location}' has no whole words."
            raise ModelError(why, ANOTHER_MODEL, key=KEY, found=location)
        self._words, self._ids = list(words), list(words.values())
        self._top_k = top_k
        positions = getattr(self._model.config, "max_position_embeddings", None) or LONGEST
        # RoBERTa-like models count positions from 2 on.
        self._limit = max(8, min(self._tokenizer.model_max_length, positions - 2, LONGEST))

    def batches(self, texts: dict[str, str], chosen: dict[str, list[Span]]) -> Iterator[list[str]]:
        """Keys of texts of about the same length, few enough for the memory."""
        lengths = {key: min(self._limit, len(ids)) for key, ids in zip(texts, self._encode(texts, chosen), strict=True)}
        batch: list[str] = []
        for key in sorted(lengths, key=lambda key: (lengths[key], key)):
            if batch and (len(batch) + 1) * lengths[key] > BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(key)
        if batch:
            yield batch

    def _encode(self, texts: dict[str, str], chosen: dict[str, list[Span]]) -> Any:
        return self._tokenizer(
            [self._masked(text, chosen[key]) for key, text in texts.items()], truncation=True, max_length=self._limit
        )["input_ids"]

    def _masked(self, text: str, spans: list[Span]) -> str:
        return replace_spans(text, [(span, self._tokenizer.mask_token) for span in spans])

    def fill(self, batch: list[tuple[str, list[Span], random.Random]]) -> list[str]:
        """The texts with the chosen words replaced, as far as the model saw them."""
        import torch

        inputs = self._tokenizer(
            [self._masked(text, spans) for text, spans, _ in batch],
            truncation=True,
            max_length=self._limit,
            padding=True,
            return_tensors="pt",
        ).to(self._model.device)
        with torch.inference_mode():
            logits = self._model(**inputs).logits
        masks = inputs["input_ids"] == self._tokenizer.mask_token_id
        ids = torch.tensor(self._ids, device=logits.device)
        results = []
        for row, (text, spans, rng) in enumerate(batch):
            # Without a text that holds the mask token itself, the masks stand in the order of the spans.
            if self._tokenizer.mask_token in text:
                results.append(text)
                continue
            scores = logits[row][masks[row]][:, ids].float()
            # Some more than top_k: the original and its other spellings are taken out.
            values, places = scores.topk(min(self._top_k + 3, len(self._ids)), dim=1)
            replacements = []
            for span, near, where in zip(spans, values.tolist(), places.tolist(), strict=False):
                original = text[span[0] : span[1]]
                word = draw_word([self._words[place] for place in where], near, original, self._top_k, rng)
                if word is not None:
                    replacements.append((span, match_case(word, original)))
            results.append(replace_spans(text, replacements))
        return results
