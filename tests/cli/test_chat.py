"""The chat's prompt: commands, Ctrl-C, and words that are not cut."""

import io
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from hedgespec.cli.chat import chat
from hedgespec.cli.shown import Shown
from hedgespec.errors import HedgespecError

ROOT = Path(__file__).parents[2]
# A chat at a terminal whose answers take until they are stopped; polars as in the command.
SCRIPT = """
import time
import polars
from hedgespec.cli.chat import chat

class Talk:
    def say(self, line):
        print("say", line, flush=True)
    def answer(self, turns, answers, stopped):
        print("answering", turns[-1], flush=True)
        while not stopped():
            time.sleep(0.01)
        print("stopped", flush=True)
        return "so far"
    def select(self, selector):
        print("select", selector, flush=True)

print("ready", flush=True)
chat(Talk())
print("left", flush=True)
"""


class Terminal:
    """A chat in a terminal of its own."""

    def __init__(self):
        self._own, other = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            stdin=other,
            stdout=other,
            stderr=other,
            cwd=ROOT,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb"},
        )
        os.close(other)
        self.seen = ""

    def wait_for(self, text: str) -> None:
        ends = time.monotonic() + 20
        while text not in self.seen:
            assert time.monotonic() < ends, self.seen
            try:
                self.seen += os.read(self._own, 1000).decode()
            except OSError:  # the other side is closed
                assert text in self.seen, self.seen
        self.seen = self.seen.partition(text)[2]

    def type(self, line: str) -> None:
        os.write(self._own, line.encode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)


def test_ctrl_c_at_the_prompt_leaves_and_in_an_answer_stops_the_answer():
    terminal = Terminal()
    terminal.wait_for("> ")
    terminal.type("a question\n")
    terminal.wait_for("answering a question")
    terminal.interrupt()
    terminal.wait_for("stopped")
    terminal.wait_for("> ")
    terminal.type("/selector hedge\n")
    terminal.wait_for("select hedge")
    terminal.wait_for("> ")
    time.sleep(0.2)
    terminal.interrupt()
    terminal.wait_for("left")
    assert terminal.process.wait(10) == 0


class Talk:
    def __init__(self):
        self.said, self.asked, self.selected = [], [], []

    def say(self, line):
        self.said.append(line)

    def answer(self, turns, answers, stopped):
        self.asked.append((turns, answers))
        return f"answer {len(self.asked)}"

    def select(self, selector):
        if selector == "none":
            raise HedgespecError("unknown selector 'none'")
        self.selected.append(selector)


def talked(monkeypatch, *lines: str) -> Talk:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    talk = Talk()
    chat(talk)
    return talk


def test_a_conversation_is_kept_until_reset(monkeypatch):
    talk = talked(monkeypatch, "one", "two", "/reset", "/etc/hosts?")
    assert talk.asked == [(["one"], []), (["one", "two"], ["answer 1"]), (["/etc/hosts?"], [])]


def test_commands(monkeypatch):
    talk = talked(
        monkeypatch,
        "/help",
        "/selector exp3spec",
        "/selector none",
        "/selector",
        "/selektor hedge",
        "/quit",
        "never asked",
    )
    assert talk.selected == ["exp3spec"]
    assert talk.asked == []
    said = "\n".join(talk.said)
    for name in ("/help", "/selector NAME", "/reset", "/quit"):
        assert name in said
    assert "unknown selector 'none'" in said
    assert "it is /selector NAME" in said
    assert "did you mean '/selector'?" in said


class Letters:
    """A tokenizer of one letter a token; the last two make one character."""

    text = "word after word, averyverylongword\nand \u00e9"

    def decode(self, tokens, skip_special_tokens):
        return self.text.encode()[: len(tokens)].decode(errors="replace")


@pytest.mark.parametrize("terminal", [True, False])
def test_words_are_not_cut_at_the_edge(terminal):
    stream = io.StringIO()
    shown = Shown(
        Console(file=stream, width=10, force_terminal=terminal, color_system=None), Letters()
    )
    for token in range(len(Letters.text.encode())):
        shown.add([token], "red")
    shown.end()
    lines = [line.rstrip() for line in stream.getvalue().split("\n")]
    if terminal:
        assert lines[:3] == ["word after", "word,", "averyverylongword"]
    assert " ".join(" ".join(lines).split()) == " ".join(Letters.text.split())
