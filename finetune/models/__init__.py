"""Encoder and tokenizer loading, and the per-architecture dropout map. Import the modules, not this package:
`dropout` needs no torch, `load` does."""
