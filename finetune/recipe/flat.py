"""A recipe from a record, key by key. Needs neither schema nor techniques, so that reports can use it."""

from typing import Any


def flatten(recipe: dict[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, down to the settings of each technique; without the rules and decisions that led to them."""
    flat: dict[str, Any] = {}
    for section, content in recipe.items():
        if section in ("rules", "choices", "decisions"):
            continue
        if not isinstance(content, dict):
            flat[section] = content
            continue
        for key, value in content.items():
            if section == "techniques" and value:
                flat.update({f"{section}.{key}.{setting}": entry for setting, entry in value.items()})
            else:
                flat[f"{section}.{key}"] = value
    return flat
