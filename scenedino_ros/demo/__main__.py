# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""``python -m scenedino_ros.demo``: plays a drive through the node and draws the results."""

import sys

from rich.console import Console

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.demo.arguments import make_parser
from scenedino_ros.demo.run import Run
from scenedino_ros.node.interrupt import Interrupt


def main(argv: list[str] | None = None) -> int:
    """Run the demo.

    Args:
        argv: Arguments; default: those of the process.

    Returns:
        Exit code: 0; 1 if a process died or images were left out; 2 if the arguments or data
        cannot be used; 130 after Ctrl-C.
    """
    args = make_parser().parse_args(argv)
    interrupt = Interrupt()
    try:
        return Run(args, Console(), interrupt).execute()
    except SceneDinoError as error:
        sys.stderr.write(f"demo.sh: error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
