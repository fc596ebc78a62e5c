"""Small charts as SVG, made on the server: a line of values, a gauge, the strip of a signal's phases. Pure."""

from collections.abc import Sequence
from decimal import Decimal

from markupsafe import Markup

_WIDTH, _HEIGHT = 160, 32


def sparkline(values: Sequence[float | None], label: str) -> Markup:
    """A line through the values, oldest first, from zero to the highest one; a None breaks it. `label` is read aloud."""
    known = [value for value in values if value is not None]
    top = max(known, default=0) or 1
    step = _WIDTH / max(1, len(values) - 1)
    strokes: list[list[str]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            strokes.append([])
        else:
            strokes[-1].append(f"{at * step:.1f},{_HEIGHT - 2 - value / top * (_HEIGHT - 4):.1f}")
    lines = [_dash(points[0]) if len(points) == 1 else points for points in strokes if points]
    drawn = Markup("").join(Markup('<polyline points="{}"/>').format(" ".join(points)) for points in lines)
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-label="{label}">{drawn}</svg>'
    ).format(w=_WIDTH, h=_HEIGHT, label=label, drawn=drawn)


def _dash(point: str) -> list[str]:
    """A single point as a line that is long enough to be seen."""
    x, _, y = point.partition(",")
    start = min(max(0.0, float(x) - 1.5), _WIDTH - 3)
    return [f"{start:.1f},{y}", f"{start + 3:.1f},{y}"]


def gauge(used: Decimal | float, limit: Decimal | float, label: str, *, near: float = 0.8) -> Markup:
    """How much of a limit is used up: ok, near (from `near` of it on) or reached. `label` is read aloud."""
    share = float(used) / float(limit) if limit else 1.0
    share = min(1.0, max(0.0, share))
    word = "reached" if share >= 1 else "near" if share >= near else "ok"
    return Markup(
        '<svg class="gauge {word}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<rect class="rest" width="100" height="6" rx="1"/><rect class="used" width="{used:.1f}" height="6" rx="1"/></svg>'
    ).format(word=word, label=label, used=100 * share)


def strip(phases: Sequence[tuple[str, float]], label: str) -> Markup:
    """Phases one after the other, as wide as they lasted: (word, seconds). `label` is read aloud."""
    whole = sum(seconds for _, seconds in phases) or 1.0
    parts, at = [], 0.0
    for number, (word, seconds) in enumerate(phases):
        width = max(0.4, 100 * seconds / whole)
        parts.append(
            Markup(
                '<rect class="phase p{n}" x="{x:.2f}" width="{w:.2f}" height="8"><title>{word}: {ms}</title></rect>'
            ).format(n=number % 6, x=at, w=width, word=word, ms=duration(seconds))
        )
        at += width
    return Markup(
        '<svg class="strip" viewBox="0 0 {whole:.2f} 8" preserveAspectRatio="none" role="img" aria-label="{label}">{parts}</svg>'
    ).format(whole=at or 100, label=label, parts=Markup("").join(parts))


def duration(seconds: float) -> str:
    """A time that something took: 0.4 ms, 35 ms, 1.2 s, 3 min."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
