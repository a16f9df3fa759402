"""One cell, in its own process: train under a meter, predict, store the predictions, score them, write the record."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.budget import Meter
from harness.errors import CannotSave, UserError, one_line
from harness.hardware import Compute
from harness.keys import SCORING, score_key, versions
from harness.loading import load_task
from harness.matrix import Cell
from harness.method import CannotDo, Fitted, Method, Work, make_method
from harness.model import BaseModel, chat_template
from harness.process import now, peak_memory, redact, stderr_to
from harness.record import (
    CellName,
    DamagedRecord,
    Inference,
    Keys,
    Record,
    Spend,
    atomic_write,
    commit,
    read_record,
    read_samples,
    write_record,
)
from harness.task import Sample, Task, quiet


@dataclass(frozen=True)
class Job:
    """Everything a cell's process needs; plain values only."""

    cell: Cell
    results: str
    folders: tuple[str, ...]
    data_dir: str | None
    compute: Compute
    base: BaseModel
    keys: dict[str, str]
    usd_per_hour: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)
    rescore: bool = False
    """the stored predictions are good; only scores are computed again"""

    @property
    def folder(self) -> Path:
        return Path(self.results) / "cells" / self.cell.id


def run_cell(job: Job, send: Callable[[dict], None] = lambda message: None) -> dict:
    """Run one cell to its record. Returns a summary for the display; a failure is a record, too. `send` hears how it goes
    (``cell``, ``phase``, ``loss``, ``share``, ``done``), where the executor passes such things on."""
    began = time.perf_counter()

    def tell(message: dict) -> None:
        send({"cell": job.cell.id, **message})

    tell({"phase": "starting"})
    method = make_method(job.cell.method, job.cell.settings)
    meter = Meter(job.cell.budget if method.trains else None, usd_per_hour=job.usd_per_hour)
    try:
        with quiet(), contextlib.redirect_stdout(sys.stderr), stderr_to(job.folder / "output.log"):
            record = _run(tell, job, began, method, meter)
    except CannotDo as why:
        record = _unfinished(job, "skipped", str(why))
        write_record(job.folder, record)
    except CannotSave:
        raise
    except UserError as error:
        record = _failed(job, str(error), meter=meter)
    except Exception as error:  # noqa: BLE001 (whatever went wrong, the other cells go on; the traceback is in the log)
        atomic_write(job.folder / "error.log", redact(traceback.format_exc()))
        record = _failed(job, f"{type(error).__name__}: {error}", log="error.log", meter=meter)
    else:
        with contextlib.suppress(OSError):
            (job.folder / "error.log").unlink(missing_ok=True)
    main = record.metrics.get(record.main_metric)
    return {
        "status": record.status,
        "reason": record.reason,
        "metric": record.main_metric,
        "value": main.value if main else None,
        "seconds": time.perf_counter() - began,
        "flops": record.spend.flops,
        "train_seconds": record.spend.seconds,
        "predict_rate": record.inference.flops_per_1000 / max(record.inference.seconds_per_1000, 1e-9),
    }


def _run(send: Callable[[dict], None], job: Job, began: float, method: Method, meter: Meter) -> Record:
    import torch

    cell, compute = job.cell, job.compute
    torch.set_num_threads(compute.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.manual_seed(cell.seed)
    data_dir = Path(job.data_dir) if job.data_dir else None
    task = load_task(cell.task, [Path(f) for f in job.folders], data_dir, cell.data, cell.max_new_tokens)
    template = chat_template(job.base.tokenizer()) if task.meta.chat_template else None
    samples = task.samples(template, cell.split, cell.test_limit)
    if job.rescore:
        return _rescored(job, task, samples)
    fitted = _fit(send, job, method, task, template, meter)
    send({"phase": "predicting", "share": meter.share()})
    fitted.lm.progress = lambda done, total: send({"phase": "predicting", "done": done / total})
    lines = predict(task, samples, fitted.lm)
    record = _unfinished(job, "unscored", "predicted, not scored yet").model_copy(
        update={
            "label": cell.label or method.label,
            "settings": method.settings.model_dump(),
            "spend": _spend(meter).model_copy(update={"examples": fitted.examples, "epochs": fitted.epochs}),
            "inference": _inference(fitted, len(samples)),
            "trainable_parameters": fitted.trainable_parameters,
            "stored_bytes": fitted.stored_bytes,
            "curve": meter.curve,
            "notes": [*task.notes, *fitted.notes],
            "provenance": job.provenance | {"finished": now(), "cell_seconds": round(time.perf_counter() - began, 3)},
        }
    )
    commit(job.folder, record, lines)  # from here on nothing has to be trained or asked again
    send({"phase": "scoring"})
    scored, lines = _scored(job, task, samples, read_samples(job.folder))
    return commit(job.folder, _joined(scored, record), lines)


def _joined(scored: Record, earned: Record) -> Record:
    """A record with new scores and what training and predicting had given."""
    kept = ("label", "settings", "spend", "inference", "trainable_parameters", "stored_bytes", "curve", "notes", "provenance")
    return scored.model_copy(update={name: getattr(earned, name) for name in kept})


def _fit(
    send: Callable[[dict], None], job: Job, method: Method, task: Task, template: Callable[..., str] | None, meter: Meter
) -> Fitted:
    last = [0.0]

    def report(**message: Any) -> None:
        if "loss" not in message or time.perf_counter() - last[0] > 0.2:
            last[0] = time.perf_counter()
            send(message)

    work = Work(
        task=task,
        examples=task.examples(template) if method.trains else [],
        budget_meter=meter,
        seed=job.cell.seed,
        compute=job.compute,
        base=job.base,
        chat_template=template,
        report=report,
    )
    return method.fit(work)


def predict(task: Task, samples: list[Sample], lm: Any) -> list[dict]:
    """Ask a predictor everything at once, through lm-eval's requests and filters; returns the lines to store."""
    from harness.score import stored_sample, withhold

    requests = [request for sample in samples for request in sample.requests]
    asked: dict[str, list] = {}
    for request in requests:
        asked.setdefault(request.request_type, []).append(request)
    costs: dict[str, float] = {}
    for kind, some in asked.items():  # a sample's first request is what it asks; others serve its scoring
        try:
            answers = getattr(lm, kind)(some, disable_tqdm=True)
        except CannotDo:
            if not costs:
                raise
            requests = [request for request in requests if request.request_type != kind]
            continue
        for request, answer in zip(some, answers, strict=True):
            request.resps = [answer]
        costs = costs or {name: getattr(lm, name) for name in ("flops", "seconds", "generated_tokens") if hasattr(lm, name)}
    for name, value in costs.items():  # what serves scoring is no cost of answering
        setattr(lm, name, value)
    task.lm_eval._instances = requests
    task.lm_eval.apply_filters()
    found = []
    for sample in samples:
        filtered = next(iter(sample.requests[0].filtered_resps.values()))
        found.append(stored_sample(sample, [request.resps[0] for request in sample.requests if request.resps], filtered))
        if "reference_loglikelihood" in found[-1] and hasattr(lm, "continuation_tokens"):
            found[-1]["reference_tokens"] = lm.continuation_tokens(*sample.requests[1].args)
    return withhold(task, found)


def _scored(job: Job, task: Task, samples: list[Sample], lines: list[dict]) -> tuple[Record, list[dict]]:
    """A record with metrics, from the stored predictions, and the lines with their scores."""
    from harness.score import score, withhold

    metrics, confusion = score(task, samples, lines)
    withhold(task, lines)
    hidden = all(sample.reference is None for sample in samples)
    said = job.provenance["task"]
    record = Record(
        cell=CellName.model_validate(job.cell.spec),
        status="unscored" if hidden else "ok",
        reason="no test sample has a reference: predictions are stored, nothing is scored" if hidden else "",
        main_metric=task.meta.main_metric,
        metrics=metrics,
        confusion=confusion,
        task={
            **task.meta.model_dump(),
            "choices": list(task.choices),
            "test_samples": len(samples),
            "train_examples": len(task.docs("train")) if task.config.training_split else 0,
        },
        keys=Keys(**job.keys, score=score_key(job.keys["predict"], said["references"], said["metric_code"])),
        provenance=job.provenance | {"finished": now()},
    )
    return record, lines


def _rescored(job: Job, task: Task, samples: list[Sample]) -> Record:
    """The old record with new scores, from its stored predictions."""
    old = read_record(job.folder)
    assert old is not None
    scored, lines = _scored(job, task, samples, read_samples(job.folder))
    again = {"rescored": now(), "task": job.provenance["task"], "scored_with": versions(SCORING)}
    return commit(job.folder, _joined(scored, old).model_copy(update={"provenance": old.provenance | again}), lines)


def _spend(meter: Meter) -> Spend:
    import torch

    budget = meter.budget
    return Spend(
        flops=meter.flops,
        train_tokens=meter.train_tokens,
        supervised_tokens=meter.supervised_tokens,
        generated_tokens=meter.generated_tokens,
        seconds=meter.seconds,
        peak_memory_bytes=peak_memory(torch),
        usd=meter.usd,
        unspent=max(0.0, budget.amount - meter.spent()) if budget else 0.0,
        examples=meter.examples,
    )


def _inference(fitted: Fitted, samples: int) -> Inference:
    scale = 1000 / max(1, samples)
    return Inference(
        flops_per_1000=getattr(fitted.lm, "flops", 0.0) * scale,
        seconds_per_1000=getattr(fitted.lm, "seconds", 0.0) * scale,
        generated_tokens_per_1000=getattr(fitted.lm, "generated_tokens", 0) * scale,
        batches=fitted.lm.batch_plan() if hasattr(fitted.lm, "batch_plan") else "",
    )


def _unfinished(job: Job, status: Any, reason: str, log: str = "") -> Record:
    return Record(
        cell=CellName.model_validate(job.cell.spec),
        status=status,
        reason=redact(one_line(reason)),
        log=log,
        label=job.cell.label,
        keys=Keys(**job.keys),
        provenance=job.provenance | {"finished": now()},
    )


def _failed(job: Job, reason: str, log: str = "", meter: Meter | None = None) -> Record:
    """Write the record of a failure, with what it had spent by then. Where predictions of this very cell are stored they are
    kept, so that after the mend only scoring is repeated."""
    record = _unfinished(job, "failed", reason, log)
    if meter is not None:
        record = record.model_copy(update={"spend": _spend(meter), "curve": meter.curve})
    try:
        stored = read_record(job.folder)
    except DamagedRecord:
        stored = None
    if stored is not None and stored.samples_sha256 and stored.keys.predict == job.keys["predict"]:
        lost = {"metrics": {}, "confusion": {}, "status": "failed", "reason": record.reason, "log": log}
        record = stored.model_copy(update={**lost, "keys": record.keys})
    write_record(job.folder, record)
    return record


def record_crash(job: Job, reason: str) -> str:
    """Record a cell whose process died before it could say why; returns the reason that was recorded."""
    output = job.folder / "output.log"
    with contextlib.suppress(OSError):
        output.write_text(redact(output.read_text(encoding="utf-8", errors="replace")), encoding="utf-8")
    return _failed(job, reason).reason
