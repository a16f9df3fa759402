"""The judge: a scripted endpoint on loopback; both orders, replies kept, keys kept to themselves, refusals in one line."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness import judge as judging
from harness.errors import UserError
from harness.judge import KEY, Cached, compare, connect, judge, letter, summary
from harness.loading import load_task
from harness.paths import shipped
from reports.report import write_report
from tests.test_reports import add

SECRET = "sk-very-secret-0123456789"


class _Judge(BaseHTTPRequestHandler):
    """Prefers the shorter answer; counts what it is asked."""

    asked: list[dict] = []
    status = 200
    body: bytes | None = None

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append({"path": self.path, "auth": self.headers.get("Authorization"), **asked})
        prompt = asked["messages"][0]["content"]
        a, b = (prompt.split(f"<answer-{name}>\n")[1].split(f"\n</answer-{name}>")[0] for name in "AB")
        choice = {"message": {"role": "assistant", "content": "A" if len(a) < len(b) else "B" if len(b) < len(a) else "E"}}
        answer = (
            self.body
            or json.dumps(
                {"choices": [choice | {"index": 0, "finish_reason": "stop"}], "id": "1", "created": 1, "model": "m", "usage": {}}
            ).encode()
        )
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture
def endpoint(monkeypatch):
    """The URL of a judge on loopback."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv(KEY, SECRET)
    handler = type("Handler", (_Judge,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", handler
    server.shutdown()
    server.server_close()


def answers(text: str) -> list[dict]:
    return [
        {
            "doc_id": i,
            "prompt": f"p{i}",
            "text": f"question {i}",
            "prediction": text * (1 + i % 2),
            "reference": "r",
            "scores": {},
        }
        for i in range(4)
    ]


@pytest.fixture
def results(tmp_path):
    cell = {"task": "instruction_following"}
    for name, text in (("zero_shot", "long answer "), ("lora", "short ")):
        add(tmp_path, name, cell=cell, lines=answers(text), task={"kind": "instruction"}, confusion={})
    return tmp_path


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("A", "A"),
        (" b.", "B"),
        ("**A**", "A"),
        ("Answer B", "B"),
        ("answer-A is", "A"),
        ("E", "E"),
        ("Both", "?"),
        ("", "?"),
        ("Apples", "?"),
        ("Answer: B", "B"),
        ("The answer is A.", "A"),
        ("Option A", "A"),
        ("**Response B**", "B"),
        ("A - it is shorter", "A"),
        ("A good question", "?"),
        ("A or B", "?"),
        ("I prefer A", "?"),
        ("A\n\nAnswer A is better", "A"),
        ("E\nBoth are fine", "E"),
    ],
)
def test_a_reply_is_a_letter_or_unreadable(reply, read):
    assert letter(reply) == read


def test_an_answer_wins_only_where_both_orders_say_so():
    pairs = [("1", "p", "aa", "b"), ("2", "p", "a", "bb"), ("3", "p", "a", "b")]

    def shorter(prompt: str) -> str:
        a, b = (prompt.split(f"<answer-{name}>\n")[1].split("\n<")[0] for name in "AB")
        return "A" if len(a) <= len(b) else "B"  # and the first place where they are equal

    found = compare(shorter, pairs)
    assert [one.first for one in found] == [0.0, 1.0, 0.5]
    said = summary(found)
    assert (said["won"], said["tied"], said["lost"], said["same_place_twice"], said["unreadable"]) == (1, 1, 1, 1, 0)
    assert said["first_wins"]["value"] == 0.5
    mixed = summary(compare(lambda prompt: "no idea" if "bb" in prompt else shorter(prompt), pairs))
    assert (mixed["unreadable"], mixed["tied"], mixed["first_wins"]["n"]) == (1, 1, 2)  # left out, and no tie
    nothing = summary(compare(lambda prompt: "no idea", pairs))
    assert (nothing["unreadable"], nothing["first_wins"]["value"]) == (3, None)
    with pytest.raises(UserError, match=r"no verdict that can be read \(A, B or E\), but: 'no idea'"):
        compare(lambda prompt: "no idea", pairs * 3)


def test_a_judgement_is_stored_with_its_trust_and_asked_once(results, endpoint):
    url, handler = endpoint
    task = load_task("instruction_following", [shipped("tasks")])
    preferences = len(task.lm_eval.dataset["preferences_test"])
    said = []
    path = judge(results, task, ("lora", "zero_shot"), 0, url, "m", lambda done, total: said.append((done, total)))
    found = json.loads(path.read_text())
    assert found["verdict"]["won"] == 4
    assert found["agreement"]["first_wins"]["n"] == preferences
    assert 0.3 < found["agreement"]["first_wins"]["value"] < 0.7  # length alone does not tell the chosen answers
    assert len(handler.asked) == found["asked"] == 2 * (preferences + 4)
    assert said[-1] == (preferences + 4, preferences + 4)
    assert handler.asked[0]["path"] == "/v1/chat/completions"
    assert handler.asked[0]["temperature"] == 0.0
    assert handler.asked[0]["auth"] == f"Bearer {SECRET}"
    judge(results, task, ("lora", "zero_shot"), 0, url, "m", lambda *_: None)
    assert len(handler.asked) == found["asked"]  # all replies were kept
    everything = "".join(file.read_text() for file in results.rglob("*") if file.is_file() and file.suffix in (".json", ".jsonl"))
    assert SECRET not in everything
    text = write_report(results).read_text()
    assert "## Judged by a model" in text
    assert "| 4 / 0 / 0 | 0 | 0 |" in text
    assert "of earlier answers" not in text
    found["cells"] = dict.fromkeys(found["cells"], "0" * 64)
    path.write_text(json.dumps(found))
    (path.parent / "deep.json").write_text("[" * 100_000)
    (path.parent / "folder.json").mkdir()
    text = write_report(results).read_text()
    assert "lora (of earlier answers)" in text
    assert "deep.json cannot be read as a judgement" in text


def test_a_line_cut_short_is_asked_again(tmp_path):
    path = tmp_path / "replies.jsonl"
    asked = []
    ask = Cached(lambda prompt: asked.append(prompt) or "A", path, "m")
    assert [ask("p"), ask("p"), ask("q")] == ["A", "A", "A"]
    path.write_text(path.read_text()[:-10])
    again = Cached(lambda prompt: asked.append(prompt) or "B", path, "m")
    assert [again("p"), again("q")] == ["A", "B"]
    assert asked == ["p", "q", "q"]
    last = Cached(lambda prompt: asked.append(prompt) or "B", path, "m")
    assert [last("p"), last("q")] == ["A", "B"]  # the new line did not join the torn one
    assert asked == ["p", "q", "q"]
    path.write_bytes(b"\xff\xfe" + path.read_bytes())
    assert Cached(lambda prompt: "E", path, "m")("q") == "B"


def test_an_unreadable_reply_is_not_kept(tmp_path):
    replies = iter(["hm", "A"])
    ask = Cached(lambda prompt: next(replies), tmp_path / "replies.jsonl", "m")
    assert [ask("p"), ask("p"), ask("p")] == ["hm", "A", "A"]


def test_other_judges_have_their_own_replies(tmp_path):
    path = tmp_path / "replies.jsonl"
    Cached(lambda prompt: "A", path, "one")("p")
    assert Cached(lambda prompt: "B", path, "other")("p") == "B"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"error": "bad key sk-very-secret-0123456789"}', "does not answer: .*401"),
        (500, b"{}", "does not answer: .*500"),
        (200, b'{"surprise": 1}', "does not speak OpenAI's chat protocol"),
        (200, b"<html>", "does not speak OpenAI's chat protocol"),
        (200, b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": 3}}]}', "a reply is text, not int"),
    ],
)
def test_what_a_service_refuses_is_one_line_without_the_key(endpoint, status, body, said):
    url, handler = endpoint
    handler.status, handler.body = status, body
    with pytest.raises(UserError, match=said) as refusal:
        connect(url, "m")(judging._ASK.format(prompt="p", a="a", b="b"))
    assert SECRET not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_unreachable_endpoint_is_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(UserError, match=r"the judge at http://127\.0\.0\.1:9/v1 does not answer"):
        connect("http://127.0.0.1:9/v1", "m", timeout=2)("p")


def test_requests_that_cannot_be_are_refused(results, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(UserError, match=f"wants a key: set the environment variable {KEY}"):
        connect("openai", "m")
    for endpoint in ("opnai", "http://", "ftp://host"):
        with pytest.raises(UserError, match="neither a URL nor one of: openai, cohere"):
            connect(endpoint, "m")
    for endpoint in ("http://[::1/v1", "http://localhost:abc/v1"):
        with pytest.raises(UserError, match="--endpoint is not a URL"):
            connect(endpoint, "m")
    for endpoint in ("http://bob:hunter2secret@host/v1", "https://host/v1?key=hunter2secret"):
        with pytest.raises(UserError, match="may hold no name, password or query") as refusal:
            connect(endpoint, "m")
        assert "hunter2" not in str(refusal.value)
    task = load_task("instruction_following", [shipped("tasks")])
    with pytest.raises(UserError, match=r"unknown method with answers to instruction_following \(seed 0\) 'sft'"):
        judge(results, task, ("lora", "sft"), 0, "http://127.0.0.1:9", "m", lambda *_: None)
    with pytest.raises(UserError, match="are the same cell"):
        judge(results, task, ("lora", "lora"), 0, "http://127.0.0.1:9", "m", lambda *_: None)
    add(results, "lora", cell={"task": "instruction_following", "budget": "2e12flops"}, lines=answers("x"), confusion={})
    with pytest.raises(UserError, match="several cells are called lora; name one by its id: 01-lora-s0, 02-lora-s0"):
        judging.find_cell(results, "instruction_following", "lora", 0)
    assert judging.find_cell(results, "instruction_following", "02-lora-s0", 0)[0].name == "02-lora-s0"
    other = [line | {"text": "another question"} for line in answers("x")]
    add(results, "sft", cell={"task": "instruction_following"}, lines=other, confusion={})
    with pytest.raises(UserError, match="answered no sample of instruction_following in common"):
        judge(results, task, ("sft", "zero_shot"), 0, "http://127.0.0.1:9", "m", lambda *_: None)
