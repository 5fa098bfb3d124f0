"""`finetune demo`: the page over HTTP, in a browser, and what it refuses."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import finetune
from finetune.demo_page.server import Server
from finetune.errors import ModelError, OutputError, RecipeError
from finetune.measurement.scores import softmax
from finetune.workflows.demo import open_demo
from tests.conftest import labelled_texts, write_csv
from tests.programs import Program
from tests.raising import refuses
from tests.reports.test_browser import BROWSER, FLAGS
from tests.running import REPOSITORY, train

NASTY = "<b onclick=alert(1)>bad</b>"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Path]:
    """A run of two classes, one of them named like HTML; copies of its model that read pairs and that are not ours."""
    folder = tmp_path_factory.mktemp("demo")
    rows = [(text, NASTY if label == "bad" else label) for text, label in labelled_texts(80)]
    data = {"source": str(write_csv(folder / "reviews.csv", ["text", "label"], rows)), "check": False}
    recipe = {
        "model": {"id": str(tiny_model)},
        "data": {**data, "validation_size": 16, "test_size": 16, "max_length": 32},
        "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.005, "precision": "fp32"},
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    train(folder / "recipe.yaml", folder / "classes")
    for name in ("pairs", "plain", "several", "numbers"):
        shutil.copytree(folder / "classes" / "model", folder / name)
        if name != "pairs":
            (folder / name / "finetune.json").unlink()
    served = json.loads((folder / "pairs" / "finetune.json").read_text(encoding="utf-8"))
    served["input"] |= {"pairs": True, "text_pair": "answer"}
    (folder / "pairs" / "finetune.json").write_text(json.dumps(served), encoding="utf-8")
    config = json.loads((folder / "several" / "config.json").read_text(encoding="utf-8"))
    config["problem_type"] = "multi_label_classification"
    (folder / "several" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _make_regression(folder / "numbers")
    return {path.name: path for path in folder.iterdir() if path.is_dir()}


def _make_regression(folder: Path) -> None:
    """One output, and no labels."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, problem_type="regression", ignore_mismatched_sizes=True, trust_remote_code=False
    )
    model.save_pretrained(folder)


@contextlib.contextmanager
def served(model: Path) -> Iterator[Server]:
    server = open_demo(model, 0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def opened(runs: dict[str, Path]) -> Iterator[Callable[[str], str]]:
    """Name of a model -> address of its page."""
    with contextlib.ExitStack() as stack:
        urls: dict[str, str] = {}

        def address(name: str) -> str:
            if name not in urls:
                urls[name] = stack.enter_context(served(runs[name])).url
            return urls[name]

        yield address


def request(
    url: str, path: str = "/answer", body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    """Status, content and headers of the answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, content, JSON if headers is None else headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    is_json = answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(text) if is_json else text.decode(), dict(answer.headers)


def test_the_answer_is_that_of_predict_with_its_calibration(
    opened: Callable[[str], str], runs: dict[str, Path]
) -> None:
    text = "a great movie"
    status, found, _ = request(opened("classes"), body={"text": text})
    assert status == 200
    classifier = finetune.load(runs["classes"])
    expected = classifier.predict([text])
    [probabilities] = expected.probabilities
    assert found["prediction"] == expected.labels[0]
    assert found["labels"][0]["name"] == expected.labels[0]
    assert [row["probability"] for row in found["labels"]] == pytest.approx(sorted(probabilities, reverse=True))
    sure, record = found["confidence"], json.loads((runs["classes"] / "run.json").read_text(encoding="utf-8"))
    assert sure["temperature"] == record["calibration"]["temperature"]
    assert sure["calibrated"] == pytest.approx(max(probabilities))
    assert sure["plain"] == pytest.approx(float(softmax(expected.logits.astype(float)).max()), abs=1e-6)
    known = classifier.served.confidences
    reached = [index for index, least in enumerate(known.confidence) if least >= sure["calibrated"]]
    if reached:
        last = reached[-1]
        assert (sure["validation_rows"], sure["validation_right"]) == (known.answered[last], known.right[last])


def test_neighbours_are_training_texts_the_nearest_first(opened: Callable[[str], str]) -> None:
    _, found, _ = request(opened("classes"), body={"text": labelled_texts(80)[3][0]})
    rows = found["details"]["neighbours"]["rows"]
    assert len(rows) == 5
    similarity = [row["similarity"] for row in rows]
    assert similarity == sorted(similarity, reverse=True)
    assert all(0 <= value <= 1 for value in similarity)
    known = {text: NASTY if label == "bad" else label for text, label in labelled_texts(80)}
    assert all(known[row["text"]] == row["label"] for row in rows)


def test_a_model_apart_from_its_run_says_what_is_missing(opened: Callable[[str], str]) -> None:
    _, about, _ = request(opened("plain"), "/model")
    assert any("has no finetune.json" in line for line in about["about"])
    _, found, _ = request(opened("plain"), body={"text": "a great movie"})
    assert found["confidence"]["temperature"] is None
    assert found["details"]["neighbours"] == {
        "rows": [],
        "missing": "The run that trained the model is not beside it.",
    }


def test_several_labels_numbers_and_pairs(opened: Callable[[str], str], runs: dict[str, Path]) -> None:
    _, several, _ = request(opened("several"), body={"text": "a great movie"})
    assert several["confidence"] is None
    assert {row["threshold"] for row in several["labels"]} == {0.5}
    above = [row["name"] for row in several["labels"] if row["probability"] > 0.5]
    assert sorted(several["prediction"]) == sorted(above)
    _, number, _ = request(opened("numbers"), body={"text": "a great movie"})
    assert number["labels"] == []
    assert number["confidence"] is None
    assert number["prediction"] == pytest.approx(finetune.load(runs["numbers"]).predict(["a great movie"]).labels[0])
    _, about, _ = request(opened("pairs"), "/model")
    assert about["pairs"]
    _, pair, _ = request(opened("pairs"), body={"text": "a great movie", "pair": "a bad plot"})
    assert pair["prediction"] == finetune.load(runs["pairs"]).predict(["a great movie"], ["a bad plot"]).labels[0]
    assert request(opened("pairs"), body={"text": "a great movie"})[0] == 400
    assert request(opened("plain"), body={"text": "a great movie", "pair": "b"})[0] == 400


def test_a_text_of_100_000_characters_is_cut_and_said(opened: Callable[[str], str]) -> None:
    text = ("great movie " * 10_000)[:100_000]
    status, found, _ = request(opened("classes"), body={"text": text})
    assert status == 200
    assert found["limit"] == 32
    assert found["tokens"] > 16_000


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_nothing_is_no_error(opened: Callable[[str], str], text: str) -> None:
    assert request(opened("classes"), body={"text": text})[:2] == (200, {"empty": True})


@pytest.mark.parametrize("text", ["\ud83d half a character", "\x00\x1b[31m", "🙂" * 5, "ﷺ", "​"])
def test_odd_characters_are_texts(opened: Callable[[str], str], text: str) -> None:
    assert request(opened("classes"), body={"text": text})[0] == 200


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b"", b"{", b"[]", b"null", b"1", b'{"text": 1}', b'{"text": null}', b"\xff\xfe", b'{"txt": "a"}'],
)
def test_what_is_no_request_is_refused(opened: Callable[[str], str], body: bytes) -> None:
    status, found, _ = request(opened("classes"), body=body)
    assert (status, found) == (400, {"error": 'Expected {"text": "…"}.'})


def test_too_much_is_refused(opened: Callable[[str], str]) -> None:
    status, found, _ = request(opened("classes"), body=b'{"text": "' + b"a" * 4_000_001 + b'"}')
    assert status == 400
    assert "too long" in found["error"]


def test_pages_of_others_get_nothing(opened: Callable[[str], str]) -> None:
    """By another name that leads here, by a form, or in a frame; nothing is loaded from elsewhere."""
    url = opened("classes")
    assert request(url, "/model", headers={"host": "evil.example"})[0] == 400
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert request(url, body={"text": "a"}, headers={"content-type": kind})[0] == 400
    for path in ("/", "/page.css", "/page.js", "/model"):
        status, content, headers = request(url, path)
        assert status == 200
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "access-control-allow-origin" not in headers
        assert "http:" not in str(content)
        assert "https:" not in str(content)
    assert request(url, "/../../etc/passwd")[0] == 404


def test_it_listens_on_loopback_alone_and_a_port_in_use_is_said(runs: dict[str, Path]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with refuses(OutputError, match=rf"--port {port}: another program listens there. Try: --port 0"):
            open_demo(runs["classes"], port)
    with refuses(RecipeError, match="--port 70000: expected a number from 0 to 65535"):
        open_demo(runs["classes"], 70_000)
    server = open_demo(runs["classes"], port)  # free again, and taken back where the model cannot be read
    assert server.url == f"http://127.0.0.1:{port}"
    server._listening.close()
    with refuses(ModelError):
        open_demo(runs["classes"].parent / "nowhere", port)
    open_demo(runs["classes"], port)._listening.close()


def test_without_starlette_it_says_what_to_install(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with refuses(RecipeError, match=r'Try: pip install "finetune\[page\]"'):
        open_demo(runs["classes"], 0)


def test_ctrl_c_ends_the_program_without_an_error(runs: dict[str, Path]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    program = Program(["-m", "finetune", "demo", runs["classes"], "--port", port], REPOSITORY, environment)
    try:
        while program.returncode is None:
            with contextlib.suppress(ConnectionRefusedError):
                assert request(f"http://127.0.0.1:{port}", body={"text": "a great movie"})[0] == 200
                break
            time.sleep(0.1)
        program.send_signal(signal.SIGINT)
    except BaseException:
        program.kill()
        raise
    printed, said = program.communicate()
    assert program.returncode == 0, said
    assert printed.startswith(f"Demo   http://127.0.0.1:{port}")
    assert said == "note: the demo has ended\n"


# --- in a browser ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("no chromium or google-chrome on this machine")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS, timeout=0)
        yield launched
        launched.close()


def test_in_a_browser_a_text_is_typed_and_answered(browser: Any, opened: Callable[[str], str]) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 700})
    page.set_default_timeout(0)
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: requests.append(asked.url))
    page.goto(opened("classes"))
    page.wait_for_selector("#about > *")  # not wait_for_function: it evaluates a string, which the page forbids
    assert page.locator("#second").is_hidden()
    page.fill("#text", "a bad awful plot")
    page.click("button")
    page.wait_for_selector(".prediction")
    answer = page.inner_text("#answer")
    assert NASTY in answer  # as a text
    assert "calibrated with temperature" in answer
    assert "Nearest training texts" in answer
    assert page.locator("#answer meter").count() == 2
    assert page.locator("#answer b").count() == 0
    page.fill("#text", " ")
    page.press("#text", "Control+Enter")
    page.wait_for_selector("#answer >> text=Type a text")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert complaints == []
    assert {urlsplit(url).netloc for url in requests if not url.startswith("data:")} == {
        urlsplit(opened("classes")).netloc
    }
    page.goto(opened("pairs"))
    page.wait_for_selector("#second", state="visible")
    page.fill("#text", "a great movie")
    page.fill("#pair", "a bad plot")
    page.click("button")
    page.wait_for_selector(".prediction")
    page.close()


def test_in_a_browser_a_page_whose_program_has_ended_says_so(browser: Any, runs: dict[str, Path]) -> None:
    with served(runs["classes"]) as server:
        page = browser.new_page()
        page.set_default_timeout(0)
        page.goto(server.url)
        page.fill("#text", "a great movie")
    page.click("button")
    page.wait_for_selector(".error")
    assert "finetune demo is no longer running" in page.inner_text("#answer")
    page.close()
