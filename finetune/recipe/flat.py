"""A recipe as it stands in a record, key by key. Without schema and techniques: reports need no more."""

from typing import Any


def flatten(recipe: dict[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, down to the settings of each technique; without what tells how they came about."""
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
