"""`finetune diagnose` as it is mistyped: what is understood, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.invoking import error_lines, invoke

NUMBERS = ("--train-accuracy", 0.98, "--validation-accuracy", 0.75, "--train-size", 1000, "--validation-size", 200)


def test_an_option_that_is_called_as_the_help_calls_an_argument_is_typed_as_an_option(tmp_path: Path) -> None:
    """`finetune diagnose [RUN] --run NAME`."""
    for name in ("a", "b"):
        rows = ["epoch,accuracy,loss,val_accuracy,val_loss", *(f"{i},0.8,0.4,0.7,0.5" for i in range(3))]
        (tmp_path / f"{name}.csv").write_text("\n".join(rows), encoding="utf-8")
    result = invoke("diagnose", tmp_path)
    assert "Try: --run a, or --run b" in result.stderr
    assert invoke("diagnose", tmp_path, "--run", "a").exit_code == 0
    assert "error: --run c: " in invoke("diagnose", tmp_path, "--run", "c").stderr


def test_names_may_have_spaces_between_them() -> None:
    result = invoke("diagnose", *NUMBERS, "--techniques", "dropout, l2,")
    assert result.exit_code == 0, result.stderr


def test_a_missing_number_is_named_as_the_option_that_gives_it() -> None:
    result = invoke("diagnose", *NUMBERS[:4], "--train-size", 1000)
    assert error_lines(result.stderr) == [
        "error: --validation-size: is missing: number of rows behind the validation accuracy; it determines how "
        "certain a verdict is. Try: --validation-size 200"
    ]


@pytest.mark.parametrize(("value", "advice"), [(98, "Try: --train-accuracy 0.98"), (1.5, "between 0 and 1.")])
def test_a_percentage_is_told_from_a_typing_error(value: float, advice: str) -> None:
    result = invoke("diagnose", "--train-accuracy", value, *NUMBERS[2:])
    assert error_lines(result.stderr)[0].endswith(advice)
