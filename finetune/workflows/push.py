"""Upload a trained model to a repository of the hub; the only command that uploads anything."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

from finetune.errors import Change, ModelError
from finetune.hub.files import model_files
from finetune.inference.folders import model_folder
from finetune.listener import Listener
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.model_results import PushResult

MESSAGE = "Upload a model trained with finetune"


def push(
    model: str | PathLike[str],
    repo: str,
    *,
    public: bool = False,
    dry_run: bool = False,
    message: str = MESSAGE,
    listener: Listener | None = None,
) -> PushResult:
    """Upload weights, tokenizer, `finetune.json` and model card, and nothing else in the folder, in one commit.

    The token is that of `hf auth login`, or HF_TOKEN.

    Args:
        model: Folder of a run or comparison, or a model folder.
        repo: OWNER/NAME; created if it does not exist.
        public: Make it visible to everybody; private by default.
        dry_run: Upload nothing, and do not contact the hub.
        message: Message of the commit.
        listener: As for `compare`.

    Raises:
        ModelError: It is not a model folder, its files contain paths of this machine, or its card is not in UTF-8.
        RecipeError: The name of the repository is malformed.
        HubError: The hub refused, or could not be reached.
    """
    from finetune.hub.upload import check_repo, send

    listener = chosen_listener(listener)
    check_repo(repo)
    files = model_files(_local(fspath(model)))
    if files.left_out:
        listener.notice(f"not sent: {', '.join(files.left_out)}")
    if files.card is None:
        listener.notice(
            f"{files.folder} has no README.md: without a model card, nobody knows what the model is", "warning"
        )
    url = None if dry_run else send(files, repo, public, message, listener.notice)
    return PushResult(files.folder, repo, files.sizes, files.card, public, url)


def _local(path: str) -> Path:
    folder = Path(model_folder(path)).expanduser()
    if not folder.is_dir():
        why = "is not a folder. A model is uploaded from this machine."
        raise ModelError(why, Change(text="Name the folder of a run."), argument="model", found=path)
    return folder
