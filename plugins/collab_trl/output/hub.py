"""`--push-to-hub`: an adapter's folder on the Hugging Face hub, without what else lies there."""

import io
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from collab_sdk.errors import OutputError, UsageError
from collab_sdk.secrets import one_line
from collab_sdk.training import Verdict
from collab_trl.output.serving import TEMPLATE
from collab_trl.pretrained import ADAPTER_CONFIG, ADAPTER_WEIGHTS

CARD = "README.md"
UPLOADED = (
    ADAPTER_WEIGHTS,
    ADAPTER_CONFIG,
    CARD,
    TEMPLATE,
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
"""The adapter, its config, its tokenizer with the template, and the card."""
CURVES = "![curves](curves.png)\n\n"


def check_hub(name: str, base: str, *, merges: bool = False) -> None:
    """Raises UsageError for what could not be uploaded when the training is done: before it begins.

    A repository that is not there yet is created then. `merges` says that the result is no adapter of the base.
    """
    if merges:
        raise UsageError(
            "--push-to-hub uploads an adapter, and --rounds end with a merged model: leave one of them out."
        )
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


def push(folder: Path, name: str, verdict: Verdict) -> str:
    """Upload an adapter that is not known to be of no use, and say where it is, or why it was not.

    Raises OutputError where the hub does not take it.
    """
    if not verdict.is_good:
        return f"Not pushed to {name}, as it is not known to be better than its base."
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    with _asking(f"did not take the adapter, which is in {folder}; the same command tries again", OutputError):
        repo = _with_owner(name, api)
        content = {file: _public(folder, file, repo) for file in UPLOADED if (folder / file).is_file()}
        api.create_repo(repo, private=True, exist_ok=True)
        operations = [CommitOperationAdd(file, io.BytesIO(data)) for file, data in content.items()]
        api.create_commit(repo, operations, commit_message="Upload the adapter")
        info = api.repo_info(repo)
    sight = "private" if info.private else "public, as the repository was before"
    judged = "" if verdict.found == "better" else "; it was not judged"
    return f"Pushed to {api.endpoint}/{repo} ({sight}{judged})."


def _with_owner(name: str, api: Any) -> str:
    return name if "/" in name else f"{api.whoami()['name']}/{name}"


def _public(folder: Path, file: str, repo: str) -> bytes:
    """A file as others may see it: with the commands of the card for a download, and no path of this machine.

    Raises OutputError where there is one all the same.
    """
    content = (folder / file).read_bytes()
    if file == ADAPTER_WEIGHTS:
        return content
    here = str(folder.resolve())
    if file == CARD:
        name = folder.resolve().name
        text = content.decode("utf-8").replace(CURVES, "").replace(here, name)
        download = f"## Serve it\n\n```bash\nhf download {repo} --local-dir {shlex.quote(name)}\n```\n"
        content = text.replace("## Serve it\n", download).encode()
    for path in (here, str(Path.home())):
        if path != "/" and path.encode() in content:
            raise OutputError(f"{folder / file} has a path of this machine ({path}) in it, and is not uploaded.")
    return content


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
