"""LiteLLM keeps callbacks and connections for the life of a process; tests live shorter."""

import asyncio
import gc
import sys
import warnings


def forget_litellm() -> None:
    """Undo what a test, or a page of the docs, has left in LiteLLM, if it was loaded."""
    litellm = sys.modules.get("litellm")
    if litellm is None:
        return
    litellm.logging_callback_manager._reset_all_callbacks()
    for client in list(litellm.in_memory_llm_clients_cache.cache_dict.values()):
        close = getattr(client, "close", None)
        if close is not None and not asyncio.iscoroutinefunction(close):
            close()
    litellm.in_memory_llm_clients_cache.flush_cache()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # loops and sockets that it does not close
        gc.collect()
    gc.freeze()  # what is left, above all the libraries, is not looked through again behind each file of tests
