"""How a run computes follows from the machine, and a wish that the machine cannot grant is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import hardware
from harness.errors import UserError
from harness.hardware import Compute, choose_compute

GIB = 2**30


@pytest.fixture
def machine(monkeypatch):
    """A Linux machine without a GPU, of the given size."""

    def make(cores: int = 8, memory: int = 64, flags: str = "avx2", gpu: bool = False, system: str = "Linux") -> None:
        monkeypatch.setattr(hardware, "cores", lambda: cores)
        monkeypatch.setattr(hardware, "memory_bytes", lambda: memory * GIB)
        monkeypatch.setattr(hardware, "cpu_flags", lambda: set(flags.split()))
        monkeypatch.setattr(hardware, "_visible_gpu", lambda: gpu)
        monkeypatch.setattr(hardware.platform, "system", lambda: system)

    make()
    return make


@pytest.fixture
def accelerator(monkeypatch):
    """What torch says of GPUs."""
    import torch

    def make(*, cuda: bool = False, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    make()
    return make


@pytest.mark.parametrize(
    ("cores", "memory", "workers", "threads"),
    [
        (1, 64, 1, 1),
        (2, 16, 2, 1),
        (2, 8, 1, 2),
        (4, 64, 2, 2),
        (7, 64, 2, 3),
        (8, 64, 2, 4),
        (16, 64, 4, 4),
        (64, 12, 2, 32),
        (64, 2, 1, 64),
        (10, 64, 2, 5),
    ],
)
def test_workers_follow_cores_and_memory(machine, cores, memory, workers, threads):
    machine(cores, memory)
    chosen = choose_compute("cpu")
    assert (chosen.workers, chosen.threads) == (workers, threads)


@pytest.mark.parametrize(("cores", "asked", "threads"), [(8, 1, 8), (8, 3, 2), (8, 8, 1), (2, 5, 1)])
def test_asked_workers_share_the_cores(machine, cores, asked, threads):
    machine(cores, memory=1)
    chosen = choose_compute("cpu", workers=asked)
    assert (chosen.workers, chosen.threads) == (asked, threads)


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("sse avx2 avx512f", "fp32"), ("avx512_bf16", "bf16"), ("amx_bf16 x", "bf16"), ("asimd bf16", "bf16"), ("", "fp32")],
)
def test_precision_follows_the_processor(machine, flags, precision):
    machine(flags=flags)
    assert choose_compute("cpu").precision == precision
    assert choose_compute("cpu", "fp32").precision == "fp32"
    assert choose_compute("cpu", "bf16").precision == "bf16"


def test_auto_without_a_gpu_is_the_processor_and_torch_is_not_asked(machine, monkeypatch):
    monkeypatch.setattr(hardware, "_resolve_accelerator", lambda device: pytest.fail("asked"))
    assert choose_compute().device == "cpu"


def test_auto_takes_a_gpu_that_torch_can_use(machine, accelerator):
    machine(cores=16, gpu=True)
    accelerator(cuda=True)
    assert choose_compute() == Compute(device="cuda", precision="bf16", workers=1, threads=16)


def test_auto_with_a_gpu_that_torch_cannot_use_is_the_processor(machine, accelerator):
    machine(cores=8, gpu=True)
    assert choose_compute() == Compute(device="cpu", precision="fp32", workers=2, threads=4)


def test_auto_on_a_mac_takes_its_gpu_in_fp32(machine, accelerator):
    machine(cores=8, system="Darwin")
    accelerator(mps=True)
    assert choose_compute() == Compute(device="mps", precision="fp32", workers=1, threads=8)
    accelerator()
    assert choose_compute().device == "cpu"


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_that_is_not_there_is_refused_with_the_mend(machine, accelerator, device):
    accelerator(cuda=device != "cuda", mps=device != "mps")
    assert "--device cpu" in refusal(device)


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ({"device": "tpu"}, "device 'tpu' is none of auto, cpu, cuda, mps"),
        ({"device": ""}, "device ''"),
        ({"precision": "fp16"}, "precision 'fp16' is none of auto, bf16, fp32"),
        ({"workers": 0}, "--workers 0 must be at least 1"),
        ({"workers": -2}, "--workers -2 must be at least 1"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(machine, wishes, says):
    assert says in refusal(**wishes)


def refusal(*args, **wishes) -> str:
    with pytest.raises(UserError) as refused:
        choose_compute(*args, **wishes)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def reads(monkeypatch, files: dict[str, str]) -> None:
    """Let these files be all there is to read."""

    def read_text(path: Path, **_) -> str:
        if str(path) not in files:
            raise FileNotFoundError(path)
        return files[str(path)]

    monkeypatch.setattr(Path, "read_text", read_text)


def test_flags_and_name_are_read_from_the_kernels_list(monkeypatch):
    text = "processor\t: 0\nmodel name\t: A Chip @ 2\nflags\t\t: sse avx512_bf16\n\nprocessor\t: 1\nmodel name\t: B\nflags\t: x\n"
    reads(monkeypatch, {"/proc/cpuinfo": text})
    assert hardware.cpu_flags() == {"sse", "avx512_bf16"}
    assert hardware.cpu_has_bf16()
    assert hardware.cpu_name() == "A Chip @ 2"


def test_arm_lists_its_features(monkeypatch):
    reads(monkeypatch, {"/proc/cpuinfo": "processor : 0\nFeatures : fp asimd bf16\n"})
    assert hardware.cpu_has_bf16()


def test_a_system_without_the_list_has_no_flags_and_still_a_name(monkeypatch):
    reads(monkeypatch, {})
    assert hardware.cpu_flags() == set()
    assert not hardware.cpu_has_bf16()
    assert isinstance(hardware.cpu_name(), str)


@pytest.mark.parametrize(("limit", "expected"), [("max", 32), (str(4 * GIB), 4), (str(64 * GIB), 32), (None, 32)])
def test_memory_is_the_machines_or_the_containers_limit(monkeypatch, limit, expected):
    monkeypatch.setattr(hardware.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 32 * GIB // 4096}.__getitem__)
    reads(monkeypatch, {} if limit is None else {"/sys/fs/cgroup/memory.max": f"{limit}\n"})
    assert hardware.memory_bytes() == expected * GIB


def test_cores_are_those_this_process_may_use(monkeypatch):
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: {1, 5, 6}, raising=False)
    assert hardware.cores() == 3
    monkeypatch.delattr(hardware.os, "sched_getaffinity")
    monkeypatch.setattr(hardware.os, "cpu_count", lambda: None)
    assert hardware.cores() == 1


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_is_hidden_is_not_seen(monkeypatch, hidden):
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert not hardware._visible_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert hardware._visible_gpu()


def test_the_fingerprint_says_what_numbers_may_depend_on(machine):
    machine(cores=8, memory=64, flags="amx_bf16")
    compute = Compute(device="cpu", precision="bf16", workers=2, threads=4)
    found = hardware.fingerprint(compute)
    assert found["cores"] == 8
    assert found["memory_bytes"] == 64 * GIB
    assert found["native_bf16"] is True
    assert {"system", "machine", "python", "cpu"} <= found.keys()
    assert found | compute.as_dict() == found
