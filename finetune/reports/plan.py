"""`finetune show` as text."""

import json
import re
from typing import Any

from finetune.measurement.units import count_text, multiple_text, training_time_text
from finetune.reports.numbers import setting_text, split_name

SHORT = 16  # characters of a value that has a column
DEFAULT = "default"  # the origin of a value that nobody set


def render_plan(plan: dict[str, Any], every_value: bool = False) -> str:
    """Values and origins, then their effect on this data and model.

    Args:
        plan: As returned by `training.plan.describe_plan`.
        every_value: Also show values that are the defaults, and every dropout that training leaves unchanged.
    """
    preset = f"preset {plan['preset']}" if plan["preset"] else "no preset"
    lines = [
        f"{plan['name']}, {preset}",
        "",
        *_values(plan["values"], every_value),
        *_rules(plan["rules"]),
        *_decisions(plan.get("decisions", [])),
        "",
        *_data(plan["data"]),
    ]
    lines.append(f"Cost        {training_time_text(plan['cost'])} (declared by the techniques)")
    if "budget" in plan:
        budget = plan["budget"]
        lines.append(
            f"Budget      {budget['steps']} training steps ({budget['steps_per_epoch']} per epoch), "
            f"{count_text(budget['warmup_steps'], 'warm-up step')}, cumulative learning rate "
            f"{budget['learning_rate_sum']:.4g}"
        )
        if "learning_rate" in plan:
            rate = plan["learning_rate"]["nominal"]
            lines[-1] += f" (at {rate:g}, the default)"
            lines.append(f"Rate        {plan['learning_rate']['plan']}")
        lines += ["", *_techniques(plan["techniques"])]
    lines += ["", *_model(plan["model"], every_value)]
    lines += [f"warning: {warning}" for warning in plan.get("warnings", [])]
    return "\n".join(lines)


def _values(values: dict[str, dict[str, Any]], every_value: bool) -> list[str]:
    kept = {key: entry for key, entry in values.items() if every_value or entry["origin"] != DEFAULT}
    lines = _value_lines(kept) if kept else []
    left = len(values) - len(kept)
    return [*lines, f"({count_text(left, 'further value')} as the defaults: --all)"] if left else lines


def _value_lines(values: dict[str, dict[str, Any]]) -> list[str]:
    shown = {key: json.dumps(entry["value"], ensure_ascii=False) for key, entry in values.items()}
    width = max(len(key) for key in shown)
    # A long value stands out of its column: padding all of the others to it would break each line of a terminal.
    middle = max((len(text) for text in shown.values() if len(text) <= SHORT), default=0)
    return [f"{key:<{width}}  {text:<{middle}}  {values[key]['origin']}" for key, text in shown.items()]


def _rules(rules: dict[str, str]) -> list[str]:
    """What the preset scales with the size of the data; the values above are those for this one."""
    if not rules:
        return []
    width = max(len(key) for key in rules)
    return ["", "Rules of the preset"] + [f"  {key:<{width}}  {rule}" for key, rule in rules.items()]


def _decisions(decisions: list[dict[str, Any]]) -> list[str]:
    """What the preset chose for this data, and why."""
    return ["", "Chosen by the data", *(f"  {decision['text']}" for decision in decisions)] if decisions else []


def _data(data: dict[str, Any]) -> list[str]:
    if "unavailable" in data:
        return [f"Data        unavailable: {data['unavailable']}"]
    rows = ", ".join(f"{split_name(name)} {count:,}" for name, count in data["rows"].items())
    task = data["task"].replace("_", "-")
    kind = task if data["labels"] is None else f"{task}, {count_text(len(data['labels']), 'label')}"
    lines = [f"Data        {kind}; rows: {rows}"]
    if data["dropped"]:
        lines.append(f"Excluded    {excluded_rows(data['dropped'])}")
    return lines + [f"note: {note}" for note in data["notes"]] + [f"warning: {text}" for text in data["warnings"]]


def excluded_rows(dropped: dict[str, int]) -> str:
    """`3 rows: empty text; 1 row: no label`."""
    return "; ".join(f"{count_text(count, 'row')}: {reason}" for reason, count in dropped.items())


def _techniques(techniques: dict[str, dict[str, Any]]) -> list[str]:
    if not techniques:
        return ["Techniques  none"]
    return ["Techniques"] + [f"  {describe_technique(name, entry)}" for name, entry in techniques.items()]


def describe_technique(name: str, entry: dict[str, Any]) -> str:
    """One line: name, cost, settings, and their effect."""
    settings = ", ".join(
        f"{key} {setting_text(value)}"
        for key, value in entry["settings"].items()
        if value is not None and not isinstance(value, list)
    )
    effect = f"; {entry['effect']}" if entry["effect"] else ""
    return f"{name:<20} {multiple_text(entry['cost']):<6}  {settings}{effect}"


def _model(model: dict[str, Any], every_value: bool) -> list[str]:
    if "unavailable" in model:
        return [f"Model       unavailable: {model['unavailable']}"]
    lines = [f"Model       {model['architecture']}, {model['parameters'] / 1e6:.1f} M parameters"]
    if model["trainable"] < model["parameters"]:
        lines[0] += f", {model['trainable'] / 1e6:.2f} M of them trained"
    lines.append(f"Pooling     {model['pooling']}: {model['pooling_reason']}")
    if model["head"] is not None:
        lines.append(f"Head        {model['head']}: {model['head_reason']}")
    lines.append("Dropout during training:")
    grouped: dict[tuple[str, str, float, float], int] = {}
    for site in model["dropout"]:
        key = (re.sub(r"\.\d+\.", ".*.", site["path"]), site["kind"], site["checkpoint"], site["trained"])
        grouped[key] = grouped.get(key, 0) + 1
    changed = {key: count for key, count in grouped.items() if every_value or key[2] != key[3]}
    if not changed:
        lines[-1] += " as in the checkpoint (--all)"
    grouped = changed
    width = max((len(path) for path, *_ in grouped), default=0)
    for (path, kind, before, after), count in grouped.items():
        change = f"{before:g}" if before == after else f"{before:g} -> {after:g}"
        lines.append(f"  {path:<{width}}  {count:>3}× {kind:<11} {change}")
    return lines + [f"warning: {warning}" for warning in model["warnings"]]
