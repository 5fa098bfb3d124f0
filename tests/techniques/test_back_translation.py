"""Back-translation with real, tiny MarianMT models: drawn by each text's own randomness, made once, kept."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoTokenizer, MarianMTModel

from finetune.errors import DataError, ModelError
from finetune.techniques import AugmentSources, back_translation
from finetune.techniques.back_translation import BackTranslation, draw_tokens, split_sentences
from tests.conftest import labelled_texts
from tests.raising import refuses
from tests.running import assert_same_weights, clean_items, train
from tests.techniques.helper_folders import save_masked_model, save_translator
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
TEXTS = [text for text, _ in labelled_texts(12)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of the technique: a folder for each way."""
    root = tmp_path_factory.mktemp("pair")
    return {
        "forward": str(save_translator(root / "en-de", "en", "de", seed=1)),
        "backward": str(save_translator(root / "de-en", "de", "en", seed=2)),
    }


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(back_translation, "BATCH", 4)


def sources(texts: Sequence[str], folder: Path) -> AugmentSources:
    return AugmentSources(list(texts), None, "", torch.empty, folder)


def rewritten(technique: BackTranslation, source: AugmentSources, texts: Sequence[str], seed: int = 0) -> list[str]:
    return technique.augmenter(source)(texts, [random.Random(f"{seed} {row}") for row in range(len(texts))])


class Generations:
    """Counts calls of `generate` and their rows; breaks one if told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        self.longest: list[int] = []
        self.fail_at: int | None = None
        plain = MarianMTModel.generate

        def generate(model: Any, **named: Any) -> Any:
            assert not model.training
            if len(self.rows) == self.fail_at:
                raise KeyboardInterrupt
            self.rows.append(len(named["input_ids"]))
            found = plain(model, **named)
            self.longest.append(found.shape[1])
            return found

        monkeypatch.setattr(MarianMTModel, "generate", generate)


# --- the pieces ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two!  Three?", ["One.", " ", "Two!", "  ", "Three?"]),
        ("One\n\n two", ["One", "\n\n ", "two"]),
        ("3.5 of t.co/x", ["3.5 of t.co/x"]),
        ("Well … yes", ["Well …", " ", "yes"]),
        ("", [""]),
    ],
)
def test_sentences_and_what_is_between_them(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected


@pytest.mark.parametrize("text", ["One. Two!  Three?\n\nFour", " . ! ?", "\n", "😀. 😀", "a" * 1000])
def test_sentences_put_together_are_the_text(text: str) -> None:
    assert "".join(split_sentences(text)) == text


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_by_the_tempered_softmax(temperature: float) -> None:
    """20,000 draws against softmax(scores / T): five standard deviations are 0.018."""
    scores = torch.tensor([2.0, 0.0, 1.0, -torch.inf, -1.0])
    noise = torch.rand(20_000, 5, generator=torch.Generator().manual_seed(0))
    drawn = draw_tokens(scores.expand(20_000, 5), noise, temperature)
    shares = torch.bincount(drawn, minlength=5) / 20_000
    torch.testing.assert_close(shares, (scores / temperature).softmax(dim=0), rtol=0, atol=0.018)
    assert shares[3] == 0


def test_only_the_likeliest_tokens_are_drawn() -> None:
    scores = torch.tensor([0.0, 0.1, 0.2, 0.3]).expand(5000, 4)
    noise = torch.rand(5000, 2, generator=torch.Generator().manual_seed(0))
    assert set(draw_tokens(scores, noise, 1.0).tolist()) == {2, 3}


def test_the_extremes_of_the_noise_are_numbers() -> None:
    drawn = draw_tokens(torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 1.0)
    assert drawn.tolist() == [1, 0]


# --- the technique ------------------------------------------------------------------------------------------


def test_texts_are_rewritten_the_same_way_twice(pair: dict[str, str], tmp_path: Path) -> None:
    """In two processes that share no cache."""
    technique = BackTranslation(probability=1.0, **pair)
    one, two = (rewritten(technique, sources(TEXTS, tmp_path / name), TEXTS) for name in "ab")
    assert one == two
    assert all(text != other and other.strip() for text, other in zip(TEXTS, one, strict=True))


def test_a_text_does_not_depend_on_the_rest_of_its_batch(
    pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    technique = BackTranslation(probability=1.0, **pair)
    together = rewritten(technique, sources(TEXTS, tmp_path / "all"), TEXTS)
    for row in (0, 5, 11):
        alone = technique.augmenter(sources([TEXTS[row]], tmp_path / str(row)))
        assert alone([TEXTS[row]], [random.Random(0)]) == [together[row]]
    monkeypatch.setattr(back_translation, "BATCH", 5)
    assert rewritten(technique, sources(TEXTS, tmp_path / "five"), TEXTS) == together


def test_with_the_same_noise_for_all_tokens_it_is_plain_greedy_search(
    pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against transformers' own, one text at a time."""
    texts = TEXTS[:4]
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, generator: torch.full(size, 0.5))
        out = rewritten(BackTranslation(probability=1.0, **pair), sources(texts, tmp_path), texts)
    for text, other in zip(texts, out, strict=True):
        for folder in pair.values():
            tokenizer, model = AutoTokenizer.from_pretrained(folder), MarianMTModel.from_pretrained(folder).eval()
            ids = tokenizer([text], return_tensors="pt")
            most = min(2 * ids["input_ids"].shape[1] + 10, 63)
            found = model.generate(**ids, num_beams=1, do_sample=False, max_length=None, max_new_tokens=most)
            (text,) = tokenizer.batch_decode(found, skip_special_tokens=True)
        assert other == text.strip()


def test_variants_differ(pair: dict[str, str], tmp_path: Path) -> None:
    technique = BackTranslation(probability=1.0, variants=4, **pair)
    source = sources(TEXTS[:1], tmp_path)
    found = Counter(rewritten(technique, source, TEXTS[:1], seed)[0] for seed in range(40))
    assert len(found) == 4


def test_sentences_are_translated_apart_and_what_is_no_language_stays(pair: dict[str, str], tmp_path: Path) -> None:
    """12 34 has no letters; line breaks stay; a sentence is written the same wherever it stands."""
    texts = ["movie good\n\n12 34\nfilm sad", "film sad"]
    out = rewritten(BackTranslation(probability=1.0, **pair), sources(texts, tmp_path), texts)
    first, number, last = out[0].replace("\n\n", "\n").split("\n")
    assert number == "12 34"
    assert last == out[1] != "film sad"
    assert first != "movie good"


def test_long_and_odd_texts_come_through(pair: dict[str, str], tmp_path: Path) -> None:
    """The models take 64 tokens: a longer sentence stays as it is, and so does what has no letters."""
    long = " ".join(["movie"] * 300)
    texts = ["", "  ", "😀 12/10", long, "good 😀 http://t.co/x @a #b"]
    out = rewritten(BackTranslation(probability=1.0, **pair), sources(texts, tmp_path), texts)
    assert out[:4] == texts[:4]
    assert out[4] != texts[4]


@pytest.mark.parametrize("nothing", ["", "  "])
def test_an_empty_translation_leaves_the_text(
    pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing: str
) -> None:
    monkeypatch.setattr(back_translation._Translator, "_generate", lambda self, texts, *_: [nothing] * len(texts))
    assert rewritten(BackTranslation(probability=1.0, **pair), sources(TEXTS, tmp_path), TEXTS) == TEXTS


def test_no_translation_runs_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that hardly ever ends a sentence is made to, at twice the sentence's own length and ten more tokens."""
    endless = str(save_translator(tmp_path / "endless", None, None, ends=-50.0))
    generations = Generations(monkeypatch)
    lengths = [len(ids) for ids in AutoTokenizer.from_pretrained(endless)(TEXTS[:4])["input_ids"]]
    technique = BackTranslation(probability=1.0, forward=endless, backward=endless)
    rewritten(technique, sources(TEXTS[:4], tmp_path), TEXTS[:4])
    assert generations.longest[0] == 1 + 2 * max(lengths) + 10  # with the token that starts a sentence


# --- the cache ----------------------------------------------------------------------------------------------


def test_it_is_made_once_and_kept(pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 texts in batches of 4, there and back: six calls; then none."""
    generations = Generations(monkeypatch)
    technique = BackTranslation(probability=1.0, **pair)
    first = rewritten(technique, sources(TEXTS, tmp_path), TEXTS)
    assert generations.rows == [4] * 6
    assert rewritten(technique, sources(TEXTS, tmp_path), TEXTS) == first
    assert generations.rows == [4] * 6
    rewritten(technique, sources([*TEXTS, "new movie"], tmp_path), TEXTS)
    assert generations.rows == [4] * 6 + [1] * 2


def test_a_killed_preparation_continues_where_it_was(
    pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between there and back of the second batch: the first stays made."""
    generations = Generations(monkeypatch)
    technique = BackTranslation(probability=1.0, **pair)
    whole = rewritten(technique, sources(TEXTS, tmp_path / "whole"), TEXTS)
    generations.rows.clear()
    generations.fail_at = 3
    with pytest.raises(KeyboardInterrupt):
        technique.augmenter(sources(TEXTS, tmp_path / "killed"))
    assert generations.rows == [4, 4, 4]
    generations.rows.clear()
    generations.fail_at = None
    assert rewritten(technique, sources(TEXTS, tmp_path / "killed"), TEXTS) == whole
    assert generations.rows == [4] * 4


def test_other_settings_or_models_find_no_old_texts(
    pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generations = Generations(monkeypatch)
    other = str(save_translator(tmp_path / "other", "de", "en", seed=3))
    for settings in (pair, {**pair, "temperature": 0.5}, {**pair, "backward": other}):
        before = len(generations.rows)
        rewritten(BackTranslation(**settings), sources(TEXTS, tmp_path), TEXTS)
        assert len(generations.rows) == before + 6


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("model", ["no/such-model", "/no/such/folder"])
def test_a_model_that_is_not_there_is_refused_with_what_to_type(
    pair: dict[str, str], tmp_path: Path, way: str, model: str
) -> None:
    key = rf"techniques\.back_translation\.{way}"
    expected = rf"{key}: '{model}' cannot be loaded: .*--set {key}=NAME_OR_FOLDER"
    with refuses(ModelError, match=expected):
        BackTranslation(**{**pair, way: model}).augmenter(sources(TEXTS, tmp_path))


def test_a_model_that_does_not_translate_is_refused(pair: dict[str, str], tmp_path: Path) -> None:
    bert = save_masked_model(tmp_path / "bert")
    with refuses(ModelError, match=r"techniques\.back_translation\.backward: .*\(bert\) is not a translation model"):
        BackTranslation(**{**pair, "backward": str(bert)}).augmenter(sources(TEXTS, tmp_path))


@pytest.mark.parametrize(("source", "target"), [("fr", "en"), ("de", "fr"), ("en", "de")])
def test_models_that_do_not_lead_there_and_back_are_refused(
    pair: dict[str, str], tmp_path: Path, source: str, target: str
) -> None:
    other = save_translator(tmp_path / "other", source, target)
    with refuses(
        ModelError, match=rf"backward: .* translates {source} → {target}, which does not reverse forward=.* en → de"
    ):
        BackTranslation(**{**pair, "backward": str(other)}).augmenter(sources(TEXTS, tmp_path))


def test_models_that_do_not_say_their_languages_are_taken(pair: dict[str, str], tmp_path: Path) -> None:
    other = save_translator(tmp_path / "other", None, None)
    BackTranslation(**{**pair, "backward": str(other)}).augmenter(sources(TEXTS[:2], tmp_path))


@pytest.mark.parametrize("texts", [[""], ["😀", "12 34"]])
def test_texts_without_letters_are_refused(pair: dict[str, str], tmp_path: Path, texts: list[str]) -> None:
    with refuses(DataError, match=r"no training text has letters.*techniques\.back_translation=off"):
        BackTranslation(**pair).augmenter(sources(texts, tmp_path))


@pytest.mark.parametrize(
    "settings",
    [{"probability": 0.0}, {"variants": 0}, {"temperature": 0.0}, {"forward": ""}, {"backward": ""}],
)
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        BackTranslation(**settings)


# --- real runs ----------------------------------------------------------------------------------------------


def test_a_run_trains_on_translations_and_measures_clean_texts(
    write_recipe: Write, pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(back_translation, "BATCH", 32)
    generations, spy = Generations(monkeypatch), Spy()
    recipe = write_recipe(techniques={"back_translation": pair})
    run = watch(recipe, tmp_path / "run", last=spy)
    clean = run.prepared.data.train.texts
    rows = len(clean)
    epochs = [spy.texts[start : start + rows] for start in range(0, 3 * rows, rows)]
    for epoch in epochs:
        changed = sum(text != other for text, other in zip(clean, epoch, strict=True))
        assert 0.2 * rows < changed < 0.8 * rows
    assert epochs[0] != epochs[1]
    for name, split in run.prepared.data.measured_splits().items():
        items = sorted(clean_items(run.prepared.encoder, split), key=lambda item: len(item["input_ids"]))
        measured = run.prepared.measured[name]
        assert [measured[row] for row in range(len(measured))] == items
    made = len(generations.rows)
    watch(recipe, tmp_path / "again", last=Spy())  # another technique in the same place: the same kernels
    assert len(generations.rows) == made
    assert_same_weights(tmp_path / "run", tmp_path / "again")
    train(recipe, tmp_path / "seed 1", seed=1)  # the texts are those of all seeds
    assert len(generations.rows) == made


def test_both_texts_of_a_pair_are_rewritten(pair: dict[str, str], tmp_path: Path) -> None:
    """The runner gives first and second texts alike as sources, and asks for them apart."""
    first, second = TEXTS[:4], TEXTS[4:8]
    augment = BackTranslation(probability=1.0, **pair).augmenter(sources([*first, *second], tmp_path))
    for texts in (first, second):
        out = augment(texts, [random.Random(row) for row in range(4)])
        assert all(text != other for text, other in zip(texts, out, strict=True))
