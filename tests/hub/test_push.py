"""`finetune push` against a hub on loopback: what is sent, what never is, and what is said when it fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import finetune
from finetune.errors import HubError, ModelError, RecipeError
from tests.cli.invoking import invoke
from tests.hub.fake_hub import TOKEN, FakeHub
from tests.raising import refusal, refuses

CARD = "---\nlibrary_name: transformers\n---\n\n# Reviews\n"
OWN = ["README.md", "config.json", "finetune.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
REPO = "me/reviews"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run, with everything that must stay where it is."""
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    for name in OWN:
        (model / name).write_text("{}", encoding="utf-8")
    (model / "README.md").write_text(CARD, encoding="utf-8")
    (model / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    for name in ("optimizer.pt", "training_args.bin", "pytorch_model.bin", "train.csv", ".env"):
        (model / name).write_text(f"secret {name}", encoding="utf-8")
    (model / "checkpoint-10").mkdir()
    (model / "checkpoint-10" / "model.safetensors").write_bytes(b"secret")
    for name in ("run.json", "split.json", "predictions.npz"):
        (tmp_path / "run" / name).write_text("secret", encoding="utf-8")
    return tmp_path / "run"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    import huggingface_hub.constants as constants

    with FakeHub().served() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its protocol is no part of this hub
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between tries
        yield hub


def test_the_files_of_the_model_are_sent_into_a_private_repository_and_nothing_else(run: Path, hub: FakeHub) -> None:
    result = finetune.push(run, REPO, message="first")
    assert hub.repos == {REPO: True}
    assert hub.messages == ["first"]
    assert sorted(hub.files[REPO]) == OWN == list(result.sizes)
    assert {name: (run / "model" / name).read_bytes() for name in OWN} == hub.files[REPO]
    assert result.url == f"{hub.url}/{REPO}/commit/c0ffee"
    finetune.push(run, REPO, message="second")  # into the same
    assert (hub.messages, hub.repos) == (["first", "second"], {REPO: True})


def test_public_is_asked_for_and_never_comes_by_chance(run: Path, hub: FakeHub) -> None:
    finetune.push(run, "me/open", public=True)
    assert hub.repos == {"me/open": False}
    with refuses(HubError, match=r"--repo me/open: exists already and is public.*Try: --public"):
        finetune.push(run, "me/open")
    assert "error: REPO me/open: exists already and is public" in invoke("push", run, "me/open").stderr
    assert len(hub.messages) == 1
    hub.repos["me/closed"], hub.files["me/closed"] = True, {}
    assert "stays private" in invoke("push", run, "me/closed", "--public").stderr
    assert hub.repos["me/closed"]


def test_a_dry_run_shows_files_and_card_and_asks_nobody(run: Path, hub: FakeHub) -> None:
    shown = invoke("push", run, REPO, "--dry-run")
    assert shown.exit_code == 0
    assert hub.requests == []
    assert "Would send to me/reviews (private, if it is created now):" in shown.stdout
    assert re.search(r"^  model.safetensors +10 KB$", shown.stdout, re.MULTILINE)
    assert "# Reviews" in shown.stdout
    assert (
        "not sent: .env, checkpoint-10, optimizer.pt, pytorch_model.bin, train.csv, training_args.bin" in shown.stderr
    )


def test_the_command_says_where_it_is_and_no_token(run: Path, hub: FakeHub) -> None:
    sent = invoke("push", run, REPO)
    assert sent.exit_code == 0
    assert f"Commit {hub.url}/{REPO}/commit/c0ffee" in sent.stdout
    assert "note: me/reviews was created, private" in sent.stderr
    assert TOKEN not in sent.output
    hub.refuse = {"POST /api/models/me/reviews/commit": 418}  # whose message repeats the token
    refused = invoke("push", run, REPO)
    assert refused.exit_code == 1
    assert "HTTP 418" in refused.stderr
    assert TOKEN not in refused.output


@pytest.mark.parametrize(
    ("part", "status", "expected"),
    [
        ("GET /api/models", 401, "does not know this token, or it has expired (HTTP 401). Try: hf auth login"),
        ("POST /api/repos/create", 401, "Try: hf auth login"),
        ("POST /api/repos/create", 403, "this token may not write there (HTTP 403)"),
        ("POST /api/repos/create", 409, "by somebody else at the same time, or this token may not see it (HTTP 409)"),
        ("POST /api/models/me/reviews/commit", 409, "Run the command again"),
        ("POST /api/models/me/reviews/commit", 412, "changed at the same time (HTTP 412)"),
        ("POST /api/repos/create", 429, "too many requests"),
        ("POST /api/repos/create", 500, "an error of its own (HTTP 500). Run the same command again"),
        ("GET /api/models", 0, "could not be reached, or the connection was cut"),
        ("POST /api/models/me/reviews/commit", 0, "the connection was cut"),
        ("PUT /object", 0, "the connection was cut"),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_to_do(
    run: Path, hub: FakeHub, part: str, status: int, expected: str
) -> None:
    hub.refuse = {part: status}
    said = refusal(HubError, finetune.push, run, REPO)
    assert said.startswith(f"{REPO}: ")
    assert expected in said
    assert TOKEN not in said
    assert not any(hub.files.values())  # all or nothing
    hub.refuse = {}
    finetune.push(run, REPO)  # the same command
    assert sorted(hub.files[REPO]) == OWN


def test_an_upload_that_was_cut_says_that_the_repository_is_empty(run: Path, hub: FakeHub) -> None:
    hub.refuse = {"PUT /object": 0}
    refused = invoke("push", run, REPO)
    assert refused.exit_code == 1
    assert "me/reviews exists and is empty" in refused.stderr


def test_ctrl_c_says_that_the_repository_is_empty(run: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", interrupted)
    stopped = invoke("push", run, REPO)
    assert stopped.exit_code == 130
    assert "me/reviews exists and is empty" in stopped.stderr


def test_without_a_token_or_offline_nothing_is_asked(run: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("HF_TOKEN")
        with refuses(HubError, match="not logged in to the hub on this machine. Try: hf auth login, or set HF_TOKEN"):
            finetune.push(run, REPO)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with refuses(HubError, match="HF_HUB_OFFLINE is set, so nothing is sent. Try: unset HF_HUB_OFFLINE"):
        finetune.push(run, REPO)
    assert hub.requests == []


def test_a_hub_that_is_not_there_is_said(run: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with refuses(HubError, match="could not be reached"):
        finetune.push(run, REPO)


@pytest.mark.parametrize("repo", ["reviews", "me/", "me/a/b", "me/re views", "../me/x", "https://hub/me/x", ""])
def test_a_name_that_is_none_is_refused_before_anything(run: Path, repo: str) -> None:
    with refuses(RecipeError, match="expected OWNER/NAME"):
        finetune.push(run, repo, dry_run=True)


def test_folders_that_are_no_model_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, why in ((tmp_path / "empty", "holds no model"), (tmp_path / "nowhere", "has no such model. Known: run")):
        with refuses(ModelError, match=why):
            finetune.push(path, REPO, dry_run=True)
    (run / "model" / "model.safetensors").unlink()
    with refuses(ModelError, match=r"has no weights as .safetensors or .onnx"):
        finetune.push(run, REPO, dry_run=True)


def test_a_card_that_the_hub_cannot_read_is_said(run: Path) -> None:
    (run / "model" / "README.md").write_bytes("# Reviews\n\nCafé\n".encode("latin-1"))
    with refuses(ModelError, match=r"README\.md:3 is not in UTF-8, as the hub reads it\. Save it as UTF-8"):
        finetune.push(run, REPO, dry_run=True)


@pytest.mark.parametrize("name", ["README.md", "config.json", "tokenizer_config.json", "finetune.json"])
def test_paths_of_this_machine_are_not_sent(run: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/root")
    for path in ("/home/alice/data/x.csv", "/Users/alice/x", r"C:\\Users\\alice\\x", "/root/data/x.csv"):
        (run / "model" / name).write_text(json.dumps({"about": f"x {path}"}), encoding="utf-8")
        with refuses(ModelError, match=f"contains paths of this machine: {name}:1"):
            finetune.push(run, REPO, dry_run=True)
