"""Files: unique temporary names, hashes before parsing, and errors that name the file."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from hedgespec.command import command_to_pass_on
from hedgespec.errors import HedgespecError
from hedgespec.files import (
    as_unicode,
    check_writable,
    folder_beside,
    holds_nothing,
    make_folder,
    move_up,
    read_json,
    read_parquet,
    remove_leftovers,
    without_folders,
    write_table,
    write_text,
    write_with,
)

TABLE = pl.DataFrame({"a": range(2000), "b": [str(n) for n in range(2000)]})


def test_threads_may_write_one_file_at_once(tmp_path):
    faults, gate = [], threading.Barrier(4)

    def write() -> None:
        gate.wait()
        try:
            for _ in range(50):
                write_text(tmp_path / "file", "text")
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    def full(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    (tmp_path / "file").write_text("before")
    with pytest.raises(HedgespecError, match=r"file: cannot be written \(No space left"):
        write_with(tmp_path / "file", full)
    assert (tmp_path / "file").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(HedgespecError, match="cannot be written"):
        write_table(tmp_path / "nowhere" / "table", TABLE)
    with pytest.raises(HedgespecError, match="is a folder; name a file"):
        write_text(Path(), "text")


@pytest.mark.parametrize("work", [check_writable, make_folder, lambda path: write_text(path, "")])
def test_a_nul_is_in_no_path(tmp_path, work):
    with pytest.raises(HedgespecError, match="is no path: it holds a NUL"):
        work(tmp_path / "a\0b")


def test_a_table_that_is_not_the_hashed_one_is_not_parsed(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    digest = write_table(path, TABLE)
    assert read_parquet(path, sha256=digest, where="the list").equals(TABLE)
    data = bytearray(path.read_bytes())
    monkeypatch.setattr(pl, "read_parquet", lambda *_, **__: pytest.fail("parsed"))
    data[100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(HedgespecError, match=r"t.parquet: sha256 is .*, the list says"):
        read_parquet(path, sha256=digest, where="the list")


def test_a_table_without_a_hash_cannot_end_the_process(tmp_path):
    """One changed byte in the data makes the parser abort: another process tries first."""
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1" + b"\xff" * 300 + b"PAR1")
    with pytest.raises(HedgespecError, match=r"t.parquet: not readable as Parquet"):
        read_parquet(path)
    write_table(path, TABLE)
    assert read_parquet(path).equals(TABLE)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice"),
        ('{"a": "\\ud800"}', "half a surrogate pair"),
        ("[" * 100_000, "not readable as JSON"),
        ("9" * 5000, "not readable as JSON"),
        ("", "not readable as JSON"),
    ],
)
def test_json_that_could_be_understood_in_two_ways_is_refused(tmp_path, text, told):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(HedgespecError, match=told) as caught:
        read_json(tmp_path / "x.json")
    assert str(tmp_path / "x.json") in str(caught.value)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "x.json").write_text('{"a": "é"}', encoding="utf-8-sig")
    assert read_json(tmp_path / "x.json") == {"a": "é"}


def test_files_go_up_together_and_the_last_one_counts(tmp_path):
    for name in ("a", "run"):
        (tmp_path / name).write_text("before")
    with folder_beside(tmp_path) as beside:
        (beside / "run").write_text("now")
        with pytest.raises(HedgespecError, match="cannot be written"):
            move_up(beside, ["a", "run"])  # a lacks
    assert [path.name for path in tmp_path.iterdir()] == ["a"]  # not taken for a whole
    with folder_beside(tmp_path) as beside:
        for name in ("a", "run"):
            (beside / name).write_text("now")
        move_up(beside, ["a", "run"])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a": "now",
        "run": "now",
    }


def test_leftovers_of_killed_processes_go_and_those_of_others_stay(tmp_path):
    old, mine = tmp_path / f".{'0' * 16}.tmp", tmp_path / f".{'1' * 16}.tmp"
    for path in (old, mine):
        path.mkdir()
    os.utime(old, (0, 0))
    (tmp_path / ".run.json.123.tmp").write_text("of an early version")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]


def test_names_without_the_folders_they_were_typed_with(tmp_path):
    (tmp_path / "expert").mkdir()
    assert without_folders(f"x=eagle:{tmp_path}/expert") == "x=eagle:expert"
    assert without_folders(f"{tmp_path}/expert/") == "expert"
    assert without_folders("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    assert without_folders("early-exit:2") == "early-exit:2"
    assert as_unicode("a\udcff") == "a\\xff"


def test_an_error_is_one_line_whatever_names_stand_in_it():
    told = str(HedgespecError("a\nb \x00 \ud800 " + "x" * 10**5))
    assert len(told.splitlines()) == 1
    assert len(told) < 1000
    told.encode("utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_streams_without_a_sign_show_another(encoding):
    done = subprocess.run(
        [sys.executable, "-m", "hedgespec", "selectors"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    assert b"normalhedge" in done.stdout


def test_a_command_that_is_passed_on_names_no_folder_of_this_machine(tmp_path, monkeypatch):
    (tmp_path / "zoo").mkdir()
    monkeypatch.setattr(
        "sys.argv",
        [
            "/usr/bin/hedgespec",
            "live",
            "--target",
            "org/model",
            "--drafter",
            f"a=eagle:{tmp_path}/zoo",
            "--out",
            str(tmp_path),
        ],
    )
    assert command_to_pass_on() == [
        "hedgespec",
        "live",
        "--target",
        "org/model",
        "--drafter",
        "a=eagle:zoo",
        "--out",
        tmp_path.name,
    ]


def test_a_folder_of_temporary_files_alone_holds_nothing(tmp_path):
    """A process may be killed while it writes its first file."""
    assert holds_nothing(tmp_path / "missing")
    assert holds_nothing(tmp_path)
    (tmp_path / f".{'0' * 16}.tmp").write_text("{")
    assert holds_nothing(tmp_path)
    write_text(tmp_path / "settings.json", "{}")
    assert not holds_nothing(tmp_path)
