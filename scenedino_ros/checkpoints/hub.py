# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Checkpoints by name: the published ones are downloaded once, converted, cached and verified.

The package holds no published checksums. A download is verified against what the hub states about
the file (SHA-256 for the weights). The SHA-256 of the converted file is written beside it, and the
converted file is verified against it on every use.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from scenedino_ros.checkpoints.names import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    DEFAULT,
    DEFAULT_FILE,
    LICENSE,
    PUBLISHED,
    REPO_ID,
    UNTRAINED,
    cached_file,
)
from scenedino_ros.core.cache_folder import make_cache_folder
from scenedino_ros.core.errors import CheckpointError, InputError
from scenedino_ros.core.files import file_sha256, write_atomically
from scenedino_ros.core.reading import read_json
from scenedino_ros.core.reporting import Report, silent


def locate(text: str, report: Report = silent, *, fetch: bool = True) -> Path:
    """Return the ``.safetensors`` file that a name or path stands for.

    Args:
        text: Empty or ``default`` for the model of this package, a key of `PUBLISHED`, or a file.
        report: Receives a few words on each long step.
        fetch: Whether a published checkpoint that is not on disk may be downloaded.

    Raises:
        CheckpointError: If there is no such name or file, or it is damaged or cannot be fetched.
    """
    if text in ("", DEFAULT):
        if not DEFAULT_FILE.is_file():
            raise CheckpointError(f"the package's own model is missing: no file {DEFAULT_FILE}")
        return DEFAULT_FILE
    if text in PUBLISHED:
        return fetch_published(text, report) if fetch else _cached(text)
    path = Path(os.path.expanduser(text))  # leaves ~ as it is where the home is unknown
    if path.is_file():
        return path
    what = "is a folder" if path.is_dir() else "is neither a file nor a name"
    hint = "; 'scenedino convert' makes a checkpoint file of it" if path.is_dir() else _last(path)
    raise CheckpointError(
        f"checkpoint '{text}' {what}{hint}; names: {', '.join((DEFAULT, UNTRAINED, *PUBLISHED))}"
    )


def _last(best: Path) -> str:
    """Return a hint at the last checkpoint of a training run without a best one."""
    last = best.with_name(best.name.replace("_best.", "."))
    if last == best or not last.is_file():
        return ""
    return f": the run had no validation, which finds the best; {last} is there"


def locate_backbone(text: str) -> str:
    """Return what `pretrained.load_backbone` takes for the weights a user names.

    Args:
        text: ``default`` or a published name for the encoder of that checkpoint; all else stays.

    Raises:
        CheckpointError: If the named checkpoint cannot be fetched or is damaged.
    """
    return str(locate(text)) if text == DEFAULT or text in PUBLISHED else text


def fetch_published(name: str, report: Report = silent, *, endpoint: str | None = None) -> Path:
    """Return the converted file of a published checkpoint, downloaded on first use.

    Several processes may ask at once: one downloads, the others wait for it.

    Args:
        name: A key of `PUBLISHED`.
        report: Receives a few words on each long step.
        endpoint: Address of the hub; None leaves it to huggingface_hub (``HF_ENDPOINT``).

    Raises:
        CheckpointError: If the cache cannot be written, the checkpoint cannot be fetched, arrived
            damaged or does not fit the network, or the cached file is not what was written.
    """
    try:
        target = cached_file(name)
        if _sidecar(target).is_file() and target.is_file():
            return _cached(name)
        make_cache_folder()
    except InputError as error:
        raise CheckpointError(str(error)) from error
    try:
        with _locked(target.with_suffix(".lock"), name, report):
            if not (_sidecar(target).is_file() and target.is_file()):
                _fetch_and_convert(name, target, report, endpoint)
    except OSError as error:
        raise CheckpointError(
            f"the cache {target.parent} cannot be written: {error}; set SCENEDINO_CACHE to "
            "another folder"
        ) from error
    return _cached(name)


def _fetch_and_convert(name: str, target: Path, report: Report, endpoint: str | None) -> None:
    """Download the official files, convert them, and delete them once that is complete."""
    # Imported here: finding a file or showing its card waits for neither torch nor the hub.
    from scenedino_ros.checkpoints.checkpoint import save_checkpoint
    from scenedino_ros.checkpoints.download import fetch_files
    from scenedino_ros.checkpoints.official.conversion import convert_official

    published = PUBLISHED[name]
    folder = target.parent / "download" / name
    files = [f"{published.folder}/{file}" for file in (CHECKPOINT_FILE, CONFIG_FILE)]
    _sidecar(target).unlink(missing_ok=True)  # of a file that is gone
    try:
        weights, config = fetch_files(REPO_ID, files, folder, report=report, endpoint=endpoint)
    except CheckpointError as error:
        raise CheckpointError(
            f"checkpoint '{name}' is not on this machine and was not downloaded: {error}; to do "
            f"without the network, copy the folder {published.folder} of {REPO_ID} here and run: "
            f"scenedino convert {published.folder} -o {name}.safetensors"
        ) from error
    checkpoint = convert_official(
        weights.path,
        provenance={
            "weights": published.weights,
            "license": LICENSE,
            "source": f"https://huggingface.co/{REPO_ID}, {files[0]}, commit {weights.commit}",
            "source_sha256": weights.checksum,
        },
        report=report,
    )
    report(f"writing {target}")
    save_checkpoint(target, checkpoint)
    record = {
        "sha256": file_sha256(target),
        "size": target.stat().st_size,
        "source": checkpoint.provenance["source"],
        "source_checksums": {files[0]: weights.checksum, files[1]: config.checksum},
    }
    write_atomically(_sidecar(target), (json.dumps(record, indent=2) + "\n").encode())
    shutil.rmtree(folder)


def _cached(name: str) -> Path:
    """Return the cached file of a published checkpoint, verified against its checksum."""
    path = cached_file(name)
    sidecar = _sidecar(path)
    if not (path.is_file() and sidecar.is_file()):
        raise CheckpointError(f"checkpoint '{name}' has not been downloaded to {path.parent} yet")
    try:
        record = read_json(sidecar)
        expected, size = record["sha256"], record["size"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(f"cached record {sidecar} is damaged; delete it") from error
    got_size = path.stat().st_size
    got = file_sha256(path) if got_size == size else "not computed"
    if got != expected:
        raise CheckpointError(
            f"cached checkpoint {path} is damaged: its SHA-256 must be {expected} ({size} bytes), "
            f"got {got} ({got_size} bytes); delete it to fetch it again"
        )
    return path


def _sidecar(target: Path) -> Path:
    return target.with_suffix(".json")


@contextmanager
def _locked(path: Path, name: str, report: Report) -> Iterator[None]:
    """Hold a lock between processes; report when another process holds it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        report(f"waiting for another process that fetches {name}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
