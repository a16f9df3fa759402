"""A record is written whole or not at all, and one that cannot be trusted is never read as if it could."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.errors import UserError
from harness.record import (
    CellName,
    DamagedRecord,
    Inference,
    Keys,
    Metric,
    Record,
    Spend,
    atomic_write,
    finite,
    read_record,
    read_results,
    read_samples,
    set_aside,
    write_record,
    write_samples,
)

SAMPLES = [
    {"doc_id": 0, "prompt": "où?\n", "prediction": "good", "reference": "bad", "scores": {"acc": 0.0}},
    {"doc_id": 1, "prompt": "x", "prediction": "bad", "reference": None, "scores": {}},
]


def make_record(**extra) -> Record:
    return Record(
        cell=CellName(task="toy", method="lora", model="m", budget="5e12flops", seed=3, settings={"rank": 4}, test_limit=2),
        status="ok",
        main_metric="acc",
        metrics={"acc": Metric(value=0.5, low=0.25, high=0.75, n=2, interval="wilson"), "odd": Metric(value=None, n=2)},
        confusion={"bad": {"bad": 0, "good": 1}},
        spend=Spend(flops=4.9e12, train_tokens=5, seconds=1.25, usd=0.1, unspent=1e11),
        inference=Inference(flops_per_1000=1e9),
        curve=[{"step": 1.0, "loss": 0.693, "share": 0.5}],
        notes=["naïve · note"],
        task={"kind": "classification", "choices": ["bad", "good"]},
        settings={"rank": 4, "modules": ["q", "v"], "dropout": None},
        keys=Keys(spec="s", train="t", predict="p", score="c"),
        provenance={"versions": {"torch": "2.6"}},
        **extra,
    )


def stored(folder: Path, **extra) -> Record:
    """A finished cell's two files, and the record."""
    record = make_record(samples_sha256=write_samples(folder, SAMPLES), **extra)
    write_record(folder, record)
    return record


def damage_of(folder: Path) -> str:
    with pytest.raises(DamagedRecord) as damage:
        read_record(folder)
    message = str(damage.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_record_and_its_samples_come_back_as_they_were(tmp_path):
    record = stored(tmp_path)
    assert read_record(tmp_path) == record
    assert read_samples(tmp_path) == SAMPLES
    assert names(tmp_path) == ["record.json", "samples.jsonl"]


def test_the_names_that_stay_stable_are_in_the_file(tmp_path):
    stored(tmp_path)
    raw = json.loads((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert raw["schema_version"] == 1
    assert {"task", "method", "model", "budget", "seed"} <= raw["cell"].keys()
    assert {"status", "reason", "main_metric", "trainable_parameters", "provenance"} <= raw.keys()
    assert {"value", "low", "high", "n"} <= raw["metrics"]["acc"].keys()
    spend = {"flops", "train_tokens", "generated_tokens", "seconds", "peak_memory_bytes", "usd"}
    assert spend <= raw["spend"].keys()


def test_where_no_record_is_there_is_none(tmp_path):
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "nowhere") is None


def test_writing_makes_the_folders_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    atomic_write(path, "one")
    atomic_write(path, "zwölf")
    assert path.read_text(encoding="utf-8") == "zwölf"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("step", ["replace", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failed_write_is_said_and_leaves_the_old_file_alone(tmp_path, monkeypatch, step, code):
    path = tmp_path / "record.json"
    atomic_write(path, "old")

    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(UserError) as refusal:
        atomic_write(path, "new")
    assert str(refusal.value) == (
        f"cannot save {path}: {os.strerror(code)}; free some space or choose another folder with --results"
    )
    assert names(tmp_path) == ["record.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch, interruption):
    def interrupt(*_):
        raise interruption

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(interruption):
        atomic_write(tmp_path / "record.json", "text")
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot save .*record\.json: .*; .*--results"):
        write_record(tmp_path / "file" / "cell", make_record())


def test_a_read_only_folder_is_said(tmp_path):
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(UserError, match=r"cannot save .*Permission denied"):
            write_record(tmp_path, make_record())
    finally:
        tmp_path.chmod(0o700)


def test_a_read_only_file_system_is_said(tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("harness.record.tempfile.mkstemp", refuse)
    with pytest.raises(UserError, match=r"cannot save .*Read-only file system"):
        write_samples(tmp_path, SAMPLES)
    assert names(tmp_path) == []


def test_a_record_cut_anywhere_is_damaged(tmp_path):
    stored(tmp_path)
    path = tmp_path / "record.json"
    whole = path.read_bytes()
    for length in [*range(0, len(whole) - 2, 37), len(whole) // 2, len(whole) - 2]:
        path.write_bytes(whole[:length])
        assert "record.json is cut short or unreadable" in damage_of(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 500, b"\xff\xfe{}", b"{'a': 1}"])
def test_a_record_that_is_no_json_is_damaged(tmp_path, content):
    (tmp_path / "record.json").write_bytes(content)
    assert "cut short or unreadable" in damage_of(tmp_path)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_another_schema_version_is_damaged(tmp_path, version):
    stored(tmp_path)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": version}))
    assert f"has schema version {version!r}, this program reads 1" in damage_of(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}"])
def test_json_that_is_no_record_is_damaged(tmp_path, content):
    (tmp_path / "record.json").write_text(content)
    assert "schema version None" in damage_of(tmp_path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "great"}, "status"),
        ({"extra": 1}, "extra"),
        ({"cell": {"task": "toy"}}, "cell.method"),
        ({"metrics": {"acc": {"value": math.nan, "n": 2}}}, "metrics.acc.value"),
        ({"spend": {"flops": math.inf}}, "spend.flops"),
    ],
)
def test_a_record_with_a_wrong_field_is_damaged_and_the_field_named(tmp_path, change, field):
    stored(tmp_path)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert f"record.json: field {field}: " in damage_of(tmp_path)


def test_missing_samples_are_damage(tmp_path):
    stored(tmp_path)
    (tmp_path / "samples.jsonl").unlink()
    assert "samples.jsonl is missing or is not the file that its record describes" in damage_of(tmp_path)


def test_altered_samples_are_damage(tmp_path):
    stored(tmp_path)
    path = tmp_path / "samples.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"good"', '"bad"'), encoding="utf-8")
    assert "is not the file that its record describes" in damage_of(tmp_path)


@pytest.mark.parametrize("line", ['{"doc_id": 1', "", "\udcff"])
def test_a_broken_line_of_samples_is_damage_with_file_and_line(tmp_path, line):
    path = tmp_path / "samples.jsonl"
    path.write_text(f'{{"doc_id": 0}}\n{line}\n', encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DamagedRecord) as damage:
        read_samples(tmp_path)
    assert str(damage.value).startswith(f"{path}:2: ")
    assert "\n" not in str(damage.value)


def test_what_is_set_aside_is_kept(tmp_path):
    stored(tmp_path)
    whole = (tmp_path / "record.json").read_bytes()
    first = set_aside(tmp_path)
    assert read_record(tmp_path) is None
    assert first.read_bytes() == whole
    (tmp_path / "record.json").write_text("half")
    second = set_aside(tmp_path)
    assert (first.read_bytes(), second.read_text()) == (whole, "half")
    assert first != second


def test_results_come_in_name_order_and_damage_with_its_reason(tmp_path):
    record = stored(tmp_path / "cells" / "b")
    (tmp_path / "cells" / "a").mkdir()
    (tmp_path / "cells" / "a" / "record.json").write_text("{")
    (tmp_path / "cells" / "unfinished").mkdir()
    (first, damage), (second, found) = read_results(tmp_path)
    assert (first.name, second.name, found) == ("a", "b", record)
    assert isinstance(damage, DamagedRecord)
    assert list(read_results(tmp_path / "nowhere")) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_and_costs_that_are_no_numbers_are_refused(bad):
    for make in (
        lambda: Metric(value=bad, n=1),
        lambda: Metric(value=0.5, low=bad, n=1),
        lambda: Spend(flops=bad),
        lambda: Inference(seconds_per_1000=bad),
        lambda: Record(**make_record().model_dump() | {"curve": [{"loss": bad}]}),
    ):
        with pytest.raises(ValidationError):
            make()
    assert finite(bad) is None


def test_samples_with_nan_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_samples(tmp_path, [{"doc_id": 0, "scores": {"acc": math.nan}}])
    assert names(tmp_path) == []


def test_a_loss_that_diverged_never_makes_a_record_that_cannot_be_read(tmp_path):
    record = make_record().model_copy(update={"curve": [{"step": 1.0, "loss": math.nan}]})  # as a cell adds its curve
    with contextlib.suppress(ValueError):
        write_record(tmp_path, record)
        assert read_record(tmp_path) is not None


def test_finite_keeps_numbers():
    assert [finite(x) for x in (0.5, 3, None)] == [0.5, 3.0, None]
