"""Whether validation and test agree."""

from __future__ import annotations

from finetune.diagnosis.observations import Observed, gap_estimate
from finetune.measurement.units import scale


def note_on_test(observed: Observed) -> str | None:
    """What the test score says about the validation score; None if either, or its number of rows, is unknown."""
    validation, test = observed.validation, observed.test
    if observed.score != "accuracy" or validation is None or test is None:
        return None
    if validation.mean is None or test.mean is None or not observed.validation_rows or not observed.test_rows:
        return None
    unit = scale(observed.score)
    difference = gap_estimate(validation.mean, observed.validation_rows, test.mean, observed.test_rows)
    text = f"validation − test is {unit.estimated_change(difference)}"
    if difference.low is not None and difference.low > 0:
        return (
            f"{text}: more than chance explains. Test rows differ from validation (a shift), or what was chosen by "
            f"validation fits only validation; rely on test (finetune check {observed.data} looks for a shift)"
        )
    if difference.high is not None and difference.high < 0:
        return f"{text}: test is easier than validation by more than chance explains; its rows differ (a shift)"
    return f"{text}: no difference beyond chance"
