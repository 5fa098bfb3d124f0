"""Upload the files of a model to a repository of the hub, in one commit: all of them or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from finetune.errors import Change, HubError, RecipeError, first_line
from finetune.hub.files import ModelFiles

Tell = Callable[[str], None]  # a line on what was decided
LOG_IN = (
    Change(command="hf auth login"),
    Change(text="set HF_TOKEN to a token that may write (it is never printed or kept)"),
)
NETWORK = HfHubHTTPError.__bases__  # what the client of the hub raises, which is another one between versions
AGAIN = Change(text="Run the same command again: files already uploaded are not sent twice.")
_ADVICE: dict[int, tuple[str, tuple[Change, ...]]] = {
    401: ("the hub does not know this token, or it has expired", LOG_IN),
    403: (
        "this token may not write there",
        (Change(text="Use a token with write access, and a repository of your own or of your organization."),),
    ),
    404: ("there is no such user or organization, or this token may not see it", (Change(text="Check OWNER/NAME."),)),
    409: (
        "the repository was changed or created by somebody else at the same time, or this token may not see it",
        (Change(text="Run the command again, or choose another name."),),
    ),
    412: ("the repository was changed at the same time", (AGAIN,)),
    413: ("the files are larger than this account may send", (Change(text="See the storage of your account."),)),
    429: ("the hub has received too many requests from this account", (Change(text="Run the command again later."),)),
}


def check_repo(repo: str) -> None:
    """
    Raises:
        RecipeError: It is not of the form OWNER/NAME.
    """
    try:
        validate_repo_id(repo)
        is_valid = repo.count("/") == 1
    except HFValidationError:
        is_valid = False
    if not is_valid:
        why = "expected OWNER/NAME, of letters, digits, - and _, such as me/tweets-sentiment."
        raise RecipeError(why, argument="repo", found=repo)


def send(files: ModelFiles, repo: str, public: bool, message: str, tell: Tell) -> str:
    """Create the repository if it does not exist, and upload the files.

    Args:
        files: Files of the model.
        repo: OWNER/NAME.
        public: Whether a new repository is public, and an existing public one may be written to.
        message: Message of the commit.
        tell: Called with messages on what is found and done.

    Returns:
        Address of the commit.

    Raises:
        HubError: The upload failed; says what happened and what to do.
    """
    token = get_token()
    with _explained(repo, token):
        if token is None:
            raise LocalTokenNotFoundError
        api = HfApi(token=token)
        is_new = _is_new(api, repo, public, tell)
        if is_new:
            api.create_repo(repo, private=not public, repo_type="model")
            tell(f"{repo} was created, {'public' if public else 'private'}")
        try:
            commit = api.upload_folder(
                repo_id=repo,
                folder_path=files.folder,
                allow_patterns=list(files.sizes),
                commit_message=message,
                repo_type="model",
            )
        except BaseException:  # Ctrl-C, too
            if is_new:
                tell(f"{repo} exists and is empty")
            raise
    return str(commit.commit_url)


def _is_new(api: HfApi, repo: str, public: bool, tell: Tell) -> bool:
    """Whether the repository is not there yet. One that anybody may see is not written by chance."""
    try:
        found = api.repo_info(repo, repo_type="model")
    except RepositoryNotFoundError as error:
        if error.response.status_code != 404:  # 401 is one, too, for a token that nobody knows
            raise
        return True
    if not found.private and not public:
        why = "exists already and is public: everybody would see the model."
        other = Change(text="choose another name")
        raise HubError(why, Change(arguments={"public": True}), other, argument="repo", found=repo)
    if found.private and public:
        tell(f"{repo} exists already and stays private: change that in its settings on the hub")
    return False


@contextmanager
def _explained(repo: str, token: str | None) -> Iterator[None]:
    """Errors of the hub and of the network in our words; a token in them is masked."""
    try:
        yield
    except HubError:
        raise
    except LocalTokenNotFoundError as error:
        raise HubError("not logged in to the hub on this machine.", *LOG_IN) from error
    except OfflineModeIsEnabled as error:
        name = "HF_HUB_OFFLINE" if os.environ.get("HF_HUB_OFFLINE") else "TRANSFORMERS_OFFLINE"
        raise HubError(f"{name} is set, so nothing is sent.", Change(command=f"unset {name}")) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        why, changes = _ADVICE.get(status, (_masked(first_line(error), token), ()))
        if status >= 500:
            why, changes = "the hub reports an error of its own", (AGAIN,)
        raise HubError(f"{repo}: {why} (HTTP {status}).", *changes) from None
    except ValueError as error:  # of the metadata of the card, among others
        raise HubError(f"{repo}: {_masked(' '.join(str(error).split()), token)}") from None
    except (*NETWORK, RuntimeError) as error:  # a name, a connection, a time limit
        why = f"{repo}: the hub could not be reached, or the connection was cut: {_masked(first_line(error), token)}."
        raise HubError(why, AGAIN) from None


def _masked(text: str, token: str | None) -> str:
    return text.replace(token, "***") if token else text
