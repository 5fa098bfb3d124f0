"""Synonyms: which words are exchanged, for what, and that the user learns when that is next to nothing."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoTokenizer

from finetune.errors import DataError, RecipeError
from finetune.recipe import resolve
from finetune.techniques import AugmentSources, Budget, synonyms
from finetune.techniques.synonyms import Synonyms, is_form_of, nearest_rows, replace_words, wordnet_synonyms
from tests.conftest import WORDS
from tests.raising import refuses
from tests.running import clean_items
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]

TWEET = "RT @good: I did NOT like it, 10/10 Terrible!!! … http://good.co/good 😀 don't movie."


# --- a dictionary that looks like NLTK's --------------------------------------------------------------------


@dataclass
class Lemma:
    """A word in one of its senses, with how often a corpus has it there."""

    word: str
    uses: int

    def name(self) -> str:
        return self.word

    def count(self) -> int:
        return self.uses


@dataclass
class Sense:
    words: list[Lemma]

    def lemmas(self) -> list[Lemma]:
        return self.words


@dataclass
class WordNet:
    """Senses by word; `forms` leads inflected forms to their base, as WordNet does."""

    senses: list[Sense]
    forms: dict[str, str] = field(default_factory=dict)

    def synsets(self, word: str) -> list[Sense]:
        wanted = {word, self.forms.get(word, word)}
        return [sense for sense in self.senses if any(lemma.name() in wanted for lemma in sense.lemmas())]


def sense(**uses: int) -> Sense:
    return Sense([Lemma(word, count) for word, count in uses.items()])


WORDNET = WordNet(
    [
        sense(movie=26, film=38, picture=3, motion_picture=9, pic=0),
        sense(film=2, layer=7),
        sense(terrible=9, awful=4, dreadful=2, not_good=3),
        sense(good=190),
        sense(run=50, go=10),
        sense(run=50, operate=10),
        sense(run=40, race=10),
        sense(minutes=1, proceedings=5),
        sense(minute=60, min=2),
        sense(nothing=10, never=3, naught=2),
        sense(Paris=3, paris=0, capital=1),
    ],
    {"minutes": "minute", "movies": "movie"},
)


@pytest.fixture
def wordnet(monkeypatch: pytest.MonkeyPatch) -> WordNet:
    """The one seam: what NLTK has installed."""
    monkeypatch.setattr(synonyms, "find_wordnet", lambda: WORDNET)
    return WORDNET


@pytest.fixture
def no_wordnet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synonyms, "find_wordnet", lambda: None)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("movie", ["film", "picture"]),  # not motion_picture, two words; not pic, never seen
        ("film", ["movie", "picture"]),  # its main sense, not the layer
        ("terrible", ["awful", "dreadful"]),
        ("good", []),  # alone in its sense
        ("run", []),  # three senses, none of them half of its uses
        ("minutes", []),  # also a form of minute: "proceedings" would not fit
        ("movies", []),  # only a form of movie
        ("unheard", []),
        ("paris", ["capital"]),
    ],
)
def test_wordnet_gives_the_other_words_of_the_main_sense(word: str, expected: list[str]) -> None:
    assert wordnet_synonyms(WORDNET, word) == expected


# --- neighbours ---------------------------------------------------------------------------------------------


def test_neighbours_are_those_of_numpy() -> None:
    """300 queries are more than one chunk. Vectors far from the origin: without the mean taken off all are close."""
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(400, 12)) + 5.0
    candidates = list(range(0, 400, 2))
    rows = list(range(300))
    mean = matrix[candidates].mean(axis=0)
    centred = (matrix - mean) / np.linalg.norm(matrix - mean, axis=1, keepdims=True)
    found = nearest_rows(torch.tensor(matrix, dtype=torch.float32), rows, candidates, 0.45)
    for row, near in zip(rows, found, strict=True):
        cosines = {candidate: float(centred[row] @ centred[candidate]) for candidate in candidates}
        expected = sorted((c for c in candidates if cosines[c] >= 0.45), key=lambda c: -cosines[c])[:40]
        assert near == expected
    assert 1 < np.mean([len(near) for near in found]) < 40


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("watch", "watched"),
        ("happy", "happier"),
        ("happy", "unhappy"),
        ("like", "dislike"),
        ("give", "gave"),
        ("buy", "bought"),
        ("pay", "paid"),
        ("think", "thought"),
        ("tell", "told"),
        ("car", "cars"),
        ("Car", "car"),
    ],
)
def test_forms_of_a_word_and_its_negation_are_no_synonyms(one: str, two: str) -> None:
    assert is_form_of(one, two)
    assert is_form_of(two, one)


@pytest.mark.parametrize(
    ("one", "two"), [("movie", "film"), ("terrible", "dreadful"), ("phone", "telephone"), ("luggage", "baggage")]
)
def test_other_words_are_not_taken_for_forms(one: str, two: str) -> None:
    assert not is_form_of(one, two)


# --- exchanging words ---------------------------------------------------------------------------------------

DICTIONARY = {"good": ["fine"], "Good": ["fine"], "GOOD": ["fine"], "movie": ["film", "picture"], "plot": ["story"]}


def test_case_marks_and_spaces_stay() -> None:
    text = "  GOOD movie,\tGood (plot)!  "
    changed = replace_words(text, {**DICTIONARY, "movie": ["film"]}, 1.0, random.Random(0))
    assert changed == "  FINE film,\tFine (story)!  "


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.1, 1), (0.2, 2), (0.5, 5), (1.0, 10)])
def test_share_is_of_the_words_with_synonyms_and_one_at_least(share: float, expected: int) -> None:
    text = " ".join(["plot other"] * 10)
    for seed in range(10):
        changed = replace_words(text, DICTIONARY, share, random.Random(seed))
        assert Counter(changed.split()) == Counter(other=10, plot=10 - expected, story=expected) + Counter()


def test_every_word_and_every_synonym_gets_its_turn() -> None:
    """Two words by two synonyms for one of them: 2,000 draws of one exchange."""
    found = Counter(replace_words("plot movie", DICTIONARY, 0.1, random.Random(seed)) for seed in range(2000))
    assert set(found) == {"story movie", "plot film", "plot picture"}
    assert found["story movie"] == pytest.approx(1000, abs=120)
    assert found["plot film"] == pytest.approx(500, abs=100)


@pytest.mark.parametrize("text", ["", "  ", "nothing here", "😀", "http://plot.de #plot @movie"])
def test_a_text_without_such_words_comes_back_byte_for_byte(text: str) -> None:
    assert replace_words(text, DICTIONARY, 1.0, random.Random(0)) == text


# --- the technique ------------------------------------------------------------------------------------------


def sources(texts: Sequence[str], folder: Path, model: Path, matrix: torch.Tensor | None = None) -> AugmentSources:
    def embeddings() -> torch.Tensor:
        assert matrix is not None, "embeddings are read only if they are needed"
        return matrix

    return AugmentSources(list(texts), AutoTokenizer.from_pretrained(model), str(model), embeddings, folder)


def close(model: Path, *groups: Sequence[str]) -> torch.Tensor:
    """Embeddings of the tiny vocabulary in which only the words of a group are near each other."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    matrix = torch.eye(64)
    for group in groups:
        rows = [tokenizer.convert_tokens_to_ids(word) for word in group]
        matrix[rows] += 3 * matrix[rows[0]].clone()
    return matrix


def everywhere(technique: Synonyms, source: AugmentSources, texts: Sequence[str], seed: int = 0) -> list[str]:
    streams = [random.Random(f"{seed} {row}") for row in range(len(texts))]
    return technique.augmenter(source)(texts, streams)


def test_wordnet_is_taken_where_it_is(wordnet: WordNet, tiny_model: Path, tmp_path: Path) -> None:
    """No embeddings are given: reading them would fail."""
    technique = Synonyms(probability=1.0, share=1.0)
    source = sources([TWEET], tmp_path, tiny_model)
    found = {everywhere(technique, source, [TWEET], seed)[0] for seed in range(30)}
    assert found == {
        TWEET.replace("Terrible", terrible).replace("movie.", movie)
        for terrible in ("Awful", "Dreadful")
        for movie in ("film.", "picture.")
    }
    assert technique.effect(Budget("single_label", 1, 1e-4, 1, 0.0)) == "takes synonyms from WordNet"


def test_embeddings_are_taken_where_wordnet_is_not(no_wordnet: None, tiny_model: Path, tmp_path: Path) -> None:
    matrix = close(tiny_model, ["movie", "film", "the", "not"], ["awful", "nasty"])
    source = sources(["The MOVIE was awful"], tmp_path, tiny_model, matrix)
    technique = Synonyms(probability=1.0, share=1.0)
    assert everywhere(technique, source, source.texts) == ["The FILM was nasty"]
    assert technique.effect(Budget("single_label", 1, 1e-4, 1, 0.0)) == "takes synonyms from the embeddings"


def test_embeddings_can_be_asked_for(wordnet: WordNet, tiny_model: Path, tmp_path: Path) -> None:
    matrix = close(tiny_model, ["movie", "scene"])
    source = sources(["movie"], tmp_path, tiny_model, matrix)
    assert everywhere(Synonyms(probability=1.0, thesaurus="embeddings"), source, ["movie"]) == ["scene"]


def test_similarity_decides_which_neighbours_count(tiny_model: Path, tmp_path: Path) -> None:
    """Vectors of (4, 0) and (3, 1) have a cosine of 0.95; taking the mean off hardly changes it."""
    matrix = close(tiny_model, ["movie", "scene"])
    source = sources(["movie"], tmp_path, tiny_model, matrix)
    near = Synonyms(probability=1.0, thesaurus="embeddings", similarity=0.9)
    assert everywhere(near, source, ["movie"]) == ["scene"]
    with refuses(DataError, match=r"no training text.*similarity=0\.89, or --set techniques\.synonyms=off"):
        Synonyms(thesaurus="embeddings", similarity=0.99).augmenter(source)


def test_at_most_five_neighbours_the_closest(tiny_model: Path, tmp_path: Path) -> None:
    """awful, poor … lie on a ray: the further along, the closer to bad."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    matrix = torch.eye(64)
    near = ["good", "great", "fine", "nice", "lovely", "awful", "poor", "sad"]
    base = tokenizer.convert_tokens_to_ids("movie")
    matrix[base] *= 20
    for place, word in enumerate(near):
        matrix[tokenizer.convert_tokens_to_ids(word), base] = 3.0 + place
    source = sources(["movie"], tmp_path, tiny_model, matrix)
    technique = Synonyms(probability=1.0, thesaurus="embeddings", similarity=0.5)
    augment = technique.augmenter(source)
    assert {augment(["movie"], [random.Random(seed)])[0] for seed in range(60)} == set(near[-5:])


def test_protected_words_neither_go_nor_come(wordnet: WordNet, tiny_model: Path, tmp_path: Path) -> None:
    """Negations never do, whatever the list: nothing → never would turn a label."""
    text = "nothing naught movie"
    source = sources([text], tmp_path, tiny_model)
    technique = Synonyms(probability=1.0, share=1.0, protected=["FILM"])
    found = {everywhere(technique, source, [text], seed)[0] for seed in range(20)}
    assert found == {"nothing naught picture"}


def test_short_and_stop_words_stay(wordnet: WordNet, tiny_model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(WORDNET, "senses", [sense(go=5, leave=5), sense(about=5, around=5), sense(den=5, lair=5)])
    text = "go about DEN den"
    source = sources([text], tmp_path, tiny_model)
    assert everywhere(Synonyms(probability=1.0, share=1.0), source, [text]) == ["go about DEN lair"]


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_probability_is_the_share_of_texts_that_change(
    wordnet: WordNet, tiny_model: Path, tmp_path: Path, probability: float
) -> None:
    source = sources(["movie"], tmp_path, tiny_model)
    found = everywhere(Synonyms(probability=probability), source, ["movie"] * 4000)
    assert sum(text != "movie" for text in found) / 4000 == pytest.approx(probability, abs=0.04)


def test_the_same_streams_give_the_same_texts_from_two_augmenters(
    wordnet: WordNet, tiny_model: Path, tmp_path: Path
) -> None:
    """As in two processes of one run."""
    texts = [f"movie terrible {number}" for number in range(50)]
    source = sources(texts, tmp_path, tiny_model)
    one, two = (everywhere(Synonyms(), source, texts) for _ in range(2))
    assert one == two
    assert one != everywhere(Synonyms(), source, texts, seed=1)


# --- what the user learns -----------------------------------------------------------------------------------


def test_wordnet_that_is_not_there_is_refused_with_what_to_type(
    no_wordnet: None, write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    advice = r"thesaurus: WordNet is not installed.*pip install nltk; python -m nltk\.downloader wordnet.*=embeddings"
    with refuses(RecipeError, match=advice):
        resolve(str(write_recipe(techniques={"synonyms": {"thesaurus": "wordnet"}})))
    with refuses(DataError, match=advice):
        Synonyms(thesaurus="wordnet").augmenter(sources(["movie"], tmp_path, tiny_model))


def test_another_language_is_noticed(
    wordnet: WordNet, tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["Dieser Film war leider sehr schlecht", "movie terrible"]
    with caplog.at_level(logging.WARNING):
        Synonyms().augmenter(sources(["film"], tmp_path, tiny_model))
        assert not caplog.text
        Synonyms().augmenter(sources(texts, tmp_path, tiny_model))
    assert "WordNet, which is English, has 3 of 8 different words" in caplog.text


def test_few_texts_with_synonyms_are_said(
    wordnet: WordNet, tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = ["movie", *["good"] * 5]
    with caplog.at_level(logging.WARNING):
        Synonyms().augmenter(sources(texts[:5], tmp_path, tiny_model))  # one of five is enough
        assert not caplog.text
        Synonyms().augmenter(sources(texts, tmp_path, tiny_model))
    assert "only 1 of 6 training texts have a word with a synonym" in caplog.text


@pytest.mark.parametrize("texts", [["good good"], ["不错"], [""], ["😀 12"]])
def test_texts_without_any_synonym_are_refused(
    wordnet: WordNet, tiny_model: Path, tmp_path: Path, texts: list[str]
) -> None:
    with refuses(DataError, match=r"techniques\.synonyms: no training text .*techniques\.synonyms=off"):
        Synonyms().augmenter(sources(texts, tmp_path, tiny_model))


def test_a_vocabulary_without_the_words_is_refused(no_wordnet: None, tiny_model: Path, tmp_path: Path) -> None:
    with refuses(DataError, match="in the embeddings"):
        Synonyms().augmenter(sources(["unheard words"], tmp_path, tiny_model, torch.eye(64)))


def test_a_damaged_wordnet_is_named(monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path) -> None:
    class Damaged:
        def synsets(self, word: str) -> list[Sense]:
            raise OSError("No such file: lexnames")

    monkeypatch.setattr(synonyms, "find_wordnet", Damaged)
    with refuses(DataError, match=r"lexnames.*python -m nltk\.downloader wordnet"):
        Synonyms().augmenter(sources(["movie"], tmp_path, tiny_model))


def test_find_wordnet_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the corpus in any of NLTK's folders it is None; without the package too."""
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(nltk, "download", lambda *_: pytest.fail("must not download"))
    assert synonyms.find_wordnet() is None
    monkeypatch.setitem(__import__("sys").modules, "nltk", None)
    assert synonyms.find_wordnet() is None


def test_find_wordnet_finds_the_folder_and_the_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nltk = pytest.importorskip("nltk")
    import zipfile

    unpacked, packed = tmp_path / "one", tmp_path / "two"
    (unpacked / "corpora" / "wordnet").mkdir(parents=True)
    (packed / "corpora").mkdir(parents=True)
    with zipfile.ZipFile(packed / "corpora" / "wordnet.zip", "w") as archive:
        archive.writestr("wordnet/", "")
    for folder in (unpacked, packed):
        monkeypatch.setattr(nltk.data, "path", [str(folder)])
        assert synonyms.find_wordnet() is nltk.corpus.wordnet


# --- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"probability": 0.0}, {"share": 0.0}, {"share": 1.1}, {"thesaurus": "duden"}, {"similarity": 0.0}],
)
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Synonyms(**settings)


def test_a_similarity_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="similarity does nothing with thesaurus wordnet"):
        Synonyms(thesaurus="wordnet", similarity=0.5)


# --- a real run ---------------------------------------------------------------------------------------------


def test_a_run_trains_on_exchanged_words_and_measures_clean_ones(write_recipe: Write, tmp_path: Path) -> None:
    """With the tiny model's own embeddings; the spy stands behind and sees what is tokenised."""
    spy = Spy()
    settings = {"probability": 1.0, "share": 0.5, "thesaurus": "embeddings", "similarity": 0.05}
    run = watch(write_recipe(techniques={"synonyms": settings}), tmp_path / "run", last=spy)
    clean = run.prepared.data.train.texts
    assert len(spy.texts) == 3 * len(clean)
    changed = [(text, other) for text, other in zip(clean * 3, spy.texts, strict=True) if text != other]
    assert len(changed) > 1.5 * len(clean)
    for text, other in changed:
        assert len(text.split()) == len(other.split())
        assert text.split()[-1] == other.split()[-1]  # the number
        assert set(other.split()[:-1]) <= set(WORDS)
    assert spy.texts[: len(clean)] != spy.texts[len(clean) : 2 * len(clean)]
    for name, rows in run.prepared.data.measured_splits().items():
        in_order = sorted(clean_items(run.prepared.encoder, rows), key=lambda item: len(item["input_ids"]))
        measured = run.prepared.measured[name]
        assert [measured[row] for row in range(len(measured))] == in_order
    assert run.record.techniques["synonyms"].effect == "takes synonyms from the embeddings"
