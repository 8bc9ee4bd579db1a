"""The command table. Answers ``--version`` and ``--help`` without loading any command."""

import contextlib
import importlib
import os
import sys
from typing import Any

from rrg.errors import FAILED, READER_GONE, USAGE, RecordError, RrgError

COMMANDS = {
    "phantom": "Make CT and MR studies with organs, lesions, reports and exact truth.",
    "extract-slices": "DICOM studies to slice records, pixels to a store.",
    "parse-reports": "German and English reports to facts with spans, linked to slices.",
    "segment": "Structures on each slice: masks and boxes.",
    "synth-vqa": "Questions and answers from reports, masks and headers.",
    "synth-ground": "Grounded reports and phrases: mentioned and present on the slice.",
    "pack": "Samples to a data set folder, split by patient.",
    "train": "Train or fine-tune a grounded model on a data set.",
    "check": "Are boxes where a model is told they are? Draws samples and an anchor.",
    "export": "A run to a merged model or GGUF; a data set to LLaVA, ms-swift, COCO, ...",
    "infer": "Reports, answers and boxes for a study, an image, a data set or a stream.",
    "view": "A page of slices, the boxes of their masks, and sentences; no model needed.",
    "score": "Predictions against references, with intervals.",
    "pipeline": "Run a recipe: all of the above as real processes with real pipes.",
    "status": "How far the work in a folder is: rate, time left, rejects, stale tasks.",
    "verify": "Checksums, references, leaks; repairs; takes a patient out.",
    "doctor": "What works on this machine, and what to do where it does not.",
    "where": "What stands behind an id: UIDs and file names.",
    "sort": "Bring the records of each study together.",
    "schema": "Print the JSON Schema of a record kind.",
}
"""Command -> help line. A static table: no command module is imported to list them."""


def _version() -> str:
    from rrg.provenance import rrg_version

    lines = [f"rrg {rrg_version()}", f"python {sys.version.split()[0]}"]
    from importlib.metadata import PackageNotFoundError, version

    for name in (
        "torch",
        "transformers",
        "peft",
        "totalsegmentator",
        "llama-cpp-python",
        "gguf",
        "pydicom",
        "SimpleITK",
        "zarr",
    ):
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} not installed")
    return "\n".join(lines)


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "Usage: rrg COMMAND [OPTIONS] ...\n\n"
        "Spatially grounded radiology vision-language models: small commands that read and write JSON lines.\n\n"
        f"Commands:\n{rows}\n\n"
        "Options:\n  --version  Version of rrg, then of what can change results.\n  --help     This text.\n\n"
        "Example:  rrg phantom --out demo --studies 4 && rrg extract-slices demo/dicom --store store | head -3\n"
        "rrg COMMAND --help tells the options of one command."
    )


def main() -> None:
    """Entry point of the ``rrg`` program."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices are small here: more threads wait, and are busy at it
    if sys.stdout is None:  # closed by the caller (>&-)
        os.open(os.devnull, os.O_WRONLY)
        sys.stdout = open(1, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    arguments = sys.argv[1:]
    name = arguments[0] if arguments else "--help"
    if name in ("--help", "-h", "--version"):
        _print(_version() if name == "--version" else _help())
        return
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; rrg --help lists them"
        print(f"rrg: no command {name!r}{hint}", file=sys.stderr)
        raise SystemExit(USAGE)
    run(name, arguments[1:])


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _leave("", READER_GONE)
    except OSError as error:
        _leave(f"rrg: stdout: {error.strerror} [E_IO]", FAILED)


def load(name: str) -> Any:
    """The command object of one command, with its parameters."""
    import typer

    module: Any = importlib.import_module(f"rrg.commands.{name.replace('-', '_')}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name=name)(module.command)
    return typer.main.get_command(app)


def run(name: str, arguments: list[str]) -> None:
    """Load one command and run it. A user's error is one line and an exit code."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever downloaded
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        load(name)(arguments, prog_name=f"rrg {name}")
        sys.stdout.flush()
    except RrgError as error:
        _leave(f"rrg {name}: {error}", error.exit_code)
    except RecordError as error:
        _leave(f"rrg {name}: {error.message} [{error.code}]", FAILED)
    except SystemExit:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # so the parser of Typer marks a reader that went away
            _leave("", READER_GONE)
        raise
    except BrokenPipeError:
        _leave("", READER_GONE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _leave(f"rrg {name}: {where}{error.strerror or error} [E_IO]", FAILED)


def _leave(message: str, code: int) -> None:
    """Say one line and go, without a second look at streams that may be broken."""
    with contextlib.suppress(OSError):
        if message:
            print(message, file=sys.stderr, flush=True)
    os._exit(code)
