"""A saved model at work: texts in, labels and probabilities out. Needs nothing of the training."""
