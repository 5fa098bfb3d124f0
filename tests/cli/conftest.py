"""Expected failures; see known_bugs."""

from tests.recipe.known_bugs import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]
