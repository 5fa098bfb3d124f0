"""Changes of a recipe that solve a technique's problems."""

from finetune.errors import Change


def turned_off(name: str) -> Change:
    """Leave a technique out."""
    return Change(settings={f"techniques.{name}": "off"})
