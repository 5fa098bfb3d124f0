"""Synonyms: words of a training text exchanged for others of the same meaning."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from finetune.errors import DataError
from finetune.techniques.base import AugmentSources, BatchAugment, Budget, Technique
from finetune.techniques.eda import NEGATIONS
from finetune.techniques.words import find_words, match_case, replace_spans, vocabulary_words

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

Synonyms_ = Mapping[str, Sequence[str]]

# English words that carry grammar or a negation without its apostrophe. Words of one or two letters are never touched.
STOP_WORDS = frozenset(
    """
    about above after again against ain aint all also although always among and another any anybody anyone anything are
    arent around as because been before being below between both but can cant could couldnt did didnt does doesnt doing
    don dont down during each either else even ever every everybody everyone everything few for from further had hadnt
    has hasnt have havent having her here hers herself him himself his how however into isnt its itself just less let
    like many may might mine more most much must mustnt myself nearly non nope off once one only other our ours
    ourselves out over own per please rather same shall she should shouldnt since some somebody someone something still
    such than that the their theirs them themselves then there these they this those though through too toward towards
    two under until upon very via was wasnt well were werent what when where whether which while who whom whose why will
    with within wont would wouldnt yet you your yours yourself yourselves
    """.split()
)
MOST = 5  # neighbours of a word to draw from
LOOKED_AT = 40  # neighbours before inflections are taken out
CHUNK = 128  # words whose neighbours are looked for at a time: with 250,000 candidates 128 MB
FEW_TEXTS = 0.2  # of the training texts: below it augmentation hardly happens
KNOWN_WORDS = 0.5  # of the distinct words: English texts have 0.8 to 0.97 of theirs in WordNet, German ones 0.2
MAIN_SENSE = 0.5  # of a word's uses: a word without a main sense is ambiguous, and is left alone


def exchange_words(text: str, synonyms: Synonyms_, share: float, rng: random.Random) -> str:
    """Put a random synonym in place of `share` of the words that have one, at least one, in the case of the word."""
    spans = [(start, end) for start, end in find_words(text) if text[start:end] in synonyms]
    if not spans:
        return text
    chosen = rng.sample(spans, max(1, round(share * len(spans))))
    return replace_spans(
        text,
        [
            ((start, end), match_case(rng.choice(synonyms[text[start:end]]), text[start:end]))
            for start, end in sorted(chosen)
        ],
    )


def wordnet_synonyms(wordnet: Any, word: str) -> list[str]:
    """The other words of the sense in which `word` is used most, by WordNet's counts in a corpus of texts.

    None for words that are (also) an inflected form of another ("minutes", "said": the synonym would not fit the
    sentence), and for words without a sense that makes up half of their uses. Synonyms that the corpus never has in
    this sense ("hebdomad" for "week") are not taken.
    """
    senses = wordnet.synsets(word)
    uses = [[lemma.count() for lemma in sense.lemmas() if lemma.name().lower() == word] for sense in senses]
    if not senses or not all(uses):
        return []
    counts = [sum(found) for found in uses]
    main = counts.index(max(counts))
    if counts[main] < MAIN_SENSE * sum(counts):
        return []
    return [
        lemma.name()
        for lemma in senses[main].lemmas()
        if lemma.count() > 0 and lemma.name().lower() != word and lemma.name().isalpha() and len(lemma.name()) > 1
    ]


def nearest_rows(matrix: Tensor, rows: Sequence[int], candidates: Sequence[int], least: float) -> list[list[int]]:
    """For each of `rows` the candidates that are closest to it, as row numbers, the closest first.

    Closeness is the cosine after the candidates' mean is taken off all of them; it must be `least`. At most
    `LOOKED_AT` each. Shapes: matrix (vocabulary, width).
    """
    import torch

    mean = matrix[torch.tensor(candidates)].mean(dim=0)
    units = torch.nn.functional.normalize(matrix[torch.tensor(candidates)] - mean, dim=1)
    found: list[list[int]] = []
    for start in range(0, len(rows), CHUNK):
        chunk = matrix[torch.tensor(rows[start : start + CHUNK])] - mean
        cosines = torch.nn.functional.normalize(chunk, dim=1) @ units.T
        values, places = cosines.topk(min(LOOKED_AT, len(candidates)), dim=1)
        for near, where in zip(values.tolist(), places.tolist(), strict=True):
            found.append([candidates[place] for value, place in zip(near, where, strict=True) if value >= least])
    return found


def is_form_of(one: str, two: str) -> bool:
    """Whether two words look like forms of one (watch, watched, watches) or one like the other's negation (unhappy).

    By spelling alone: the same beginning, all but the last three letters of the shorter word and three at least; or
    the same ending behind three letters at most.
    """
    short, long = sorted((one.lower(), two.lower()), key=len)
    start = short[: max(3, len(short) - 3)]
    return long.startswith(start) or (long.endswith(short) and len(long) - len(short) <= 3)


class Synonyms(Technique):
    """Exchange some words of a training text for synonyms, so that the model cannot learn single words by heart.

        k = max(1, round(share · n)) of the n words of a text that have a synonym, each ← one of its synonyms

    Fresh each epoch, from a random stream keyed by (seed, epoch, row). Case, marks and everything between the words
    stay byte for byte. Never touched: negations and the other `protected` words, English stop words, words of one or
    two letters, @names, #tags, web addresses, numbers, contractions; and no negation is ever put in.

    source wordnet: English. The other words of the sense that WordNet counts most; inflected forms and words without
    a main sense are left alone, which keeps most sentences grammatical. Looked at on tweets and on product reviews:
    car → automobile, buy → purchase, maybe → perhaps, wonderful → marvelous; now and then the wrong sense (away → off,
    food → nutrient, super → crack). Some word of 50 to 90 % of English texts has a synonym. Needs the package nltk
    and its corpus, which are never downloaded here: pip install nltk; python -m nltk.downloader wordnet.

    source embeddings: any language. Nearest neighbours, by cosine, among the whole words of the model's own
    vocabulary, up to five; forms of the same word and negations of it (un-, dis-) are taken out by spelling. What
    is near is used alike, which is not always meant alike: of the pairs that MiniLM's embeddings give at 0.6, about
    half share a meaning in WordNet and two in a hundred are opposites (positive → negative, husband → wife, east →
    west), and weekdays, months and cities stand in for each other. Where such words decide the label, protect them
    or use wordnet. Other models put words at other distances: look at a few texts before trusting a new one.

    Range: share near 0 is one word a text; 1 is every word that can be. similarity near 0 takes any word, near 1 none.
    Cost: 1.0 ×; before training 4 s to read WordNet, or seconds to find neighbours and a copy of the embeddings.
    Raises: DataError if WordNet is asked for and not installed, or if no training text has a word with a synonym.
    Relations: words that `contextual` or `back_translation` bring in are left alone; composes with `aeda` and `eda`.
    Evidence: as one part of EDA +0.8 points with all data and +3.0 with 500 rows, but for RNNs and CNNs; with
    pre-trained encoders EDA gives no consistent gain (Longpre et al. 2020).
    Source: Wei & Zou 2019, arXiv:1901.11196, and Zhang et al. 2015, arXiv:1509.01626. Departs from it in: main sense
    and uninflected words only; the model's own embeddings where there is no WordNet; online replacement instead of
    added copies.
    """

    family: ClassVar[str] = "augmentation"
    source_of: ClassVar[str] = "Wei & Zou 2019, arXiv:1901.11196"
