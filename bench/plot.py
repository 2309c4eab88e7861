"""Small multiples as one SVG: no script, no font, no file beside it; light and dark by what the reader prefers.

A panel is a dict: `title`, `unit` (of the y-axis), `x` (its label), `series` (name -> [(x, y), ...], x ascending), and `log_y`.
"""

import html
import math

COLUMNS, WIDTH, HEIGHT = 3, 300, 226
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 50, 40
STYLE = """
svg { --ink: #1f2328; --faint: #6e7781; --line: #d0d7de; --paper: #ffffff; --a: #0550ae; --b: #bc4c00; --c: #1a7f37; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e6edf3; --faint: #8b949e; --line: #30363d; --paper: #0d1117; --a: #79c0ff; --b: #ffa657; --c: #7ee787; }
}
text { font: 11px system-ui, sans-serif; fill: var(--ink); }
.title { font-size: 12px; font-weight: 600; }
.tick { fill: var(--faint); font-size: 10px; }
.paper { fill: var(--paper); }
.grid { stroke: var(--line); stroke-width: 1; }
.line { fill: none; stroke-width: 1.75; }
.s0 { stroke: var(--a); } .s1 { stroke: var(--b); } .s2 { stroke: var(--c); }
.d0 { fill: var(--a); } .d1 { fill: var(--b); } .d2 { fill: var(--c); }
"""


def short(value):
    """A number for an axis: 1,500,000 is 1.5M."""
    for bound, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= bound:
            return f"{value / bound:.4g}{letter}"
    return f"{value:.3g}"


def steps(top):
    """The marks of a linear axis from 0 to at least top."""
    if top <= 0:
        return [0, 1]
    step = 10 ** math.floor(math.log10(top / 4))
    step *= next(m for m in (1, 2, 5, 10) if top / (step * m) <= 5)
    return [step * n for n in range(math.ceil(top / step) + 1)]


def panel_svg(panel, left, top):
    """One panel, its upper left corner at (left, top)."""
    points = [p for series in panel["series"].values() for p in series]
    xs = sorted({x for x, _ in points})
    low, high = math.log10(xs[0]), math.log10(xs[-1])
    across = lambda x: left + LEFT + (WIDTH - LEFT - RIGHT) * ((math.log10(x) - low) / (high - low) if high > low else 0.5)
    room = HEIGHT - TOP - BOTTOM
    if panel.get("log_y"):
        ys = [y for _, y in points if y > 0]
        marks = [10.0 ** n for n in range(math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys))) + 1)]
        down = lambda y: top + TOP + room * (1 - math.log10(max(y, marks[0]) / marks[0]) / max(math.log10(marks[-1] / marks[0]), 1e-9))
    else:
        marks = steps(max(y for _, y in points))
        down = lambda y: top + TOP + room * (1 - max(y, 0) / marks[-1])
    out = [f'<text class="title" x="{left + 8}" y="{top + 15}">{html.escape(panel["title"])}</text>',
           f'<text class="tick" x="{left + 8}" y="{top + 28}">{html.escape(panel["unit"])}</text>']
    for mark in marks:
        out.append(f'<path class="grid" d="M{left + LEFT} {down(mark):.1f}H{left + WIDTH - RIGHT}"/>'
                   f'<text class="tick" text-anchor="end" x="{left + LEFT - 5}" y="{down(mark) + 3:.1f}">{short(mark)}</text>')
    for x in xs:
        out.append(f'<text class="tick" text-anchor="middle" x="{across(x):.1f}" y="{top + HEIGHT - BOTTOM + 14}">{short(x)}</text>')
    out.append(f'<text class="tick" text-anchor="middle" x="{left + (LEFT + WIDTH - RIGHT) / 2}" y="{top + HEIGHT - BOTTOM + 28}">{html.escape(panel["x"])}</text>')
    for n, (name, series) in enumerate(panel["series"].items()):
        path = "L".join(f"{across(x):.1f} {down(y):.1f}" for x, y in series)
        out.append(f'<path class="line s{n}" d="M{path}"/>')
        for x, y in series:
            told = html.escape(f"{name}: {short(x)} {panel['x']}, {y:.4g} {panel['unit']}")
            out.append(f'<circle class="d{n}" cx="{across(x):.1f}" cy="{down(y):.1f}" r="2.5"><title>{told}</title></circle>')
        if len(panel["series"]) > 1:
            at = left + WIDTH - RIGHT
            out.append(f'<text class="d{n}" text-anchor="end" x="{at}" y="{top + 15 + 12 * n}">{html.escape(name)}</text>')
    return "\n".join(out)


def svg(title, panels):
    """All panels, three in a row."""
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT + 8
    body = "\n".join(panel_svg(p, n % COLUMNS * WIDTH, n // COLUMNS * HEIGHT + 4) for n, p in enumerate(panels))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
            f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n"
            f'<rect class="paper" width="{width}" height="{height}"/>\n{body}\n</svg>\n')
