"""The memory of the device: how much of it is free, and whether it was too much that was asked of it."""

import os

import torch


def available_bytes() -> int:
    """Free memory of the device that training would use.

    Of several processes each takes its share of all there is: they must come to the same plan, and free memory changes
    while they start.
    """
    import psutil

    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        alone = processes == 1
        return int(torch.cuda.mem_get_info()[0] if alone else torch.cuda.get_device_properties(0).total_memory)
    memory = psutil.virtual_memory()  # what the kernel caches of files counts as free
    return int(memory.available if processes == 1 else memory.total // processes)


def ran_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()  # the CPU's and Apple's allocators raise RuntimeError
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def free_memory() -> None:
    """Give back what the allocator keeps of a batch that failed."""
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
