"""`--push-to-hub`: an adapter's folder on the Hugging Face hub, without what else lies there."""

import io
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from collab_sdk.errors import CollabError, OutputError, UsageError
from collab_sdk.secrets import one_line
from collab_sdk.training import METRICS, TrainingOptions, TrainingReport, Verdict
from collab_trl.chat_template import TEMPLATE_FILE
from collab_trl.output.card import CARD, model_card
from collab_trl.output.serving import SERVERS
from collab_trl.output.workplace import read_json
from collab_trl.plan import is_main_process
from collab_trl.pretrained import ADAPTER_CONFIG, ADAPTER_WEIGHTS

TOKENIZER_CONFIG = "tokenizer_config.json"
UPLOADED = (
    ADAPTER_WEIGHTS,
    ADAPTER_CONFIG,
    CARD,
    TEMPLATE_FILE,
    "tokenizer.json",
    "tokenizer.model",
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
"""The adapter, its config, its tokenizer with the template, and the card."""
WRITTEN_HERE = (CARD, ADAPTER_CONFIG, TOKENIZER_CONFIG)
"""In which a path of this machine may be; the words of a vocabulary are none."""
CURVES = "![curves](curves.png)\n\n"
COMMANDS = re.compile(r"^## (?:Serve it|Use it as a simulated user)\n", re.MULTILINE)
"""The heading of the commands for an assistant or a user."""


def check_hub(name: str, base: str) -> None:
    """Raises UsageError for what could not be uploaded when the training is done: before it begins.

    A repository that is not there yet is created then.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(f"--push-to-hub {name}: {one_line(str(error), 200)}") from None
    if Path(base).is_dir():
        raise UsageError(
            f"--push-to-hub: the base is the folder {base}, which nobody has who downloads the adapter: give the base "
            "by its name on the hub, or leave --push-to-hub out."
        )
    if get_token() is None:
        raise UsageError("--push-to-hub needs a token that may write: set HF_TOKEN, or run hf auth login.")
    api = HfApi()
    with _asking("cannot be asked", UsageError):
        repo = _with_owner(name, api)
        try:
            api.auth_check(repo, write=True)
        except RepositoryNotFoundError:
            return


def check_card(said: Iterable[str], folder: Path) -> None:
    """Raises UsageError for what a card would say that has a path of this machine in it: before the training."""
    for text in said:
        if (path := _path_in(text, folder)) is not None:
            raise UsageError(
                f"--push-to-hub: the card would have a path of this machine ({path}) in it: {one_line(text, 120)}"
            )


def pushed_if_asked(report: TrainingReport, options: TrainingOptions) -> TrainingReport:
    """The report of a finished training, with where its adapter is on the hub, or why the hub did not take it.

    One of several processes uploads. A merged model stays here, and so do the held-out prompts and replies, which are
    somebody's words: the uploaded card has none of these.
    """
    if options.push_to_hub is None or not is_main_process():
        return report
    metrics = dict(read_json(options.output / METRICS) or {})
    serve = {server: metrics["serve"][server] for server in SERVERS if server in metrics["serve"]}
    held_out = metrics["held_out"] and {**metrics["held_out"], "replies": []}
    card = model_card(metrics | {"merged": None, "serve": serve, "held_out": held_out}, options.output)
    try:
        return replace(report, pushed=push(options.output, options.push_to_hub, report.verdict, card))
    except CollabError as error:  # what was trained and found out is reported all the same
        return replace(report, push_failure=str(error))


def push(folder: Path, name: str, verdict: Verdict, card: str) -> str:
    """Upload an adapter that is not known to be of no use, and say where it is, or why it was not.

    Raises OutputError where the hub does not take it.
    """
    if not verdict.is_good:
        return f"Not pushed to {name}, as it is not known to be better than what it began with."
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    with _asking(f"did not take the adapter, which is in {folder}; the same command tries again", OutputError):
        repo = _with_owner(name, api)
        content = {file: (folder / file).read_bytes() for file in UPLOADED if (folder / file).is_file()}
        content[CARD] = _for_download(card, folder, repo).encode()
        for file in WRITTEN_HERE:
            if (path := _path_in(content.get(file, b"").decode("utf-8"), folder)) is not None:
                raise OutputError(f"{folder / file} has a path of this machine ({path}) in it, and is not uploaded.")
        api.create_repo(repo, private=True, exist_ok=True)
        operations = [CommitOperationAdd(file, io.BytesIO(data)) for file, data in content.items()]
        api.create_commit(repo, operations, commit_message="Upload the adapter")
        info = api.repo_info(repo)
    visibility = "private" if info.private else "public, as the repository was before"
    judged = "" if verdict.found == "better" else "; it was not judged"
    return f"Pushed to {api.endpoint}/{repo} ({visibility}{judged})."


def _with_owner(name: str, api: Any) -> str:
    return name if "/" in name else f"{api.whoami()['name']}/{name}"


def _for_download(card: str, folder: Path, repo: str) -> str:
    """The card with the commands for a download."""
    name = folder.resolve().name
    download = f"```bash\nhf download {repo} --local-dir {shlex.quote(name)}\n```\n"
    shown = card.replace(CURVES, "").replace(str(folder.resolve()), name)
    return COMMANDS.sub(lambda heading: f"{heading[0]}\n{download}", shown)


def _path_in(text: str, folder: Path) -> str | None:
    """The path of the folder, or of who is at work here, if it is in the text."""
    paths = (str(folder.resolve()), str(Path.home()))
    return next(
        (path for path in paths if path != "/" and re.search(rf"(?<![\w.~-]){re.escape(path)}(?![\w-])", text)), None
    )


@contextmanager
def _asking(failure: str, error_type: type[UsageError] | type[OutputError]) -> Iterator[None]:
    """Errors of the hub's client and of the network in one line."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise error_type(
                f"The Hugging Face hub refuses the token ({status}): --push-to-hub needs one that may write there. "
                "Set HF_TOKEN, or run hf auth login."
            ) from None
        raise error_type(f"The Hugging Face hub {failure}: {one_line(str(error), 200)}") from None
    except OfflineModeIsEnabled:
        raise error_type("--push-to-hub needs the network, and HF_HUB_OFFLINE is set.") from None
    except Exception as error:  # of the network, of several libraries
        if isinstance(error, UsageError | OutputError):
            raise
        raise error_type(f"The Hugging Face hub {failure}: {one_line(str(error), 200)}") from None
