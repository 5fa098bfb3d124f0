"""Fine-tune encoders on few labelled texts and measure what regularization does to the overfitting gap."""

__version__ = "0.1.0"
