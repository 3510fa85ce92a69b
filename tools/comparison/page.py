"""The comparison as Markdown with its picture."""

from collections.abc import Sequence
from pathlib import Path

from tools.comparison.figures import Figures, Precision
from tools.comparison.finished import Finished
from tools.comparison.sight import SHOWN_ESCAPES, Sight
from tools.training import pictures
from tools.twin.parts import CLASSES

_SEEN = (
    *(f"{name} %" for name in CLASSES),
    "accuracy %",
    "macro F1 %",
    "escapes %",
    "overkill %",
    f"overkill at {100 * SHOWN_ESCAPES:g} % escapes, %",
)


def page(
    found: Sequence[Figures], finished: Sequence[Finished], *, command: str, conditions: str, picture: str
) -> str:
    """What finished engines are; of the networks what they see, what INT8 costs and gains, what they are."""
    rows = sorted(found, key=lambda one: -one.int8.accuracy)
    return "\n".join(
        (
            "# Networks compared",
            "",
            f"```\n{command}\n```",
            "",
            *_shipped(finished),
            "## Networks trained alike",
            "",
            conditions,
            "",
            f"![Accuracy over latency]({picture})",
            "",
            "### What they see (INT8)",
            "",
            _table(("network", *_SEEN), [(one.name, *_seen(one.sight)) for one in rows]),
            "",
            "Per class: recall. Escapes are defective parts, overkill good ones, at the highest score.",
            "",
            "### What INT8 costs and gains",
            "",
            _table(
                (
                    "network",
                    "accuracy FP32 → INT8 %",
                    "drop, points",
                    "FP32 p50; p99, ms",
                    "INT8 p50; p99, ms",
                    "times as fast",
                    "file FP32 → INT8, MB",
                    "memory FP32 → INT8, MiB",
                ),
                [_precise(one) for one in rows],
            ),
            "",
            "### What they are",
            "",
            _table(
                ("network", "multiply-accumulates, M", "weights, M", "training, min"),
                [
                    (
                        one.name,
                        f"{one.macs / 1e6:.0f}",
                        f"{one.weights / 1e6:.2f}",
                        f"{one.training_seconds / 60:.1f}",
                    )
                    for one in rows
                ],
            ),
            "",
        )
    )


def _shipped(finished: Sequence[Finished]) -> tuple[str, ...]:
    if not finished:
        return ()
    return (
        "## Finished engines",
        "",
        "On the same parts, each as a line runs it: a detector's time has the decoding of its boxes in it.",
        "",
        _table(("engine", *_SEEN), [(one.name, *_seen(one.sight)) for one in finished]),
        "",
        _table(
            ("engine", "input", "p50; p99, ms", "file, MB", "memory, MiB"),
            [(one.name, one.size, *_sizes(one.engine)) for one in finished],
        ),
        "",
    )


def _sizes(one: Precision) -> tuple[str, str, str]:
    return (
        f"{one.latency_p50_ms:.2f}; {one.latency_p99_ms:.2f}",
        f"{one.size_mb:.2f}",
        f"{one.memory_mib:.1f}",
    )


def _seen(one: Sight) -> tuple[str, ...]:
    shares = (*one.recall.values(), one.accuracy, one.macro_f1)
    rates = (one.escapes, one.overkills, one.overkills_at_escapes)
    return tuple(f"{100 * x:.2f}" for x in (*shares, *rates))


def _precise(one: Figures) -> tuple[str, ...]:
    a, b = one.fp32, one.int8
    return (
        one.name,
        f"{100 * a.accuracy:.2f} → {100 * b.accuracy:.2f}",
        f"{one.drop_points:.2f}",
        f"{a.latency_p50_ms:.2f}; {a.latency_p99_ms:.2f}",
        f"{b.latency_p50_ms:.2f}; {b.latency_p99_ms:.2f}",
        f"{one.speedup:.2f}",
        f"{a.size_mb:.2f} → {b.size_mb:.2f}",
        f"{a.memory_mib:.1f} → {b.memory_mib:.1f}",
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(found: Sequence[Figures], path: Path) -> None:
    """Accuracy over median latency: an arrow from float32 to INT8 for each network, the best ones on a line."""
    figure, axes = pictures.new_figure(8, 5)
    for index, one in enumerate(found):
        x = (one.fp32.latency_p50_ms, one.int8.latency_p50_ms)
        y = (100 * one.fp32.accuracy, 100 * one.int8.accuracy)
        axes.plot(x, y, "-", color=f"C{index}", linewidth=1)
        axes.plot(x[:1], y[:1], "o", color=f"C{index}", fillstyle="none")
        axes.plot(x[1:], y[1:], "o", color=f"C{index}", label=one.name)
    front = pareto(found)
    axes.plot(
        [one.int8.latency_p50_ms for one in front],
        [100 * one.int8.accuracy for one in front],
        "--",
        color="grey",
        linewidth=1,
        label="none is both faster and better",
    )
    axes.set_xscale("log")
    axes.set_xlabel("latency p50, ms, one thread (open: float32, filled: INT8)")
    axes.set_ylabel("accuracy, %")
    axes.legend(fontsize=8)
    pictures.save_figure(figure, path)


def pareto(found: Sequence[Figures]) -> list[Figures]:
    """Fastest first: those that no other network beats in both INT8 latency and accuracy."""
    front: list[Figures] = []
    for one in sorted(found, key=lambda f: (f.int8.latency_p50_ms, -f.int8.accuracy)):
        if not front or one.int8.accuracy > front[-1].int8.accuracy:
            front.append(one)
    return front
