"""Inference with a saved model: texts in, labels and probabilities out. Needs nothing from training."""
