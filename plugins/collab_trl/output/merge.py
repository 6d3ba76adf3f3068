"""The base with the adapter merged in, in a precision that keeps what the adapter has learnt."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Self, TypeVar

import torch

from collab_sdk.errors import OutputError, TrainingError
from collab_sdk.files import reason
from collab_sdk.secrets import one_line
from collab_sdk.training import METRICS, TrainingOptions, TrainingReport
from collab_trl.base import Base
from collab_trl.checks import merging_bytes
from collab_trl.device_memory import available_bytes, free_memory, ran_out_of_memory
from collab_trl.hf.generation import BatchRow, generate
from collab_trl.hf.sampling import Truncation
from collab_trl.log_probabilities import log_probabilities
from collab_trl.output.card import write_card
from collab_trl.output.serving import FLOAT32, merged_commands
from collab_trl.output.workplace import read_json, write_json
from collab_trl.plan import HEADROOM, is_main_process
from collab_trl.precision import device_and_dtype
from collab_trl.preference.tokens import NOTHING, Completion, Tokens
from collab_trl.pretrained import ADAPTER_WEIGHTS, check_adapter, read_adapter, read_model

MERGED = "merged"
BOUND = 0.05
"""The most of what the adapter changes that rounding to the base's own precision may change again."""
ROWS = 64
"""Rows that are compared at most: rounding does about the same to all of them."""
REPLY = 48
"""Tokens of a reply that the adapter gives itself where there is none to compare."""
Row = Sequence[tuple[Sequence[int], Completion]]
"""A prompt and the reply to it as tokens, or two: the better one and the worse one."""


Found = TypeVar("Found")


def sample_of(found: Sequence[Found]) -> Sequence[Found]:
    """ROWS of them at most, from everywhere among them."""
    return found[:: -(-len(found) // ROWS)] if found else found


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """By which rows a merged model is compared with the adapter."""

    rows: Sequence[Row]
    """Replies that are empty are those of the adapter itself."""
    what: str
    ends: Set[int] = frozenset()
    """Tokens at which the adapter's own replies end."""

    @classmethod
    def of(cls, held_out: Sequence[Tokens], train: Sequence[Tokens]) -> Self:
        """Rows that were held out, or else some that were trained on."""
        examples = sample_of(held_out or train)
        rows = [[(tokens.prompt, side) for side in (tokens.chosen, tokens.rejected) if side] for tokens in examples]
        what = "pairs" if any(len(row) > 1 for row in rows) else "replies"
        return cls(rows=rows, what=f"held-out {what}" if held_out else f"{what} that were trained on")

    @classmethod
    def own_replies(cls, prompts: Sequence[Sequence[int]], ends: Set[int]) -> Self:
        """What the adapter itself says, greedily, to prompts."""
        return cls(rows=[[(prompt, NOTHING)] for prompt in prompts], what="replies of its own", ends=ends)


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What was written, and what it keeps of the adapter."""

    dtype: str
    base_dtype: str
    size: int
    """Bytes of the weights."""
    rows: int
    what: str
    statistic: str
    """What was compared: the margin of pairs, or the log-probability of replies."""
    learnt: float
    """By how many nats the adapter changes the statistic of a row, on average."""
    kept: Mapping[str, float]
    """The same of the merged model, by its precision."""
    lost: Mapping[str, float]
    """How far the merged model is from the adapter, row by row, as a share of how far the adapter is from the base."""
    adapter: str = ""
    """The hash of the adapter's weights."""

    @classmethod
    def from_dict(cls, row: Mapping[str, Any] | None) -> Self | None:
        """From `merged` in the metrics of a run; None where nothing was merged."""
        return cls(**{field.name: row[field.name] for field in fields(cls)}) if row else None

    @property
    def said(self) -> str:
        """One sentence: in which precision it was written, and what that loses or another would have lost."""
        kept = ", ".join(f"{nats:+.3g} merged in {dtype}" for dtype, nats in self.kept.items())
        measured = f"{self.statistic} of {self.rows} {self.what}: {self.learnt:+.3g} nats by the adapter, {kept}"
        if self.dtype == self.base_dtype:
            lost = f"which changes {self.lost[self.dtype]:.1%} of what was learnt"
            return f"Merged in {self.dtype}, the precision of the base, {lost} ({measured})."
        lost = f"{self.base_dtype}, the precision of the base, would change {self.lost[self.base_dtype]:.0%}"
        return f"Merged in {self.dtype} ({self.size / 1e9:.2g} GB): {lost} of what was learnt ({measured})."


def merged_if_asked(report: TrainingReport, options: TrainingOptions, base: Base, compared: Compared) -> TrainingReport:
    """The report of a finished training, with the adapter merged if that is asked for; one of several processes does.

    Raises OutputError or TrainingError where that fails; the adapter is whole, and the same command tries again. Raises
    UsageError for an adapter that is not loaded.
    """
    if not options.merge or not is_main_process():
        return report
    check_adapter(options.output)  # a training that is done already may have been changed since
    target = options.output / MERGED
    metrics = dict(read_json(options.output / METRICS) or {})
    known = Merged.from_dict(metrics.get("merged"))
    digest = _digest(options.output)
    if target.exists() and known is not None and known.adapter == digest:
        merged = known
    else:
        merged = replace(_merge(base, options.output, target, compared), adapter=digest)
    serve = {**report.serve, **merged_commands(target, dtype=merged.dtype, role=options.role)}
    metrics |= {"merged": {**asdict(merged), "said": merged.said}, "serve": serve}
    write_card(metrics, options.output)
    write_json(options.output / METRICS, metrics)
    return replace(report, serve=serve, notes=(*report.notes, merged.said))


def merged_of(adapter: Path, output: Path) -> dict[str, Any]:
    """What the metrics in `output` say of a merged model, if it is that of the adapter; another one is removed."""
    known = (read_json(output / METRICS) or {}).get("merged")
    if known and known["adapter"] == _digest(adapter):
        return {"merged": known}
    shutil.rmtree(output / MERGED, ignore_errors=True)
    return {}


def _digest(adapter: Path) -> str:
    return hashlib.sha256((adapter / ADAPTER_WEIGHTS).read_bytes()).hexdigest()


def _merge(base: Base, adapter: Path, target: Path, compared: Compared) -> Merged:
    from safetensors import SafetensorError

    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        merged = _merged(base, adapter, partial, compared)
        shutil.rmtree(target, ignore_errors=True)  # that of another adapter
        partial.rename(target)
    except (OSError, SafetensorError) as error:
        why = reason(error) if isinstance(error, OSError) else one_line(str(error), 200)
        raise OutputError(f"Cannot write the merged model to {target}: {why}. The adapter is whole.") from None
    except (RuntimeError, MemoryError) as error:
        if not ran_out_of_memory(error):
            raise
        raise TrainingError(
            f"Out of memory while merging, which takes about {merging_bytes(base) / 1e9:.1f} GB. The adapter is whole: "
            "serve it as it is, or give the same command on a larger machine."
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        free_memory()
    return merged


def _merged(base: Base, adapter: Path, folder: Path, compared: Compared) -> Merged:
    """Write it into `folder`: in the base's own precision if that keeps what the adapter changes, else in float32.

    All is computed in float32, so that what differs is due to the weights' precision alone, with one model in memory.
    """
    model, own = _adapted(base, adapter)
    rows = _answered(model, compared)
    with model.disable_adapter():
        before = _values(model, rows)
    learnt = _changes(_values(model, rows), before)
    kept, lost = {}, {}
    for dtypes in (own, dict.fromkeys(own, torch.float32)):
        model = model.merge_and_unload(safe_merge=True)
        for name, weight in model.named_parameters():
            weight.data.copy_(weight.data.to(dtypes[name]))
        changes = _changes(_values(model, rows), before)
        dtype = _precision(dtypes)
        kept[dtype], lost[dtype] = fmean(changes), _share(changes, learnt)
        if lost[dtype] <= BOUND or dtype == FLOAT32:
            break
        del model
        free_memory()
        model, _ = _adapted(base, adapter)
    for name, weight in model.named_parameters():
        weight.data = weight.data.to(dtypes[name])
    model.save_pretrained(str(folder))
    base.tokenizer.save_pretrained(str(folder))
    return Merged(
        dtype=dtype,
        base_dtype=_precision(own),
        size=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        rows=len(rows),
        what=compared.what,
        statistic="margin" if any(len(row) > 1 for row in rows) else "log-probability",
        learnt=fmean(learnt),
        kept=kept,
        lost=lost,
    )


def _adapted(base: Base, adapter: Path) -> tuple[Any, dict[str, torch.dtype]]:
    """The whole base in float32, even where it was trained in 4 bits, with the adapter; and the base's own precision.

    It is on the training's device if it fits there, else on the CPU.
    """
    fits = merging_bytes(base) <= available_bytes() * HEADROOM
    model = read_model(base.name, dtype="auto", device_map=device_and_dtype()[0] if fits else "cpu")
    own = {name: weight.dtype for name, weight in model.named_parameters()}
    return read_adapter(model.float(), adapter).eval(), own


def _precision(dtypes: Mapping[str, torch.dtype]) -> str:
    """That of the most weights: norms and routers may be kept in another one."""
    names = [str(dtype).removeprefix("torch.") for dtype in dtypes.values()]
    return max(dict.fromkeys(names), key=names.count)


def _answered(model: Any, compared: Compared) -> Sequence[Row]:
    """The rows, with what the model says where a reply is empty."""
    if all(reply for row in compared.rows for _, reply in row):
        return compared.rows
    found: list[Row] = []
    for [(prompt, _)] in compared.rows:
        asked = BatchRow(prompt=tuple(prompt), temperature=0.0, seed=0, limit=REPLY, is_abandoned=lambda: False)
        [said] = generate(model, [asked], ends=compared.ends, truncation=Truncation(), prefixes=None)
        found.append([(prompt, Completion(ids=said.tokens, learnt=[1] * len(said.tokens)))])
    return found


def _values(model: Any, rows: Sequence[Row]) -> list[float]:
    """Of each row: its reply's log-probability, or by how much the better one's is above that of the worse one."""
    found = iter(log_probabilities(model, [each for row in rows for each in row]))
    return [next(found) - (next(found) if len(row) > 1 else 0.0) for row in rows]


def _changes(after: Sequence[float], before: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(after, before, strict=True)]


def _share(changes: Sequence[float], learnt: Sequence[float]) -> float:
    apart = sum(map(abs, _changes(changes, learnt)))
    return apart / sum(map(abs, learnt)) if any(learnt) else 0.0
