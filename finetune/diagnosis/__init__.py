"""From measured scores to a verdict with its uncertainty, and a plan. Numbers in, no torch."""
