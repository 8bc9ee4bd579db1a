"""Learning curves as a drawing: a panel per stage and kind of value, steps to the right."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 200, 58, 30, 26
COLOURS = {"loss": "#1f77b4", "val_loss": "#d62728"}
OTHER = "#2ca02c"
Points = Sequence[tuple[float, float]]


def curves(lines: Iterable[str]) -> str:
    """Lines of ``metrics.jsonl`` as one SVG. Losses of a stage share a panel, any other value has its own."""
    panels: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    for line in lines:
        values = json.loads(line)
        stage, step = values.pop("stage"), values.pop("step")
        for name, value in values.items():
            kind = "loss" if name in COLOURS else name
            panels.setdefault((stage, kind), {}).setdefault(name, []).append((float(step), float(value)))
    parts = [_panel(stage, series, HEIGHT * n) for n, ((stage, _), series) in enumerate(panels.items())]
    height = HEIGHT * max(1, len(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="11"><rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        + "".join(parts)
        + "</svg>\n"
    )


def _panel(stage: str, series: Mapping[str, Points], down: int) -> str:
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    low, high = min(0.0, *ys), max(*ys, 1e-9)
    right, foot = WIDTH - 12, HEIGHT - BOTTOM

    def place(point: tuple[float, float]) -> str:
        x = LEFT + (right - LEFT) * point[0] / max(max(xs), 1.0)
        y = foot - (foot - TOP) * (point[1] - low) / (high - low)
        return f"{x:.1f},{y:.1f}"

    out = [f'<g transform="translate(0 {down})"><path d="M{LEFT} {TOP}V{foot}H{right}" fill="none" stroke="#888888"/>']
    out += [
        f'<text x="{LEFT - 6}" y="{y}" text-anchor="end" fill="#333333">{value:.3g}</text>'
        for y, value in ((TOP + 4, high), (foot, low))
    ]
    out.append(f'<text x="{right}" y="{HEIGHT - 12}" text-anchor="end" fill="#333333">{max(xs):.0f} steps</text>')
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS.get(name, OTHER)
        shown = html.escape(f"{stage}: {name.replace('_', ' ')} {points[-1][1]:.4g}")
        out.append(f'<text x="{LEFT + 170 * number}" y="16" fill="{colour}">{shown}</text>')
        out.append(
            f'<polyline points="{" ".join(map(place, points))}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        out += [
            f'<circle cx="{c[0]}" cy="{c[1]}" r="2" fill="{colour}"/>' for c in (place(p).split(",") for p in points)
        ]
    return "".join([*out, "</g>"])
