"""A trained classifier in the formats of other runtimes: written, quantized, opened."""
