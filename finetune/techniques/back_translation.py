"""Back-translation: training texts translated into another language and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finetune.errors import Change, DataError, ModelError
from finetune.techniques.base import Technique
from finetune.techniques.changes import turned_off
from finetune.techniques.helper_models import fingerprint, load_part, load_weights
from finetune.techniques.hooks.augmentation import Augmentation, AugmentSources, BatchAugment
from finetune.techniques.search import SearchRange, linear
from finetune.techniques.text_cache import Variant, cache_key, draw_variants, stored_texts

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 32  # sentences
LIKELIEST = 50  # tokens to draw from: the tail of a vocabulary of 60,000 is noise
_BETWEEN_SENTENCES = re.compile(r"(\s*\n\s*|(?<=[.!?…])\s+)")


def split_sentences(text: str) -> list[str]:
    """Sentences and what stands between them, in turn; put together they are the text."""
    return _BETWEEN_SENTENCES.split(text)


def draw_tokens(scores: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """A draw from softmax(scores / T) over the likeliest tokens of each row, by the Gumbel-max trick.

    argmax_k (s_k / T + g_k) with g_k = −log(−log u_k) has exactly these probabilities, and unlike sampling from a
    common generator it takes each row's randomness from that row's own noise.

    Args:
        scores: (rows, vocabulary), unnormalised log-probabilities; −inf bars a token.
        noise: (rows, n), uniform in (0, 1); n is the number of likeliest tokens.
        temperature: T > 0.

    Returns:
        Token ids, (rows,).
    """
    values, ids = scores.topk(noise.shape[1], dim=-1)
    gumbel = -(-noise.clamp(1e-7, 1 - 1e-7).log()).log()
    best = (values / temperature + gumbel).argmax(dim=-1, keepdim=True)
    return ids.gather(-1, best).squeeze(-1)


class BackTranslation(Technique, Augmentation):
    """Paraphrase training texts by back-translation, so that the label does not depend on the wording.

        x → y ~ p_forward(y | x)^(1/T) → x' ~ p_backward(x' | y)^(1/T), normalised over the 50 likeliest tokens

    Texts are translated sentence by sentence, as the translation models were trained (a text is split at line breaks
    and after . ! ? …). Each training text is rewritten `variants` times before training, and an epoch draws among them:
    `probability` of the texts, by the stream keyed by (seed, epoch, row). The translation itself is keyed by content
    (sentence, both models, temperature, number): it is the same in all seeds, whatever else is in the batch, up to the
    rounding of matrix products on another machine or GPU. It is stored on disk for all later runs (folder
    back_translation of FINETUNE_CACHE); an interrupted preparation continues. A sentence stays as it is if it has no
    letters, is too long for a model, or has an empty translation. Web addresses, names and emoji may be lost.

    Range: temperature near 0 takes the likeliest tokens and often returns the text unchanged; above 1 sentences become
    incoherent. More variants repeat less from epoch to epoch.
    Cost: 1.0 × once the texts are made; before that, two translations of each text and variant: a minute per 1,000
    short texts on a GPU, many minutes on two CPU cores (estimated, not measured). 600 MB of weights for the default
    pair.
    Raises: ModelError if a model cannot be loaded or is not a translation model, or if the languages of the two do not
    match; DataError if no training text has letters.
    Relations: put it before techniques that change texts anew in each epoch (`aeda`, `eda`, `synonyms`), or it has to
    translate in every epoch. Can be combined with `contextual`.
    Evidence: 10 examples per class, BERT-base: SST-2 52.9 ± 5.0 → 57.5, TREC 48.6 ± 11.5 → 66.2, SNIPS 79.4 → 86.5
    (Kumar et al. 2020); at 1,000 rows and more no consistent gain (Longpre et al. 2020).
    Source: Sennrich et al. 2016, arXiv:1511.06709, and Xie et al. 2020, arXiv:1904.12848 (sampling at T 0.8 to 0.9).
    Departs from it in: labelled texts instead of unlabelled ones; online replacement instead of added copies.
    """

    family: ClassVar[str] = "augmentation"
    source: ClassVar[str] = "Sennrich et al. 2016, arXiv:1511.06709"
    search: ClassVar[Mapping[str, SearchRange]] = {"probability": linear(0.1, 0.8)}

    probability: float = Field(0.5, gt=0, le=1, description="Fraction of the training texts changed in an epoch.")
    forward: str = Field(
        "Helsinki-NLP/opus-mt-en-de",
        min_length=1,
        description="Folder or hub id of the model from the texts' language.",
    )
    backward: str = Field(
        "Helsinki-NLP/opus-mt-de-en",
        min_length=1,
        description="Folder or hub id of the model back into the texts' language.",
    )
    variants: int = Field(
        1, ge=1, le=100, description="Rewritten versions of each training text, made before training."
    )
    temperature: float = Field(
        0.8, ge=0.01, le=2, description="T, the divisor of the logits; near 0 the likeliest token is taken."
    )

    def check_sources(self, sources: AugmentSources) -> None:
        self._check_models()

    def augmenter(self, sources: AugmentSources) -> BatchAugment:
        if not any(_is_language(text) for text in sources.texts):
            raise DataError(
                "no training text has letters to translate.",
                turned_off("back_translation"),
                key="techniques.back_translation",
            )
        made_of = [*self._check_models(), self.temperature]
        file = sources.cache / "back_translation" / "texts.sqlite3"

        def rewrite(variants: list[Variant]) -> dict[Variant, str]:
            parts = {variant: split_sentences(variant[0]) for variant in variants}
            sentences = {
                (part, number): cache_key(made_of, part, number)
                for (_, number), split in parts.items()
                for part in split
                if _is_language(part)
            }
            named = {key: sentence for (sentence, _), key in sentences.items()}
            made = stored_texts(
                file,
                list(named),
                lambda missing: self._translate({key: named[key] for key in missing}),
                "back_translation",
            )
            return {
                (text, number): "".join(
                    (made[sentences[part, number]].strip() or part) if _is_language(part) else part
                    for part in parts[text, number]
                )
                for text, number in variants
            }

        return draw_variants(rewrite, sources.texts, self.probability, self.variants, "back_translation")

    def _check_models(self) -> list[str]:
        """Identifies both models, and checks that the second reverses the first."""
        configs = {way: load_part("AutoConfig", location, *_names(way)) for way, location in self._ways().items()}
        for way, config in configs.items():
            if not config.is_encoder_decoder:
                key, advice = _names(way)
                why = f"'{self._ways()[way]}' ({config.model_type}) is not a translation model."
                raise ModelError(why, advice, key=key, found=self._ways()[way])
        tokenizers = {way: load_part("AutoTokenizer", location, *_names(way)) for way, location in self._ways().items()}
        there, back = (
            [getattr(tokenizers[way], side, None) for side in ("source_lang", "target_lang")]
            for way in ("forward", "backward")
        )
        for ours, theirs in (there[0], back[1]), (there[1], back[0]):
            if ours and theirs and ours != theirs:
                key = "techniques.back_translation.backward"
                raise ModelError(
                    f"'{self.backward}' translates {back[0]} → {back[1]}, which does not reverse "
                    f"forward='{self.forward}', {there[0]} → {there[1]}.",
                    Change(settings={key: "NAME_OR_FOLDER"}, note=f"a model {there[1]} → {there[0]}"),
                    key=key,
                    found=self.backward,
                )
        return [fingerprint(location, configs[way]) for way, location in self._ways().items()]

    def _ways(self) -> dict[str, str]:
        return {"forward": self.forward, "backward": self.backward}

    def _translate(self, sentences: dict[str, str]) -> Iterator[dict[str, str]]:
        """Key -> sentence, there and back, batch by batch. The randomness of a sentence is made of its key."""
        there, back = (_Translator(location, way) for way, location in self._ways().items())
        order = sorted(sentences, key=lambda key: (len(sentences[key]), key))
        for start in range(0, len(order), BATCH):
            keys = order[start : start + BATCH]
            foreign = there.translate([sentences[key] for key in keys], keys, self.temperature)
            again = back.translate(foreign, keys, self.temperature)
            yield dict(zip(keys, again, strict=True))


class _Translator:
    """One translation model."""

    def __init__(self, location: str, way: str) -> None:
        self._way = way
        self._tokenizer = load_part("AutoTokenizer", location, *_names(way))
        self._model = load_weights("AutoModelForSeq2SeqLM", location, *_names(way))
        positions = getattr(self._model.config, "max_position_embeddings", None) or 512
        self._limit = min(self._tokenizer.model_max_length, positions)

    def translate(self, sentences: Sequence[str], keys: Sequence[str], temperature: float) -> list[str]:
        """A translation of each sentence; "" for a sentence that is empty or longer than the model takes."""
        lengths = [len(ids) for ids in self._tokenizer(list(sentences), verbose=False)["input_ids"]]
        fits = [index for index, sentence in enumerate(sentences) if sentence.strip() and lengths[index] <= self._limit]
        results = [""] * len(sentences)
        if fits:
            texts = [sentences[index] for index in fits]
            # A translation twice as long as the original is nonsense without an end.
            longest = [min(2 * lengths[index] + 10, self._limit - 1) for index in fits]
            for index, text in zip(
                fits, self._generate(texts, [keys[i] for i in fits], longest, temperature), strict=True
            ):
                results[index] = text
        return results

    def _generate(self, texts: list[str], keys: list[str], longest: list[int], temperature: float) -> list[str]:
        import torch
        import transformers

        inputs = self._tokenizer(texts, padding=True, return_tensors="pt").to(self._model.device)
        end = self._tokenizer.eos_token_id
        draw = _draw_by_row([f"{self._way} {key}" for key in keys], longest, temperature, end)
        with torch.inference_mode():
            found = self._model.generate(
                **inputs,
                do_sample=False,  # the draw is ours
                num_beams=1,
                max_length=None,
                max_new_tokens=max(longest),
                logits_processor=transformers.LogitsProcessorList([draw]),
            )
        return [str(text).strip() for text in self._tokenizer.batch_decode(found, skip_special_tokens=True)]


def _draw_by_row(keys: Sequence[str], longest: Sequence[int], temperature: float, end: int) -> Any:
    """A logits processor that leaves each row one token: the one drawn, or `end` once the row is as long as it may."""
    import torch

    generators = [torch.Generator().manual_seed(int(hashlib.sha256(key.encode()).hexdigest()[:15], 16)) for key in keys]
    limits = torch.tensor(longest)
    step = 0

    def draw(ids: Tensor, scores: Tensor) -> Tensor:
        nonlocal step
        step += 1
        likeliest = min(LIKELIEST, scores.shape[-1])
        noise = torch.stack([torch.rand(likeliest, generator=generator) for generator in generators])
        drawn = draw_tokens(scores.float(), noise.to(scores.device), temperature)
        drawn = drawn.where((step < limits).to(scores.device), end)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn.unsqueeze(-1), 0.0)

    return draw


def _is_language(text: str) -> bool:
    return any(character.isalpha() for character in text)


def _names(way: str) -> tuple[str, Change]:
    """The setting of a direction, and what to change if its model cannot be used."""
    key = f"techniques.back_translation.{way}"
    return key, Change(settings={key: "NAME_OR_FOLDER"}, note="a translation model")
