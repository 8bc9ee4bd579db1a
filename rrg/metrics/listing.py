"""What ``rrg score --protocols`` prints."""

from rrg.errors import UsageError
from rrg.metrics import compare
from rrg.metrics.protocols import PROTOCOLS


def listing(task: str | None) -> str:
    """Every protocol with its metrics, units and source; of one task, or of all."""
    tables = {name: {key: (it.source, it.metrics) for key, it in table.items()} for name, table in PROTOCOLS.items()}
    tables["compare"] = dict(compare.PROTOCOLS)
    if task is not None and task not in tables:
        raise UsageError(f"no task {task!r}; one of {', '.join(tables)}")
    lines = []
    for name, table in tables.items():
        if task not in (None, name):
            continue
        for number, (protocol, (source, metrics)) in enumerate(table.items()):
            lines.append(f"{name} {protocol}{' (default)' if not number else ''}: {source}")
            width = max(len(metric.name) for metric in metrics)
            for metric in metrics:
                lines.append(f"  {metric.name:<{width}}  {metric.unit:<9}  {metric.rule}")
                if metric.note:
                    lines.append(f"  {'':<{width}}  {'':<9}  known fault: {metric.note}")
    return "\n".join(lines)
