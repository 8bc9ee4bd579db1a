"""What of rrg was run for real, what only in a simulation, and what never: the table of the README and all cards."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

State = Literal["ran", "simulated", "never run"]
BEGIN, END = "<!-- states: begin (make states) -->", "<!-- states: end -->"


class Row(NamedTuple):
    """One part and how far it was tried."""

    part: str
    state: State
    how: str
    test: str | None
    """Test file that does it; None for what was never run."""


ROWS = (
    Row("real CT and MR series", "ran", "19 openly licensed series beside SimpleITK and dcm2niix", "test_oracles.py"),
    Row("data side on phantoms", "ran", "DICOM to data set, killed and resumed", "test_chaos.py"),
    Row("training on a CPU", "ran", "the tiny family, on phantoms", "test_train.py"),
    Row("GGUF and llama.cpp", "ran", "self-test against torch on every export", "test_export.py"),
    Row("network disk", "never run", "one machine with local disks only", None),
    Row("GPU", "never run", "no card was there: no CUDA, no bf16 on a card, no out-of-memory", None),
    Row("TotalSegmentator's code", "ran", "tiny random networks, masks equal to the byte", "test_totalsegmentator.py"),
    Row("TotalSegmentator's weights", "never run", "no licence to ship them, no network to fetch them", None),
    Row("published model weights", "simulated", "families with random weights of a small size", "test_families.py"),
    Row("language model for curation", "simulated", "recorded replies, a tiny model", "test_llm_server.py"),
    Row("vLLM", "simulated", "its protocol, by a server of the tests; never vLLM itself", "test_llm_server.py"),
    Row("Slurm", "ran", "one machine: array, merge, training by two processes, scores; requeued", "test_slurm.py"),
    Row("several nodes", "never run", "one machine only", None),
    Row("OHIF, 3D Slicer, a PACS", "never run", "no viewer was there", None),
    Row("radiologists", "never run", "nobody read the answers", None),
)


def table() -> Iterator[str]:
    """The rows as Markdown."""
    yield "| part | state | how |"
    yield "|---|---|---|"
    for row in sorted(ROWS, key=lambda row: ("ran", "simulated", "never run").index(row.state)):
        test = f" (`tests/{row.test}`)" if row.test else ""
        yield f"| {row.part} | **{row.state}** | {row.how}{test} |"


def section() -> str:
    """The table for a card, with its heading."""
    return "\n".join(["## What of rrg was run, simulated, or never run", "", *table()])


def put_into(text: str) -> str:
    """A page with the table between its two marks. ValueError when the marks are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no lines {BEGIN} and {END}")
    return f"{before}{begin}\n{chr(10).join(table())}\n{end}{after}"
