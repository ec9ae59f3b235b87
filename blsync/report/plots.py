"""Plots for the report: inline SVG in the page's own colours, and a PNG for Dagster's metadata.

Floats are for the picture alone; every figure stands in a table beside it.
"""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # names that it cannot find

COLOURS = {"ink": "#20262d", "muted": "#68727d", "rule": "#d9dee3"}
COLOURS |= {"bar": "#8fb3d9", "line": "#17528f"}
COLOURS |= {"late": "#e5c35c", "later": "#e0914a", "latest": "#c4473a"}
"""The page's custom properties; in SVG the colour stands for its property, in PNG for itself."""
_AGES = {  # of the columns of ar_aging: how it is called, in which colour
    "current": ("Current", "bar"),
    "days_31_60": ("31–60 days", "late"),
    "days_61_90": ("61–90 days", "later"),
    "over_90": ("Over 90 days", "latest"),
}
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 11,
    "svg.fonttype": "none",
    "svg.hashsalt": "blsync",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": COLOURS["rule"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.major.size": 0,
    "xtick.major.pad": 7,
    "ytick.major.size": 0,
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def profit_and_loss(months: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw revenue as bars and net profit as a line, by month."""
    with mpl.rc_context(_STYLE):
        return _svg(_profit_figure(months), "Operating revenue and net profit by month")


def picture(months: Sequence[Mapping[str, Any]]) -> str:
    """Return the same plot on white as a data URI (PNG)."""
    with mpl.rc_context(_STYLE):
        figure = _profit_figure(months)
        figure.set_facecolor("white")
        file = io.BytesIO()
        figure.savefig(file, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def cash(months: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw cash at the end of each month."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes([row["period"] for row in months])
        heights = [float(row["closing_cash"]) for row in months]
        axes.bar(range(len(heights)), heights, width=0.62, color=COLOURS["bar"])
        axes.axhline(0, color=COLOURS["muted"], linewidth=0.8)
        return _svg(figure, "Cash at the end of each month")


def ageing(buckets: Mapping[str, Decimal]) -> Markup:
    """Draw what customers owe, by age."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 2.3), layout="constrained")
        axes = figure.add_subplot()
        values = [float(buckets[name]) for name in _AGES]
        colours = [COLOURS[colour] for _, colour in _AGES.values()]
        axes.barh(range(len(_AGES)), values, height=0.62, color=colours)
        axes.set_yticks(range(len(_AGES)), [name for name, _ in _AGES.values()])
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(short))
        axes.grid(axis="x", color=COLOURS["rule"], linewidth=0.8)
        axes.set_axisbelow(True)
        return _svg(figure, "Open receivables by age")


def _profit_figure(months: Sequence[Mapping[str, Any]]) -> Figure:
    figure, axes = _axes([row["period"] for row in months])
    revenue = [float(row["operating_revenue"]) for row in months]
    profit = [float(row["net_profit"]) for row in months]
    axes.bar(
        range(len(months)), revenue, width=0.62, color=COLOURS["bar"], label="Operating revenue"
    )
    axes.plot(profit, color=COLOURS["line"], linewidth=2, label="Net profit")
    axes.axhline(0, color=COLOURS["muted"], linewidth=0.8)
    axes.legend(
        frameon=False,
        reverse=True,
        ncols=2,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0,
        handlelength=1.2,
    )
    return figure


def _axes(months: Sequence[date]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.6, 2.3), layout="constrained")
    axes = figure.add_subplot()
    step = 3 if len(months) > 6 else 1
    places = range(len(months) - 1, -1, -step)
    axes.set_xticks(list(places), [f"{months[place]:%b %Y}" for place in places])
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(short))
    axes.grid(axis="y", color=COLOURS["rule"], linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def short(value: float, _: object = None) -> str:
    """Write an axis figure: 1200000 as 1.2M."""
    for size, unit in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def _svg(figure: Figure, description: str) -> Markup:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=_NO_METADATA)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Within HTML the names of XML mean nothing and CSS gives the size. Ids would be there twice
    # where several companies are; only clipping, which nothing needs, and empty ticks use them.
    text = re.sub(r"<defs>.*?</defs>|<use [^>]*/>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:id|clip-path|xmlns(?::\w+)?)="[^"]*"', "", text)
    text = re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    text = text.replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
    return Markup(text)  # noqa: S704 (drawn here, from numbers and dates)
