"""Drawing of curves: every extreme is drawn, nothing else is, and any input is accepted."""

import math

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuirnn.charts.columns import draw_dots, into_columns, to_braille
from tuirnn.charts.plot import ABOVE, BELOW, CURSOR, Axis, Options, Series, draw, fit_scale
from tuirnn.charts.ticks import axis_labels, elapsed_label, linear_ticks, log_ticks, step_label, time_ticks
from tuirnn.runlog.smoothing import BLOCK, GROWTH, Smoother
from tuirnn.runlog.track import BLOCK as STRETCH
from tuirnn.runlog.track import Curve, SeriesBuffer

floats = st.floats(allow_nan=True, allow_infinity=True, width=64)
moderate = st.floats(-1e6, 1e6)
sizes = st.integers(1, 60)


def series(x: object, y: object, **more: object) -> Series:
    return Series("s", Curve.of(x), Curve.of(y), "train", **more)  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(st.lists(moderate, min_size=2, max_size=300), sizes, sizes, st.booleans())
def test_exact_extremes_of_every_dot_column_are_lit(ys: list[float], columns: int, rows: int, log: bool) -> None:
    y = np.abs(np.array(ys)) + 1e-3 if log else np.array(ys)
    x = np.arange(len(y), dtype=np.float64)
    scale = fit_scale([series(x, y)], Options(log=log))
    assert scale is not None
    dots = draw_dots(into_columns(Curve.of(x), Curve.of(y), scale, columns), scale, columns, rows)
    home = scale.column(x, columns)
    for column in set(home.tolist()):
        here = y[home == column]
        for extreme in (here.min(), here.max()):
            assert dots[scale.row(np.array([extreme]), rows)[0], column]


def test_an_axis_of_names_shows_those_of_the_points() -> None:
    names = tuple(f"2026-01-{day:02}" for day in range(1, 29))
    axis = Axis(origin=100.0, kind="name", names=names)
    lines = draw([series(range(100, 128), range(28))], 60, 10, Options(axis=axis)).text().splitlines()
    shown = lines[-1].split()
    assert 1 < len(shown) <= 4
    assert set(shown) <= set(names)
    for label in shown:  # below its mark
        mark = lines[-1].index(label) + len(label) // 2
        assert "┬" in lines[-2][mark - 5 : mark + 6]
    assert all(label in ("", *names) for _, label in axis.ticks(90.0, 140.0, 20, False))


def test_a_single_spike_among_a_million_points_is_drawn() -> None:
    y = np.ones(1_000_000)
    y[123_456] = 9.0
    canvas = draw([series(np.arange(1e6), y)], 60, 12)
    assert sum(ch != " " for ch in canvas.rows[0][4:]) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 40), st.data())
def test_nan_leaves_a_gap(points: int, data: st.DataObject) -> None:
    missing = data.draw(st.sets(st.integers(1, points - 2), min_size=1))
    y = np.sin(np.arange(points, dtype=np.float64))
    y[list(missing)] = np.nan
    x = np.arange(points, dtype=np.float64)
    scale = fit_scale([series(x, y)], Options())
    assert scale is not None
    dots = draw_dots(into_columns(Curve.of(x), Curve.of(y), scale, points), scale, points, 16)  # one dot column a point
    assert [k for k in range(points) if not dots[:, k].any()] == sorted(missing)


def test_neighbours_are_connected_without_holes() -> None:
    x, y = np.array([0.0, 10.0]), np.array([0.0, 1.0])
    scale = fit_scale([series(x, y)], Options())
    assert scale is not None
    dots = draw_dots(into_columns(Curve.of(x), Curve.of(y), scale, 11), scale, 11, 40)
    assert dots.any(0).all()
    assert dots.any(1).all()
    for column in range(10):
        here, there = np.flatnonzero(dots[:, column]), np.flatnonzero(dots[:, column + 1])
        assert here.min() - there.max() <= 1


def test_infinities_are_marked_at_the_edges() -> None:
    canvas = draw([series(range(9), [1, 2, math.inf, 2, 1, 2, -math.inf, 2, 1])], 40, 10)
    assert ABOVE in canvas.rows[0]
    assert BELOW in canvas.rows[7]
    assert "alarm" in canvas.styles[0]
    assert "alarm" in canvas.styles[7]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(floats, floats), max_size=60),
    st.integers(-1, 90),
    st.integers(-1, 40),
    st.booleans(),
    floats,
    floats,
    st.sampled_from(["", "◆"]),
)
def test_any_floats_and_any_size_draw(
    points: list[tuple[float, float]], width: int, height: int, log: bool, x_from: float, cursor: float, mark: str
) -> None:
    x, y = ([one[k] for one in points] for k in (0, 1))
    canvas = draw([series(x, y, mark=mark), series(y, x, faint=True)], width, height, Options(log, x_from, cursor))
    assert len(canvas.rows) == max(height, 0)
    assert all(len(row) == max(width, 0) for row in canvas.rows)


def test_figures_align_and_the_cursor_stands() -> None:
    canvas = draw([series(range(100), np.linspace(3.0, 1.0, 100))], 60, 14, Options(cursor=50.0))
    edges = [row.index("┤") for row in canvas.rows if "┤" in row]
    assert len(set(edges)) == 1
    assert sum(CURSOR in row for row in canvas.rows) >= 10


def test_braille_bits() -> None:
    dots = np.zeros((4, 2), np.bool_)
    dots[0, 0] = dots[3, 1] = True
    assert chr(to_braille(dots)[0, 0]) == "⢁"


def test_marks_that_would_touch_become_a_line() -> None:
    few = draw([series(range(5), [1, 2, 3, 2, 1], mark="◆")], 60, 10)
    many = draw([series(range(500), np.arange(500.0), mark="◆")], 60, 10)
    assert few.text().count("◆") == 5
    assert "◆" not in many.text()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(moderate, st.just(math.nan), st.just(math.inf)), max_size=3 * BLOCK),
    st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    st.integers(1, 300),
)
def test_smoothing_equals_the_plain_recursion_however_it_is_cut(ys: list[float], beta: float, cut: int) -> None:
    smoother, y = Smoother(beta), np.array(ys, np.float64)
    got = np.concatenate([smoother.extend(y[at : at + cut]) for at in range(0, len(y), cut)] or [y])
    total = weight = 0.0
    seen, grows = 0, beta > 0
    for value, smooth in zip(ys, got, strict=True):
        now = min(beta, seen / (seen + GROWTH))
        grows = grows and now < beta
        if not grows or math.isfinite(value):  # the growing average does not fade by what it does not see
            total, weight = now * total, now * weight
        if math.isfinite(value):
            seen += grows
            total, weight = total + (1 - now) * value, weight + (1 - now)
            assert smooth == np.float64(total / weight) or abs(smooth - total / weight) < 1e-6 * max(1, abs(smooth))
        else:
            assert math.isnan(smooth)


def test_the_smoothed_curve_does_not_lag_behind_the_first_fall() -> None:
    steps = np.arange(2_000.0)
    loss = 1.3 + 3 * np.exp(-steps / 60)
    lag = Smoother(0.99).extend(loss) - loss
    assert np.abs(lag[:300]).max() < 0.2, "a constant factor lags by 0.7"
    settled = lag[-1]
    assert abs(settled) < 1e-6


def test_robust_range_leaves_out_the_first_fall_and_a_spike() -> None:
    steps = np.arange(1_000.0)
    loss = 1.3 + 3 * np.exp(-steps / 20)
    loss[700] = 50.0
    line = series(steps, loss)
    whole, robust = fit_scale([line], Options()), fit_scale([line], Options(robust=True))
    assert whole is not None
    assert robust is not None
    assert whole.y1 == 50.0
    assert robust.y0 < 1.31
    assert 1.3 < robust.y1 < 1.6
    assert not robust.log
    assert sum(ch not in " │┤" for ch in draw([line], 60, 12, Options(robust=True)).rows[0]) > 0, "drawn at the edge"


def test_values_over_decades_are_logarithmic() -> None:
    steps = np.arange(1_000.0)
    scale = fit_scale([series(steps, 10 ** (-steps / 200))], Options(robust=True))
    assert scale is not None
    assert scale.log


@settings(max_examples=200, deadline=None)
@given(st.lists(floats, min_size=1, max_size=200), st.sampled_from(["nats", "bits", "perplexity", "%"]))
def test_a_robust_range_draws_anything(ys: list[float], unit: str) -> None:
    canvas = draw([series(range(len(ys)), ys)], 60, 12, Options(robust=True, unit=unit))
    assert len(canvas.rows) == 12


@settings(max_examples=300, deadline=None)
@example(0.015625, 1.0, 40, 7, True)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(40, 150), st.integers(7, 40), st.booleans())
def test_each_axis_has_two_figures(low: float, span: float, width: int, height: int, log: bool) -> None:
    low = abs(low) + 1e-6 if log else low
    canvas = draw([series([3, 4, 1000], [low, low + span, low])], width, height, Options(log=log))
    assert sum("┤" in row for row in canvas.rows) >= 2
    assert canvas.rows[-2].count("┬") >= 2


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e308, 1e308), st.floats(0, 1e308), st.integers(1, 30))
def test_ticks_are_few_inside_and_ascending(low: float, span: float, most: int) -> None:
    high = min(low + span, 1.7e308)
    ticks = linear_ticks(low, high, most)
    assert ticks == sorted(ticks)
    assert len(ticks) <= 55
    assert all(low <= tick <= high for tick in ticks)
    assert len(axis_labels(ticks)) == len(ticks)
    if low > 0 and high > low:
        assert all(low <= tick <= high for tick in log_ticks(low, high, most))


def test_labels() -> None:
    assert axis_labels([1.0, 1.5, 2.0]) == ["1.0", "1.5", "2.0"]
    assert axis_labels([2.0, 4.0]) == ["2", "4"]
    assert axis_labels([0, 2_000, 4_000]) == ["0", "2k", "4k"]
    assert axis_labels([1e6, 1.5e6]) == ["1M", "1.5M"]
    assert axis_labels([10, 100, 1_000], log=True) == ["10", "100", "1k"]
    assert [step_label(k) for k in (0, 500, 1500, 20_000, 3e6)] == ["0", "500", "1.5k", "20k", "3M"]
    assert linear_ticks(1, 2, 10, whole=True) == [1, 2]  # two evaluations have no step in between
    assert [elapsed_label(s) for s in (5, 90, 120, 5400, 259_200)] == ["5s", "1m30s", "2m", "1h30m", "3d"]
    assert time_ticks(0, 100, 4) == [0, 30, 60, 90]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(width=32) | st.sampled_from([0.0, -1.0, math.nan]), max_size=400))
def test_what_a_logarithmic_scale_can_show(ys: list[float]) -> None:
    ours = Curve.of(ys).positive()
    wanted = Curve.of([y if y > 0 else math.nan for y in ys])
    for name in ("values", "low", "high", "odd"):
        assert np.array_equal(getattr(ours, name), getattr(wanted, name), equal_nan=True), name


@given(
    st.lists(st.one_of(moderate, st.sampled_from([math.nan, math.inf, -math.inf])), max_size=5 * STRETCH),
    st.lists(st.integers(1, 3 * STRETCH), min_size=1, max_size=5),
    st.data(),
)
def test_extremes_of_any_stretch_are_exact(ys: list[float], cuts: list[int], data: st.DataObject) -> None:
    buffer, at = SeriesBuffer(), 0
    for cut in [*cuts, len(ys)]:
        buffer.extend(ys[at : at + cut])
        at = min(at + cut, len(ys))
    curve = buffer.curve()
    start = data.draw(st.integers(0, len(curve)))
    end = data.draw(st.integers(start, len(curve)))
    finite = [y for y in curve.values[start:end].tolist() if math.isfinite(y)]
    low, high = curve.extremes(np.array([start]), np.array([end]))
    assert (low[0], high[0]) == (min(finite, default=math.inf), max(finite, default=-math.inf))
    assert curve.odd.tolist() == [k for k, y in enumerate(curve.values.tolist()) if not math.isfinite(y)]
    values = curve.values.tolist()
    assert curve.sorted == (not any(math.isnan(y) for y in values) and values == sorted(values))
