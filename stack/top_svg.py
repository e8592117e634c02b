"""`top` as a picture, for documents: text of a terminal as SVG, in fonts that every system has."""

from __future__ import annotations

from html import escape

from rich.console import Console, RenderableType
from rich.style import Style

COLUMNS = 100
_ADVANCE, _LINE, _LEFT, _TOP = 8.4, 19, 22, 66
_COLOURS = {
    "red": "#ff7b72",
    "green": "#3fb950",
    "yellow": "#d29922",
    "blue": "#58a6ff",
    "cyan": "#39c5cf",
    "magenta": "#bc8cff",
}
_FONT = 'ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace'


def svg(shown: RenderableType, title: str) -> str:
    """What a terminal of `COLUMNS` columns shows, in a window with a title."""
    console = Console(width=COLUMNS, color_system="standard", force_terminal=True, legacy_windows=False)
    lines = console.render_lines(shown, pad=False)
    parts, width = [], 0.0
    for number, line in enumerate(lines):
        column = 0
        for segment in line:
            text = segment.text.strip()
            if text:
                at = column + len(segment.text) - len(segment.text.lstrip())
                parts.append(_text(text, at, number, _classes(segment.style)))
                width = max(width, _LEFT + (at + len(text)) * _ADVANCE)
            column += segment.cell_length
    return _window(parts, round(width) + _LEFT, _TOP + len(lines) * _LINE, title)


def _classes(style: Style | None) -> str:
    """Names of the style's rules below."""
    if style is None:
        return ""
    colour = style.color.name if style.color is not None else ""
    named = [name for name in ("bold", "italic", "dim") if getattr(style, name)]
    return " ".join([*named, *([colour] if colour in _COLOURS else [])])


def _text(text: str, column: int, line: int, classes: str) -> str:
    named = f' class="{classes}"' if classes else ""
    x, y, length = _LEFT + column * _ADVANCE, _TOP + line * _LINE, len(text) * _ADVANCE
    return f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}"{named}>{escape(text)}</text>'


def _window(parts: list[str], width: int, height: int, title: str) -> str:
    rules = [f"text{{font:14px {_FONT};fill:#e6edf3}}", ".bold{font-weight:bold}", ".italic,.dim,.title{fill:#8b949e}"]
    rules += [f".{name}{{fill:{value}}}" for name, value in _COLOURS.items()]
    buttons = "".join(
        f'<circle cx="{x}" cy="20" r="6" fill="{fill}"/>'
        for x, fill in ((22, "#ff5f57"), (42, "#febc2e"), (62, "#28c840"))
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
            f"<style>{''.join(rules)}</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117" stroke="#30363d"/>',
            buttons,
            f'<text class="title" x="{width / 2:.0f}" y="25" text-anchor="middle">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        )
    )
