"""Local models, in this process: loaded once, shared by their adapters, asked in batches."""

from collab_trl.hf.model import HFModel

__all__ = ["HFModel"]
