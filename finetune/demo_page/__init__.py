"""A page on this machine to try a model: it answers only on loopback, loads nothing from elsewhere, and stores
nothing."""
