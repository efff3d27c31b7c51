# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""All readers of messages and files by name."""

from dataset_readers import DATASETS
from file_readers import FILES
from message_readers import MESSAGES
from promise import Reader

READERS: dict[str, Reader] = {reader.name: reader for reader in (*MESSAGES, *FILES, *DATASETS)}
