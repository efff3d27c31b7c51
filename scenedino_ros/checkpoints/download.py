# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Downloads files of a Hugging Face repository and verifies them against the hub's checksums."""

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

from scenedino_ros.core.errors import CheckpointError
from scenedino_ros.core.files import file_sha256
from scenedino_ros.core.reporting import Report

# Versions of huggingface_hub use different HTTP libraries; the base of the library's errors is a
# base of HfHubHTTPError. hf_xet, its fast transfer, raises RuntimeError.
_TRANSFER_ERRORS = (OSError, RuntimeError, *HfHubHTTPError.__bases__)
_ATTEMPTS = 3
_REPORT_EVERY = 2.0  # seconds between progress messages
_METADATA_TIMEOUT = 15.0  # seconds


@dataclass(frozen=True)
class RemoteFile:
    """A downloaded and verified file.

    Attributes:
        path: Where it lies now.
        commit: Commit of the repository it belongs to.
        checksum: The hub's checksum: SHA-256 of large files, git blob id of small ones.
    """

    path: Path
    commit: str
    checksum: str


def fetch_files(
    repo_id: str,
    names: list[str],
    folder: Path,
    *,
    report: Report,
    endpoint: str | None = None,
) -> list[RemoteFile]:
    """Download files of one repository, all of the same commit, and verify each of them.

    A transfer that breaks is resumed where it stopped; files that are already in the folder are
    verified again, but not downloaded again.

    Args:
        repo_id: Repository on the hub.
        names: Paths inside the repository.
        folder: Where huggingface_hub keeps its downloads.
        report: Receives a few words on the progress of the transfer.
        endpoint: Address of the hub; None leaves it to huggingface_hub (``HF_ENDPOINT``).

    Raises:
        CheckpointError: If the hub or a file cannot be reached, or a file does not have
            the size or checksum that the hub states; such a file is removed again.
    """
    fetched: list[RemoteFile] = []
    for name in names:
        revision = fetched[0].commit if fetched else None
        fetched.append(_fetch(repo_id, name, revision, folder, report, endpoint))
    return fetched


def content_checksum(path: Path, like: str) -> str:
    """Return the checksum of a file in the form the hub states for it.

    Args:
        path: The file.
        like: The stated checksum: 64 hexadecimal digits are the SHA-256 of the content, 40 are
            git's name of the blob.
    """
    if len(like) == 64:
        return file_sha256(path)
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _fetch(
    repo_id: str,
    name: str,
    revision: str | None,
    folder: Path,
    report: Report,
    endpoint: str | None,
) -> RemoteFile:
    url = hf_hub_url(repo_id, name, revision=revision, endpoint=endpoint)
    try:
        metadata = get_hf_file_metadata(url, timeout=_METADATA_TIMEOUT)
        commit, stated = metadata.commit_hash, metadata.etag or ""
        if commit is None or not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", stated):
            raise CheckpointError(f"{url} states no commit and checksum, so it is not trusted")
        path = _transfer(
            repo_id, name, report, revision=commit, cache_dir=folder, endpoint=endpoint
        )
    except (EntryNotFoundError, RepositoryNotFoundError) as error:
        raise CheckpointError(f"{url} does not exist") from error
    except _TRANSFER_ERRORS as error:
        raise CheckpointError(f"{url} cannot be fetched: {_reason(error)}") from error
    report(f"checksum of {name}")
    _verify(path, name, metadata.size, stated)
    return RemoteFile(path, commit, stated)


def _transfer(repo_id: str, name: str, report: Report, **options: Any) -> Path:
    """Download a file; resume where a transfer broke.

    Newer versions of huggingface_hub resume inside one call, older ones when they are called
    again.
    """
    reporter = _reporter(name, report)
    for _ in range(_ATTEMPTS - 1):
        try:
            return Path(hf_hub_download(repo_id, name, tqdm_class=reporter, **options))
        except (EntryNotFoundError, RepositoryNotFoundError):
            raise
        except _TRANSFER_ERRORS as error:
            report(f"the transfer of {name} broke and is resumed: {_reason(error)}")
    return Path(hf_hub_download(repo_id, name, tqdm_class=reporter, **options))


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _verify(path: Path, name: str, size: int | None, stated: str) -> None:
    """Remove a file that is not what the hub states, and raise an error."""
    got_size, got = path.stat().st_size, content_checksum(path, like=stated)
    if got == stated and size in (None, got_size):
        return
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    raise CheckpointError(
        f"{name} arrived damaged and was removed: its checksum must be {stated} ({size} bytes), "
        f"got {got} ({got_size} bytes)"
    )


def _reporter(name: str, report: Report) -> type:
    """Return a replacement of tqdm that reports in words how far a transfer is."""

    class Reporter:
        def __init__(self, **options: Any) -> None:
            self.total = options.get("total")
            self.n = options.get("initial", 0)
            self.reported = time.monotonic()
            of = f" of {self.total / 1e6:.0f} MB" if self.total else ""
            report(f"downloading {name}{of}")

        def update(self, count: float = 1) -> None:
            self.n += count
            if time.monotonic() - self.reported >= _REPORT_EVERY:
                self.reported = time.monotonic()
                percent = f" ({100 * self.n / self.total:.0f} %)" if self.total else ""
                report(f"downloading {name}: {self.n / 1e6:.0f} MB{percent}")

        def __enter__(self) -> "Reporter":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __getattr__(self, _: str) -> Callable[..., None]:
            return lambda *_args, **_options: None  # descriptions, postfixes, close

    return Reporter
