"""Tiny second models, as folders a user would name: a masked language model and translation models."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from tests.conftest import labelled_texts, save_tiny_model, tiny_config


def save_masked_model(folder: Path, architecture: str = "bert", **changes: Any) -> Path:
    """A randomly initialised encoder with its head for masked words, and the word-level tokenizer."""
    import torch
    from transformers import AutoModelForMaskedLM

    save_tiny_model(folder, architecture, **changes)  # for the tokenizer
    torch.manual_seed(1)
    config = tiny_config(architecture, initializer_range=0.5, **changes)  # far apart: words differ in probability
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


def save_translator(folder: Path, source: str | None, target: str | None, seed: int = 0, ends: float = 3.0) -> Path:
    """A randomly initialised MarianMT model of one layer, with a sentencepiece model trained on the small texts.

    Args:
        folder: Where it is saved.
        source: Language that the tokenizer names; None for none.
        target: The other one.
        seed: Of the weights.
        ends: Added to the logit of the end of a sentence: large for short translations.
    """
    import sentencepiece
    import torch
    from transformers import GenerationConfig, MarianConfig, MarianMTModel, MarianTokenizer

    folder.mkdir(parents=True)
    written = io.BytesIO()  # not a file: its name would become part of the model, and of what caches know it by
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for text, _ in labelled_texts(80)]),
        model_writer=written,
        vocab_size=60,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(written.getvalue())
    read = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    pieces = [read.id_to_piece(number) for number in range(read.get_piece_size())]
    # As Marian has it: end and unknown first, padding last.
    vocabulary = ["</s>", "<unk>", *(piece for piece in pieces if piece not in ("<s>", "</s>", "<unk>")), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(vocabulary)}))
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"),
        str(folder / "target.spm"),
        str(folder / "vocab.json"),
        source_lang=source,
        target_lang=target,
        model_max_length=64,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = MarianConfig(
        vocab_size=len(vocabulary),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        pad_token_id=len(vocabulary) - 1,
        eos_token_id=0,
        decoder_start_token_id=len(vocabulary) - 1,
        bos_token_id=0,
        init_std=0.5,
    )
    model = MarianMTModel(config)
    model.final_logits_bias[0, 0] = ends
    model.generation_config = GenerationConfig(
        num_beams=4,  # as the real ones say, to be overruled
        max_length=64,
        decoder_start_token_id=config.pad_token_id,
        pad_token_id=config.pad_token_id,
        eos_token_id=0,
        forced_eos_token_id=0,
        # Never empty, whatever is drawn: neither padding nor what is shown as nothing, and two tokens at least.
        bad_words_ids=[[vocabulary.index(piece)] for piece in ("<pad>", "<unk>", "▁") if piece in vocabulary],
        min_length=3,
    )
    model.save_pretrained(folder)
    return folder
