"""Rendering only: everything shown here was computed elsewhere."""
