"""`finetune show`, `diff` and `validate`: what a recipe contains, before anything is trained."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from finetune.cli.completion import complete_technique
from finetune.cli.help import examples
from finetune.cli.options import (
    DataOption,
    JsonOption,
    ModelOption,
    PresetOption,
    RecipeArgument,
    SetOption,
    TechniqueOption,
    reports_errors,
    use_techniques,
)
from finetune.cli.output import print_text
from finetune.errors import RecipeError

SHOW_EXAMPLES = examples(
    "finetune show tweets --preset strong",
    "finetune show tweets --all --set training.epochs=5",
    "finetune show technique r_drop",
)
DIFF_EXAMPLES = examples(
    "finetune diff light strong",
)
VALIDATE_EXAMPLES = examples(
    "finetune validate tweets --preset strong",
)


@reports_errors()
def show(
    recipe: RecipeArgument = None,
    name: Annotated[
        str | None,
        typer.Argument(
            help="After the word technique: the one to explain.",
            autocompletion=complete_technique,
        ),
    ] = None,
    preset: PresetOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    technique: TechniqueOption = None,
    every_value: Annotated[bool, typer.Option("--all", help="Show values that are defaults, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the resolved recipe: values and their origins, data, dropout, cumulative weight decay, training time.

    Or explain a technique: formula, ranges, cost and source.
    """
    use_techniques(technique)
    if recipe == "technique":
        _show_technique(name, technique or (), as_json)
        return
    if name is not None:
        raise RecipeError(f"'{name}': one recipe at a time. To explain a technique: finetune show technique {name}")
    from finetune.workflows.inspection import describe_recipe

    plan = describe_recipe(recipe, preset, model, data, overrides or ())
    from finetune.reports.plan import render_plan

    print_text(json.dumps(plan, indent=2) if as_json else render_plan(plan, every_value), whole=as_json)


def _show_technique(name: str | None, own: Sequence[str], as_json: bool) -> None:
    from finetune.reports.techniques import describe_techniques, render_card
    from finetune.workflows.inspection import describe_technique

    [(name, described)] = describe_technique(name, describe_techniques()).items()
    print_text(json.dumps({name: described}, indent=2) if as_json else render_card(name, own), whole=as_json)


@reports_errors()
def diff(
    first: Annotated[str, typer.Argument(help="Recipe or preset, by name or path.")],
    second: Annotated[str, typer.Argument(help="Recipe or preset, by name or path.")],
    as_json: JsonOption = False,
) -> None:
    """Show the values in which two recipes, or two presets, differ."""
    from finetune.workflows.inspection import differing_values

    found = differing_values(first, second)
    if as_json:
        print_text(json.dumps({key: {"first": a, "second": b} for key, (a, b) in found.items()}, indent=2), whole=True)
        return
    if not found:
        print_text(f"{first} and {second} are the same")
        return
    width = max(len(key) for key in found)
    for key, (a, b) in found.items():
        print_text(f"{key:<{width}}  {_shown(a)}  ->  {_shown(b)}")


def _shown(value: Any) -> str:
    return "-" if value is None else json.dumps(value)


@reports_errors()
def validate(
    recipe: RecipeArgument = None,
    preset: PresetOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    technique: TechniqueOption = None,
) -> None:
    """Check a recipe without loading data or model. All problems are reported at once."""
    use_techniques(technique)
    from finetune.recipe import resolve

    resolved = resolve(recipe, preset, model, data, overrides or ())
    with_preset = f" with preset {resolved.recipe.preset}" if resolved.recipe.preset else ""
    for module in resolved.recipe.training.metrics:
        print_text(
            f"It names code: {module} (training.metrics), which runs execute only after --allow-code was given for it"
        )
    print_text(f"{resolved.recipe.name}{with_preset} is valid. To check data and model, too: finetune run … --dry-run")
