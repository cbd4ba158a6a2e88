"""What the machine did meanwhile, under the names by which MLflow's pages know system metrics."""

from __future__ import annotations

import sys


def system_metrics() -> dict[str, float]:
    """The share of the processors in use since the last call of this thread, and the memory in use; alike of the GPU
    that this process computes on, where it does."""
    import psutil

    memory = psutil.virtual_memory()
    found = {"cpu_utilization_percentage": psutil.cpu_percent(), **_memory_usage("system", memory.used, memory.total)}
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        found |= _memory_usage(f"gpu_{torch.cuda.current_device()}", total - free, total)
    return {f"system/{name}": value for name, value in found.items()}


def _memory_usage(device: str, used: int, total: int) -> dict[str, float]:
    return {f"{device}_memory_usage_megabytes": used / 1e6, f"{device}_memory_usage_percentage": 100 * used / total}
