"""Supervised training under a meter: TRL's SFTTrainer over a planned list of examples that ends exactly where the budget does."""

from __future__ import annotations

import math
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from datasets import Dataset
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from harness.budget import Meter
from harness.errors import UserError
from harness.flops import cost_model
from harness.forward import autocast, head_at, ready_to_answer
from harness.hardware import Compute
from harness.lm import CausalLM
from harness.method import Fitted, Work
from harness.model import context_length
from harness.trainplan import Encoded, Plan, SupervisedSettings, encode, make_plan, schedule

#: a budget in seconds or dollars stops before a step that could pass it: the slowest of the last steps, and some
_STEP_MARGIN = 1.25
_RECENT = 5


class _MeteredTrainer(SFTTrainer):
    """TRL's trainer with three changes: batches come as planned, every step is charged to the meter (which also drives
    the learning rate), and the output head runs at supervised positions only."""

    def __init__(
        self,
        *args: Any,
        meter: Meter,
        plan: Plan,
        encoded: Sequence[Encoded],
        warmup: float,
        compute: Compute,
        report: Callable,
        **kw: Any,
    ):
        self.meter, self.plan, self.encoded, self.warmup, self.tell = meter, plan, encoded, warmup, report
        self.compute = compute
        self.recent: deque[float] = deque(maxlen=_RECENT)
        self.lr_scheduler: Any = None
        self._step_began = 0.0
        super().__init__(*args, **kw)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    @property
    def slowest(self) -> float:
        """Seconds that the next step may take: the slowest of the last few, and some."""
        return _STEP_MARGIN * max(self.recent, default=0.0)

    def rehearse(self) -> None:
        """Time a step's forward and backward pass before the first, on the clock but without an update: a budget by the
        clock must not be passed by its first step."""
        began = time.perf_counter()
        batch = self.data_collator([self.train_dataset[i] for i in range(len(self.plan.batches[0]))])
        inputs = self._prepare_inputs(batch)
        with self.compute_loss_context_manager(), autocast(self.compute):  # the trainer wraps the model only when it trains
            loss = self.compute_loss(self.model, inputs)
        loss.backward()
        self.model.zero_grad(set_to_none=True)
        self.recent.append(time.perf_counter() - began)
        if not self.meter.affords(seconds=self.slowest):
            raise UserError(f"budget {self.meter.budget} does not pay for one training step (about {self.slowest:.1f} s)")

    def price_of(self, step: int) -> float:
        """Of a planned batch, in the budget's own unit; for a clock, the slowest step so far."""
        batch = self.plan.batches[min(step, len(self.plan.batches) - 1)]
        flops = sum(self.plan.flops[i] for i in batch)
        tokens = sum(len(self.encoded[i].ids) for i in batch)
        return self.meter.price(flops=flops, tokens=tokens, seconds=self.slowest)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """The rate at the middle of the step to come, by share of the budget (of the steps, where passes end before it)."""

        def factor(step: int) -> float:
            assert self.meter.budget is not None
            middle = (self.meter.spent() + self.price_of(step) / 2) / self.meter.budget.amount
            if self.plan.whole:
                middle = max(middle, (step + 0.5) / len(self.plan.batches))
            return schedule(min(1.0, middle), self.warmup)

        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(optimizer if optimizer is not None else self.optimizer, factor)
        return self.lr_scheduler

    def training_step(self, model: Any, inputs: dict, num_items_in_batch: Any = None) -> torch.Tensor:
        batch = self.plan.batches[self.state.global_step]
        self._step_began = time.perf_counter()
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.meter.charge(
            flops=sum(self.plan.flops[i] for i in batch),
            tokens=sum(len(self.encoded[i].ids) for i in batch),
            supervised=sum(self.encoded[i].supervised for i in batch),
            examples=len(batch),
        )
        return loss

    def compute_loss(self, model: Any, inputs: dict, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Mean negative log-likelihood of the supervised tokens. No mask: padding stands on the right, behind everything."""
        labels = inputs["labels"][:, 1:]
        positions = torch.zeros_like(inputs["labels"], dtype=torch.bool)
        positions[:, :-1] = labels != -100
        with head_at(model, positions):
            logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float(), labels[labels != -100])


class _Progress(TrainerCallback):
    """Stops a clock budget before the step that could pass it; keeps the curve; feeds the display."""

    def __init__(self) -> None:
        self.trainer: _MeteredTrainer | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        trainer = self.trainer
        assert trainer is not None
        assert trainer.meter.budget is not None
        trainer.recent.append(time.perf_counter() - trainer._step_began)
        if trainer.meter.budget.unit in ("s", "usd") and not trainer.meter.affords(seconds=trainer.slowest):
            control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any) -> None:
        if self.trainer is None or not logs or "loss" not in logs:
            return
        if not math.isfinite(float(logs["loss"])):
            mend = "lower the learning rate or choose --precision fp32"
            raise UserError(f"training diverged: the loss of step {state.global_step} is not finite; {mend}")
        meter = self.trainer.meter
        point = {
            "step": float(state.global_step),
            "share": meter.share(),
            "loss": float(logs["loss"]),
            "learning_rate": float(logs.get("learning_rate", 0.0)),
            "flops": meter.flops,
            "tokens": float(meter.train_tokens),
            "seconds": meter.seconds,
        }
        meter.curve.append(point)
        self.trainer.tell(phase="training", loss=point["loss"], share=point["share"])


def train_supervised(
    model: Any,
    encoded: Sequence[Encoded],
    tokenizer: Any,
    settings: SupervisedSettings,
    meter: Meter,
    compute: Compute,
    seed: int,
    report: Callable[..., None] = lambda **_: None,
) -> Plan:
    """Train `model` in place (whatever of it requires gradients) until the meter's budget is spent; the model at the last
    step is the result. Returns the plan that was followed."""
    if meter.budget is None:
        raise UserError("supervised training needs a budget")
    plan = make_plan(encoded, cost_model(model), meter, settings.batch_size, seed, settings.epochs)
    rows = [encoded[index] for batch in plan.batches for index in batch]
    data = Dataset.from_dict(
        {
            "input_ids": [list(row.ids) for row in rows],
            "labels": [[-100] * (len(row.ids) - row.supervised) + list(row.ids[-row.supervised :]) for row in rows],
        }
    )
    progress = _Progress()
    with tempfile.TemporaryDirectory(prefix="tunebench-") as folder:
        config = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=settings.batch_size,
            max_steps=len(plan.batches),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_grad_norm,
            optim="adamw_torch_fused",
            bf16=compute.precision == "bf16",
            fp16=False,
            use_cpu=compute.device == "cpu",
            gradient_checkpointing=False,
            max_length=None,
            seed=seed,
            data_seed=seed,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=compute.device == "cuda",
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
        )
        trainer = _MeteredTrainer(
            model=model,
            args=config,
            train_dataset=data,
            processing_class=tokenizer,
            callbacks=[progress],
            meter=meter,
            plan=plan,
            encoded=encoded,
            warmup=settings.warmup_share,
            compute=compute,
            report=report,
        )
        progress.trainer = trainer
        trainer.pop_callback(_printer())
        config._n_gpu = min(1, config.n_gpu)  # one device a cell: more would split the planned batches
        meter.start()
        try:
            if meter.budget.unit in ("s", "usd"):
                trainer.rehearse()
            trainer.train()
        finally:
            meter.stop()
    return plan


def fit_supervised(work: Work, model: Any, settings: SupervisedSettings) -> Fitted:
    """Train what requires gradients of `model` on the task's examples within the budget; the result answers requests."""
    encoded = encode(work.examples, work.tokenizer, context_length(model.config))
    trainable = [p for p in model.parameters() if p.requires_grad]
    parameters, size = sum(p.numel() for p in trainable), sum(p.numel() * p.element_size() for p in trainable)
    train_supervised(model, encoded, work.tokenizer, settings, work.budget_meter, work.compute, work.seed, work.report)
    return Fitted(
        CausalLM(ready_to_answer(model, work.compute), work.tokenizer, work.compute),
        trainable_parameters=parameters,
        stored_bytes=size,
        epochs=work.budget_meter.train_tokens / sum(len(e.ids) for e in encoded),
        examples=work.budget_meter.examples,
    )


def _printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback
