"""Render only: what is shown here was computed elsewhere."""
