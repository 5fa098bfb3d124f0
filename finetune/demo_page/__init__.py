"""A page on this machine to try a model: it answers loopback alone, loads nothing from elsewhere, and keeps nothing."""
