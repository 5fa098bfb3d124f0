"""A saved model and the hub: which of its files are its own, and sending them."""
