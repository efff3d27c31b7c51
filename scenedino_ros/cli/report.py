"""Put the results of several runs on one page.

Each RUN is the folder of a 'scenedino evaluate'. The page is one HTML file with all tables and
pictures inside, and opens without a network.
"""

import argparse
from pathlib import Path

_EPILOG = """\
examples:
  scenedino report runs/ssc runs/segmentation -o report.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="HTML", help="file to write"
    )
    parser.add_argument("--title", default="Evaluation of scenedino_ros", help="of the page")


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    from scenedino_ros.evaluation.page import page
    from scenedino_ros.evaluation.result import read_result
    from scenedino_ros.export import write_atomically

    runs = [(folder, read_result(folder)) for folder in options.runs]
    content = page(runs, options.title).encode()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.output, content)
    print(f"{options.output}: {len(runs)} runs")
    return 0
