"""Advice on speed, from a profile."""

from collections.abc import Mapping

from finetune.measurement.units import count_text, percent_text
from finetune.records.profile import RunProfile, Watched
from finetune.records.schema import RunRecord

PREPARING = ("start", "data", "tokens", "checks")
TRAINING = ("batches", "forward_backward", "optimizer")  # as training.phases.TRAINING, which is above this layer
MEASURING = ("evaluation", "measurement")

# Fractions of the time above which a sentence is worth reading.
MUCH_PREPARING = 0.5
MUCH_WAITING = 0.1  # for checkpoints
MUCH_PADDING = 0.1  # more than there would be with texts of like length together
MUCH_BATCHING = 0.15
MUCH_BETWEEN = 0.4


def speed_advice(record: RunRecord, profile: RunProfile) -> list[str]:
    """Sentences on phases that take unusually long; a single one if none does."""
    sentences = [*_phases(record), *_padding(profile, _sum(record.time.phases, TRAINING)), *_step(record, profile)]
    return sentences or ["No phase takes unusually long."]


def _sum(phases: Mapping[str, float], names: tuple[str, ...]) -> float:
    return sum(phases.get(name, 0.0) for name in names)


def _phases(record: RunRecord) -> list[str]:
    phases = record.time.phases
    total = sum(phases.values())
    preparing, training, measuring = (_sum(phases, names) for names in (PREPARING, TRAINING, MEASURING))
    sentences = []
    if preparing > MUCH_PREPARING * total:
        sentences.append(
            f"Preparation took {percent_text(preparing / total)} of the time. Several seeds in one command share it: "
            "--seed 1 --seed 2 ..."
        )
    if measuring > training:
        rows = record.data.rows
        per_evaluation = rows["train_probe"] + rows["validation"]
        size = record.recipe["training"]["eval_batch_size"]
        sentences.append(
            f"Measuring took longer than training: {measuring:.1f} s against {training:.1f} s, with "
            f"{count_text(len(record.history), 'evaluation')} of {count_text(per_evaluation, 'row')} (train sample and "
            f"validation). Larger batches may be faster: --set training.eval_batch_size={2 * size}"
            f"{_fewer_rows(record)}"
        )
    if phases.get("checkpoints", 0.0) > MUCH_WAITING * total:
        sentences.append(
            f"Training waited {phases['checkpoints']:.1f} s for checkpoints. A faster disk helps: put "
            "the run on it with --output DIR"
        )
    return sentences


def _fewer_rows(record: RunRecord) -> str:
    if record.recipe["data"].get("split_file"):  # which settles how many there are
        return ""
    size = max(1, record.data.rows["validation"] // 2)
    return f". Fewer rows are faster, with wider intervals: --set data.validation_size={size}"


def _padding(profile: RunProfile, training: float) -> list[str]:
    present, grouped = profile.padding.present, profile.padding.grouped
    if present - grouped <= MUCH_PADDING:
        return []
    saved = training * (1 - (1 - present) / (1 - grouped))
    return [
        f"{percent_text(present)} of the tokens in training batches are padding. Grouping texts of similar length "
        f"would reduce this to {percent_text(grouped)} and save about {saved:.1f} of {training:.1f} s: "
        "--set training.group_by_length=true"
    ]


def _step(record: RunRecord, profile: RunProfile) -> list[str]:
    watched = profile.training
    if watched is None:
        return []
    sentences = []
    phases = profile.time.phases
    if phases.get("batches", 0.0) > MUCH_BATCHING * _sum(phases, TRAINING):
        sentences.append(
            f"Preparing batches took {phases['batches']:.1f} s of training. Text augmentation is the usual cause; very "
            "short texts are another."
        )
    if _between(watched) > MUCH_BETWEEN:
        cause = (
            "the GPU waits for Python"
            if profile.device == "cuda"
            else "its operations are too small to keep the CPU busy"
        )
        sentences.append(
            f"{percent_text(_between(watched))} of a step lies between operations: {cause}. Larger batches reduce it: "
            "--set training.batch_size=... (this changes what is learned: adjust the learning rate)"
        )
    if record.recipe["training"].get("precision") == "fp32" and profile.device == "cuda":
        sentences.append("Training in fp32 uses only part of the speed of a GPU. Try: --set training.precision=auto")
    return sentences


def _between(watched: Watched) -> float:
    return watched.between / watched.milliseconds
