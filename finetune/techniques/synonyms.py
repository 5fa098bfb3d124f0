"""Synonyms: words of a training text replaced by others of the same meaning."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from finetune.errors import Change, DataError, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.changes import turned_off
from finetune.techniques.eda import NEGATIONS
from finetune.techniques.hooks.augmentation import Augmentation, AugmentSources, BatchAugment
from finetune.techniques.search import SearchRange, linear
from finetune.techniques.words import find_words, match_case, replace_spans, vocabulary_words

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

Thesaurus = Mapping[str, Sequence[str]]  # a word as it is written -> words to put in its place

# English words that carry grammar or a negation without its apostrophe. Words of one or two letters are never touched.
_STOP_WORDS = """
    about above after again against ain aint all also although always among and another any anybody anyone anything are
    arent around as because been before being below between both but can cant could couldnt did didnt does doesnt doing
    don dont down during each either else even ever every everybody everyone everything few for from further had hadnt
    has hasnt have havent having her here hers herself him himself his how however into isnt its itself just less let
    like many may might mine more most much must mustnt myself nearly non nope off once one only other our ours
    ourselves out over own per please rather same shall she should shouldnt since some somebody someone something still
    such than that the their theirs them themselves then there these they this those though through too toward towards
    two under until upon very via was wasnt well were werent what when where whether which while who whom whose why will
    with within wont would wouldnt yet you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
SIMILARITY = 0.6
EMBEDDINGS = Change(settings={".thesaurus": "embeddings"}, note="the model's own word embeddings")
NOT_INSTALLED = Problem(
    "WordNet is not installed.",
    ".thesaurus",
    changes=(Change(command="pip install nltk; python -m nltk.downloader wordnet"), EMBEDDINGS),
)
MOST = 5  # neighbours of a word to draw from
CONSIDERED = 40  # neighbours before inflections are taken out
CHUNK = 128  # words whose neighbours are looked for at a time: with 250,000 candidates 128 MB
FEW_TEXTS = 0.2  # of the training texts: below it augmentation hardly happens
KNOWN_WORDS = 0.5  # of the distinct words: WordNet has 0.8 to 0.97 of those of English texts, 0.2 of German ones
MAIN_SENSE = 0.5  # of a word's uses: a word without a main sense is ambiguous, and is not replaced


def replace_words(text: str, synonyms: Thesaurus, fraction: float, rng: random.Random) -> str:
    """Replace `fraction` of the words that have a synonym, at least one, by a random one in the case of the word."""
    spans = [(start, end) for start, end in find_words(text) if text[start:end] in synonyms]
    if not spans:
        return text
    chosen = rng.sample(spans, max(1, round(fraction * len(spans))))
    return replace_spans(
        text,
        [
            ((start, end), match_case(rng.choice(synonyms[text[start:end]]), text[start:end]))
            for start, end in sorted(chosen)
        ],
    )


def wordnet_synonyms(wordnet: Any, word: str) -> list[str]:
    """The other words of the sense in which `word` is used most, by WordNet's counts in a corpus of texts.

    There are none for words that are (also) an inflected form of another ("minutes", "said": the synonym would not fit
    the sentence), and for words without a sense that makes up half of their uses. Synonyms that never occur in the
    corpus in this sense ("hebdomad" for "week") are not taken.
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
    """For each of `rows`, the row numbers of the candidates closest to it, the closest first.

    Closeness is the cosine after the candidates' mean is subtracted from all of them; it must be at least `least`. At
    most `CONSIDERED` each. Shapes: matrix (vocabulary, width).
    """
    import torch

    mean = matrix[torch.tensor(candidates)].mean(dim=0)
    units = torch.nn.functional.normalize(matrix[torch.tensor(candidates)] - mean, dim=1)
    found: list[list[int]] = []
    for start in range(0, len(rows), CHUNK):
        chunk = matrix[torch.tensor(rows[start : start + CHUNK])] - mean
        cosines = torch.nn.functional.normalize(chunk, dim=1) @ units.T
        values, places = cosines.topk(min(CONSIDERED, len(candidates)), dim=1)
        for near, where in zip(values.tolist(), places.tolist(), strict=True):
            found.append([candidates[place] for value, place in zip(near, where, strict=True) if value >= least])
    return found


def is_form_of(one: str, two: str) -> bool:
    """Whether two words look like forms of one (watch, watched; give, gave) or one like the other's negation (unhappy).

    By spelling alone: the same first letter, and then the same consonant next or four letters at most (buy, bought);
    or the same ending behind three letters at most. Some true synonyms look like that too (great, grand).
    """
    short, long = sorted((one.lower(), two.lower()), key=len)
    if short[:1] == long[:1] and (len(short) <= 4 or _next_consonant(short) == _next_consonant(long)):
        return True
    return long.endswith(short) and len(long) - len(short) <= 3


class Synonyms(Technique, Augmentation):
    """Replace some words of a training text by synonyms, so that the model does not memorise single words.

        k = max(1, round(share · n)) of the n words of a text that have a synonym, each ← one of its synonyms

    The words are drawn anew in each epoch, from a random stream keyed by (seed, epoch, row). Case, marks and everything
    between the words stay byte for byte. Never replaced: negations and the other `protected` words, English stop words,
    words of one or two letters, @names, #tags, web addresses, numbers, contractions. No negation is ever inserted.

    thesaurus wordnet: English. Synonyms are the other words of the most frequent sense in WordNet; inflected forms and
    words without a main sense are not replaced, which keeps most sentences grammatical. Checked on tweets and on
    product reviews: car → automobile, buy → purchase, maybe → perhaps, wonderful → marvelous; now and then the wrong
    sense (away → off, food → nutrient, super → crack). 25 to 90 % of the texts of nine English data sets have one. It
    needs the package nltk and its corpus, which are never downloaded here:
    pip install nltk; python -m nltk.downloader wordnet.

    thesaurus embeddings: any language. Synonyms are up to five nearest neighbours, by cosine, among the whole words of
    the model's own vocabulary; forms of the same word and its negation (un-, dis-) are excluded by spelling. Neighbours
    are used alike, but do not always mean the same. Checked with MiniLM on the same texts: problem → issue, terrible →
    dreadful, phone → telephone, weeks → months; of all pairs at 0.6 a third share a sense in WordNet, half share one or
    have neighbouring ones, and two or three in a hundred are opposites (positive → negative, husband → wife, low →
    high; at 0.5 twice as many); weekdays, months and cities replace each other. It reaches 35 to 60 % of the texts.
    Where such words decide the label, protect them or use wordnet. Distances differ between models, and only English
    stop words are known: check a few texts for a new model or language.

    Range: share near 0 replaces one word per text; 1 every word that has a synonym. similarity near 0 accepts any word,
    near 1 none.
    Cost: 1.0 ×; before training 4 s to read WordNet, or seconds to find neighbours and a copy of the embeddings.
    Raises: RecipeError if WordNet is asked for and not installed; DataError if no training text has a synonym.
    Relations: words inserted by `contextual` or `back_translation` are not replaced; can be combined with `aeda` and
    `eda`.
    Evidence: as one part of EDA +0.8 points with all data and +3.0 with 500 rows, but for RNNs and CNNs; with
    pre-trained encoders EDA gives no consistent gain (Longpre et al. 2020).
    Source: Wei & Zou 2019, arXiv:1901.11196, and Zhang et al. 2015, arXiv:1509.01626. Departs from it in: main sense
    and uninflected words only; the model's own embeddings where there is no WordNet; online replacement instead of
    added copies.
    """

    family: ClassVar[str] = "augmentation"
    source: ClassVar[str] = "Wei & Zou 2019, arXiv:1901.11196"
    search: ClassVar[Mapping[str, SearchRange]] = {"probability": linear(0.1, 0.8), "share": linear(0.05, 0.3)}

    probability: float = Field(0.5, gt=0, le=1, description="Fraction of the training texts changed in an epoch.")
    share: float = Field(
        0.1, gt=0, le=1, description="Fraction of the words with synonyms that are replaced in a text."
    )
    thesaurus: Literal["auto", "wordnet", "embeddings"] = Field(
        "auto", description="Source of the synonyms; auto: wordnet if it is installed, else embeddings."
    )
    similarity: float = Field(
        SIMILARITY,
        gt=0,
        le=1,
        description="Lowest cosine similarity of two words for thesaurus embeddings; not used for wordnet.",
    )
    protected: list[str] = Field(list(NEGATIONS), description="Words that are never replaced; case is ignored.")

    @model_validator(mode="after")
    def _similarity_acts(self) -> Self:
        if self.thesaurus == "wordnet" and self.similarity != SIMILARITY:
            raise ValueError(
                "similarity does nothing with thesaurus wordnet; leave it out or set thesaurus: embeddings"
            )
        return self

    def problems(self, budget: Budget) -> list[Problem]:
        return [NOT_INSTALLED] if self.thesaurus == "wordnet" and find_wordnet() is None else []

    def effect(self, budget: Budget) -> str:
        return f"takes synonyms from {'the embeddings' if self._wordnet() is None else 'WordNet'}"

    def augmenter(self, sources: AugmentSources) -> BatchAugment:
        if self.thesaurus == "wordnet" and find_wordnet() is None:
            raise DataError(NOT_INSTALLED.below("techniques.synonyms"))
        words_of = [{text[start:end] for start, end in find_words(text)} for text in sources.texts]
        words = sorted({word for words in words_of for word in words if self._may_change(word)})
        wordnet = self._wordnet()
        synonyms = self._from_embeddings(words, sources) if wordnet is None else self._from_wordnet(words, wordnet)
        self._report(wordnet is not None, sum(not words.isdisjoint(synonyms) for words in words_of), len(words_of))

        def augment(texts: Sequence[str], streams: Sequence[random.Random]) -> list[str]:
            return [
                replace_words(text, synonyms, self.share, rng) if rng.random() < self.probability else text
                for text, rng in zip(texts, streams, strict=True)
            ]

        return augment

    def _wordnet(self) -> Any | None:
        """The corpus if it is to be used; None for embeddings."""
        return None if self.thesaurus == "embeddings" else find_wordnet()

    def _may_change(self, word: str) -> bool:
        return len(word) > (3 if word.isupper() else 2) and self._may_come(word)  # three capitals: an abbreviation

    def _may_come(self, word: str) -> bool:
        return word.lower() not in STOP_WORDS | self._kept()

    def _kept(self) -> frozenset[str]:
        return frozenset(NEGATIONS) | {word.lower() for word in self.protected}

    def _from_wordnet(self, words: Sequence[str], wordnet: Any) -> Thesaurus:
        try:
            in_wordnet = sum(bool(wordnet.synsets(word.lower())) for word in words)
            found = {word: wordnet_synonyms(wordnet, word.lower()) for word in words}
        except OSError as error:
            raise DataError(
                f"NLTK's WordNet cannot be read: {error}.",
                Change(command="python -m nltk.downloader wordnet"),
                EMBEDDINGS.below("techniques.synonyms"),
                key="techniques.synonyms.thesaurus",
            ) from error
        if words and in_wordnet < KNOWN_WORDS * len(words):
            logger.warning(
                "techniques.synonyms.thesaurus: WordNet, which is English, has %d of %d different words of the "
                "training texts. For another language try: --set techniques.synonyms.thesaurus=embeddings",
                in_wordnet,
                len(words),
            )
        return self._without_kept(found)

    def _from_embeddings(self, words: Sequence[str], sources: AugmentSources) -> Thesaurus:
        matrix = sources.embeddings()
        vocabulary = {word: row for word, row in vocabulary_words(sources.tokenizer).items() if row < len(matrix)}
        spelling = {row: word for word, row in vocabulary.items()}
        rows = {word: row for word in words if (row := _row_of(word, vocabulary)) is not None}
        candidates = [row for word, row in vocabulary.items() if len(word) > 2 and self._may_come(word)]
        if not rows or not candidates:
            return {}
        near = nearest_rows(matrix, list(rows.values()), candidates, self.similarity)
        found = {
            word: [spelling[other] for other in others if not is_form_of(spelling[other], word)]
            for word, others in zip(rows, near, strict=True)
        }
        return self._without_kept({word: _distinct(others)[:MOST] for word, others in found.items()})

    def _without_kept(self, found: Mapping[str, Sequence[str]]) -> Thesaurus:
        kept = {word: [other for other in others if self._may_come(other)] for word, others in found.items()}
        return {word: others for word, others in kept.items() if others}

    def _report(self, from_wordnet: bool, reached: int, texts: int) -> None:
        lower = max(0.1, round(self.similarity - 0.1, 2))
        more = Change(settings={".thesaurus": "embeddings"} if from_wordnet else {".similarity": lower})
        more = more.below("techniques.synonyms")
        if reached == 0:
            raise DataError(
                f"no training text has a word with a synonym in {'WordNet' if from_wordnet else 'the embeddings'}.",
                more,
                turned_off("synonyms"),
                key="techniques.synonyms",
            )
        if reached < FEW_TEXTS * texts:
            logger.warning(
                "techniques.synonyms: only %d of %d training texts have a word with a synonym; the others are not "
                "changed. For more words try: %s",
                reached,
                texts,
                more.for_command_line(),
            )


def find_wordnet() -> Any | None:
    """NLTK's WordNet, not read yet, if package and corpus are installed. Never downloads."""
    try:
        import nltk
    except ImportError:
        return None
    for place in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):  # unpacked, or as the downloader leaves it
        try:
            nltk.data.find(place)
        except LookupError:
            continue
        return nltk.corpus.wordnet
    return None


def _row_of(word: str, vocabulary: Mapping[str, int]) -> int | None:
    """Of the word as it is written, else in small letters, else with a capital."""
    spellings = (word, word.lower(), word.capitalize())
    return next((vocabulary[spelling] for spelling in spellings if spelling in vocabulary), None)


def _next_consonant(word: str) -> str:
    return next((letter for letter in word[1:] if letter not in "aeiou"), "")


def _distinct(words: Iterable[str]) -> list[str]:
    """Each word once, whatever its case: the first."""
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(word.lower(), word)
    return list(first.values())
