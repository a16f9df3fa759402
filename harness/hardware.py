"""The machine: device, precision, workers and threads, and its fingerprint. Nothing here loads a model."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "bf16", "fp32")
#: threads beyond which one small-model training step gains little; more cores become more workers
THREADS_PER_WORKER = 4
#: cells side by side wherever there are as many cores: on two, that takes four fifths of the time of one after the other
_SIDE_BY_SIDE = 2
#: memory a cell of a 135M-parameter model may need at its peak, with room to spare
BYTES_PER_WORKER = 5 * 2**30
#: instruction sets whose bf16 matrix products are faster than fp32 ones
_NATIVE_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}


def cpu_flags() -> set[str]:
    """The processor's feature flags as the kernel lists them (empty where /proc/cpuinfo does not exist)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 natively (AVX512-BF16, AMX or Armv8.6 BF16)."""
    return bool(cpu_flags() & _NATIVE_BF16)


def cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cores() -> int:
    """Cores this process may use (its affinity mask, where the system has one)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Physical memory, or the container's limit where that is lower."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 8 * 2**30
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        return min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        return total


@dataclass(frozen=True)
class Compute:
    """How a run computes; fixed for all of its cells and recorded with each."""

    device: str = "cpu"
    precision: str = "fp32"
    workers: int = 1
    threads: int = 1

    def as_dict(self) -> dict:
        return asdict(self)


def _visible_gpu() -> bool:
    """Whether an NVIDIA driver is there, without importing torch (which takes a second)."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists()


def choose_compute(device: str = "auto", precision: str = "auto", workers: int | None = None) -> Compute:
    """Resolve ``auto`` and check the rest. Precision follows what the processor is fast at: bf16 autocast over fp32
    weights on GPUs and on CPUs with native bf16, fp32 elsewhere. One worker a GPU; on CPU, workers of up to
    `THREADS_PER_WORKER` threads each and at least two of them, as far as cores and memory allow."""
    if device not in DEVICES:
        raise UserError(f"device '{device}' is none of {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise UserError(f"precision '{precision}' is none of {', '.join(PRECISIONS)}")
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers} must be at least 1")
    if device == "cuda" or device == "mps" or (device == "auto" and (_visible_gpu() or platform.system() == "Darwin")):
        device = _resolve_accelerator(device)
    device = "cpu" if device == "auto" else device
    if precision == "auto":
        precision = "bf16" if device == "cuda" or (device == "cpu" and cpu_has_bf16()) else "fp32"
    if workers is None:
        fitting = max(1, int(memory_bytes() // BYTES_PER_WORKER))
        wanted = max(min(_SIDE_BY_SIDE, cores()), cores() // THREADS_PER_WORKER)
        workers = 1 if device != "cpu" else min(wanted, fitting)
    return Compute(device=device, precision=precision, workers=workers, threads=max(1, cores() // workers))


def _resolve_accelerator(device: str) -> str:
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return "cuda"
    if device in ("auto", "mps") and torch.backends.mps.is_available():
        return "mps"
    if device == "auto":
        return "cpu"
    mend = "install a torch build for this GPU, or use --device cpu"
    raise UserError(f"device '{device}' is not available to torch {torch.__version__}: {mend}")


def fingerprint(compute: Compute) -> dict:
    """What the numbers may depend on beyond versions: stands beside the keys in every record."""
    found = {
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
        "native_bf16": cpu_has_bf16(),
        **compute.as_dict(),
    }
    if compute.device == "cuda":
        import torch

        found["gpu"] = torch.cuda.get_device_name(0)
    return found
