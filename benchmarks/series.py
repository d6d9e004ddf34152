"""Forecasts with the default settings beside last value, seasonal naive, ARIMA and ETS; tables of ordinary shapes.

    python benchmarks/series.py --json series.json          # all; needs: pip install 'tuirnn[benchmarks]'
    python benchmarks/series.py --table series.json         # the table of docs/notebook.md
    python benchmarks/series.py --coverage 0,1,2            # what 90 % intervals hold, a training for each seed
    python benchmarks/series.py --coverage 0 --shares 0.6,0.7,0.8,0.9,1   # the same at several ends of the past

The series are those that come with statsmodels (yearly sunspots, weekly CO₂ on Mauna Loa, monthly sea temperature of
El Niño, quarterly US macroeconomic data) and two that are made here: daily sales with a week, a year and a trend, and
two coupled hourly columns with a day. Each is written to a CSV file and given to `tuirnn train FILE --task forecast`
with no further setting; checkpoints are chosen on the validation part, all figures are of the test part, the last
tenth.

ARIMA: the order with the least AIC on the rows before the test part, once differenced where that is called for; ETS:
additive, with or without damped trend by AIC, with a season of up to 24 points. STL + ARIMA and STL + ETS, which remove
the season first, are listed beside them where there is a season. All are fitted once and then filtered through the test
part. Roll-outs begin at the same points as the program's own.
"""

import argparse
import datetime
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Array = Any
Table = tuple[list[str], list[list[str]]]

ORIGINS = 16
"""Roll-outs of each series: ARIMA and ETS take most of the time."""


# ── series ────────────────────────────────────────────────────────────────────


def stored() -> Iterator[tuple[str, Table, list[str]]]:
    """Name, table and columns of the series of statsmodels."""
    from statsmodels import datasets

    frame = datasets.sunspots.load_pandas().data
    yield "sunspots", (["YEAR", "sunspots"], [[str(int(y)), repr(float(v))] for y, v in frame.to_numpy()]), ["sunspots"]
    frame = datasets.co2.load_pandas().data
    rows = [
        [str(at)[:10], "" if np.isnan(v) else repr(float(v))] for at, v in zip(frame.index, frame["co2"], strict=True)
    ]
    yield "CO₂", (["date", "co2"], rows), ["co2"]
    frame = datasets.elnino.load_pandas().data
    rows = [
        [f"{int(row[0])}-{month:02}", repr(float(v))] for row in frame.to_numpy() for month, v in enumerate(row[1:], 1)
    ]
    yield "El Niño", (["month", "temperature"], rows), ["temperature"]
    frame = datasets.macrodata.load_pandas().data
    rows = [[str(int(row[0])), str(int(row[1])), *(repr(float(v)) for v in row[2:])] for row in frame.to_numpy()]
    yield "macro data", (list(frame.columns), rows), list(frame.columns[2:])


def made() -> Iterator[tuple[str, Table, list[str]]]:
    """Two noisy seasonal series."""
    rng = np.random.default_rng(1)

    def noise(n: int, carried: float, size: float) -> Array:
        values = np.zeros(n)
        for i in range(1, n):
            values[i] = carried * values[i - 1] + rng.normal(0, size)
        return values

    t = np.arange(1095)
    week = np.array([0, 2, 3, 5, 9, 16, 11])[t % 7]
    sold = 100 + 0.03 * t + 12 * np.sin(2 * np.pi * t / 365.25) + week + noise(len(t), 0.6, 3)
    days = [str(datetime.date(2021, 1, 1) + datetime.timedelta(days=int(i))) for i in t]
    yield "daily sales", (["date", "sold"], [[d, f"{v:.3f}"] for d, v in zip(days, sold, strict=True)]), ["sold"]
    t = np.arange(24 * 90)
    slow, day = noise(len(t), 0.8, 0.35), np.sin(2 * np.pi * t / 24) + 0.5 * np.sin(4 * np.pi * t / 24 + 1)
    pressure = 50 - 6 * np.roll(day, 3) + 4 * np.roll(slow, 2) + rng.normal(0, 1.5, len(t))
    times = [str(datetime.datetime(2024, 3, 1) + datetime.timedelta(hours=int(i))) for i in t]
    rows = [[at, f"{a:.3f}", f"{b:.3f}"] for at, a, b in zip(times, 10 + 2 * day + slow, pressure, strict=True)]
    yield "hourly plant", (["time", "load", "pressure"], rows), ["load", "pressure"]


# ── the program ───────────────────────────────────────────────────────────────


def tuirnn(*words: str) -> "subprocess.CompletedProcess[str]":
    """One command of the program."""
    return subprocess.run([sys.executable, "-m", "tuirnn", *words], capture_output=True, text=True, check=False)


def written(folder: Path, name: str, table: Table, delimiter: str = ",") -> Path:
    """A table as a file."""
    path = folder / f"{name}.csv"
    path.write_text("\n".join([delimiter.join(table[0]), *(delimiter.join(row) for row in table[1])]), encoding="utf-8")
    return path


def ours(path: Path, folder: Path, name: str, seed: str = "0") -> dict[str, Any]:
    """What the default training and evaluation say."""
    began = time.perf_counter()
    done = tuirnn("train", str(path), "--task", "forecast", "--name", name, "--runs", str(folder), "--seed", seed)
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds = time.perf_counter() - began
    found = json.loads(tuirnn("eval", name, "--origins", str(ORIGINS), "--runs", str(folder), "--json").stdout)
    chosen = [line[6:] for line in done.stdout.splitlines() if line.startswith(("note: scale", "note: season"))]
    return {**found, "seconds": round(seconds, 1), "chosen": chosen}


# ── ARIMA and ETS ─────────────────────────────────────────────────────────────


def without_season(x: Array, test: int, season: int) -> Array:
    """The seasonal part by STL on the rows before the test part, its last season repeated after them."""
    from statsmodels.tsa.seasonal import STL

    found = np.empty(len(x))
    found[:test] = STL(x[:test], period=season).fit().seasonal
    for i in range(test, len(x)):
        found[i] = found[i - season]
    return found


def arima(x: Array, test: int, horizon: int, origins: Array) -> tuple[Array, Array]:
    """Forecasts of one step [n - test] and roll-outs [R, H]."""
    from statsmodels.tsa.arima.model import ARIMA

    d = int(np.std(np.diff(x[:test])) < 0.5 * np.std(x[:test]))
    fits = []
    for p in (1, 2, 3, 5):
        for q in (0, 1, 2):
            try:
                fits.append(ARIMA(x[:test], order=(p, d, q), trend="t" if d else "c").fit())
            except (ValueError, np.linalg.LinAlgError):
                continue
    best = min(fits, key=lambda fit: float(fit.aic))
    one = best.append(x[test:]).predict(test, len(x) - 1)
    ahead = [(best.append(x[test:at]) if at > test else best).forecast(horizon) for at in origins]
    return one, np.array(ahead)


def ets(x: Array, test: int, horizon: int, origins: Array, season: int) -> tuple[Array, Array]:
    """As `arima`."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    fits = []
    for damped in (True, False):
        settings = {"error": "add", "trend": "add", "damped_trend": damped}
        if 1 < season <= 24:
            settings |= {"seasonal": "add", "seasonal_periods": season}
        fits.append((ETSModel(x[:test], **settings).fit(disp=False), settings))
    best, settings = min(fits, key=lambda fit: float(fit[0].aic))
    one = ETSModel(x, **settings).smooth(best.params).fittedvalues[test:]
    ahead = [ETSModel(x[:at], **settings).smooth(best.params).forecast(horizon) for at in origins]
    return one, np.array(ahead)


def classical(x: Array, real: Array, test: int, horizon: int, season: int) -> dict[str, tuple[float, float]]:
    """RMSE of one step and of roll-outs by method."""
    origins = np.unique(np.linspace(test, len(x) - horizon, ORIGINS).astype(int))
    places = origins[:, None] + np.arange(horizon)
    methods: dict[str, tuple[bool, Callable[..., tuple[Array, Array]]]] = {
        "ARIMA": (False, arima),
        "ETS": (False, lambda *rest: ets(*rest, season)),
    }
    if season > 1:
        methods |= {"STL + ARIMA": (True, arima), "STL + ETS": (True, lambda *rest: ets(*rest, 1))}
    found = {}
    for name, (adjusted, method) in methods.items():
        off = without_season(x, test, season) if adjusted else np.zeros(len(x))
        one, ahead = method(x - off, test, horizon, origins)
        errors = (one + off[test:] - x[test:])[real[test:]]
        rolled = (ahead + off[places] - x[places])[real[places]]
        found[name] = (float(np.sqrt((errors**2).mean())), float(np.sqrt((rolled**2).mean())))
    return found


# ── tables of ordinary shapes ─────────────────────────────────────────────────


def shapes() -> Iterator[tuple[str, Table, str, list[str]]]:
    """Name, table, delimiter and options that a first message may ask for: as public tables are made."""
    rng = np.random.default_rng(2)
    n = 24 * 60
    wave = np.sin(2 * np.pi * np.arange(n) / 24)
    start = datetime.datetime(2004, 3, 10, 18)
    hours = [start + datetime.timedelta(hours=i) for i in range(n)]

    def number(value: float, places: int = 2) -> str:
        return f"{value:.{places}f}"

    rows = []
    for i, at in enumerate(hours):  # dates and times in two columns, decimal comma, -200 for no value, empty columns
        co = "-200" if i % 97 == 5 else number(2 + wave[i] + rng.normal(0, 0.3), 1).replace(".", ",")
        rows.append(
            [f"{at:%d/%m/%Y}", f"{at:%H.%M.%S}", co, number(20 + 8 * wave[i] + rng.normal()).replace(".", ","), "", ""]
        )
    yield "air quality", (["Date", "Time", "CO(GT)", "T", "", ""], rows), ";", []
    rows = []
    for i in range(5000):  # minutes, '?' for no value
        at = datetime.datetime(2006, 12, 16, 17, 24) + datetime.timedelta(minutes=i)
        power = 1 + 0.8 * np.sin(2 * np.pi * i / 1440) + abs(rng.normal(0, 0.5))
        row = ["?", "?"] if i % 400 == 7 else [number(power, 3), number(240 + rng.normal(0, 2))]
        rows.append([f"{at.day}/{at.month}/{at.year}", f"{at:%H:%M:%S}", *row])
    yield "household power", (["Date", "Time", "Global_active_power", "Voltage"], rows), ";", []
    rows, price, at = [], 100.0, datetime.date(2018, 1, 2)
    for _ in range(1200):  # working days, newest first
        price *= float(np.exp(rng.normal(0.0004, 0.012)))
        span = sorted(price * np.exp(rng.normal(0, 0.004, 2)))
        rows.append([f"{at:%b %d, %Y}".replace(",", ""), number(span[0]), number(span[1]), number(price),
                     str(int(rng.integers(1e6, 9e6)))])  # fmt: skip
        at += datetime.timedelta(days=3 if at.weekday() == 4 else 1)
    rows = [[str(datetime.datetime.strptime(row[0], "%b %d %Y").date()), *row[1:]] for row in rows[::-1]]
    yield "stock prices", (["Date", "Low", "High", "Close", "Volume"], rows), ",", []
    rows = []
    for i in range(1500):  # days, a column of words, -9999 for no value
        at = datetime.date(2015, 1, 1) + datetime.timedelta(days=i)
        warm = 10 + 10 * np.sin(2 * np.pi * (i - 100) / 365.25) + rng.normal(0, 2)
        rain = -9999 if i % 200 == 3 else max(0.0, rng.normal(0, 3))
        rows.append([str(at), number(warm, 1), number(rain, 1), "rain" if rain > 0 else "sun"])
    yield "weather", (["date", "temp", "precipitation", "weather"], rows), ",", []
    rows = []
    for i in range(400):
        for store in range(1, 6):
            at = datetime.date(2020, 1, 1) + datetime.timedelta(days=i)
            sold = 20 * store + 6 * (i % 7 > 4) + 0.02 * i + rng.normal(0, 2)
            rows.append([str(at), str(store), number(sold, 0)])
    yield "sales, long", (["date", "store", "sales"], rows), ",", ["--group-column", "store"]


def tried(folder: Path) -> list[dict[str, Any]]:
    """Each table trained with no option; where it is refused, with the option that the refusal names."""
    found = []
    for name, table, delimiter, options in shapes():
        run = name.replace(" ", "-").replace(",", "")
        path = written(folder, run, table, delimiter)
        words = ["train", str(path), "--task", "forecast", "--name", run, "--runs", str(folder)]
        done = tuirnn(*words)
        said = ""
        if done.returncode:
            said = done.stderr.strip().removeprefix(f"tuirnn: {path.name} ")
            done = tuirnn(*words, *options) if options and options[0] in said else done
        if done.returncode:
            found.append({"table": name, "said": done.stderr.strip()})
            continue
        if asked := re.search(r"--missing=(\S+)", done.stdout):
            said, run = f"if it stands for no value, give {asked[0]}", run + "-again"
            done = tuirnn(*words[:4], "--name", run, *words[6:], asked[0])
        result = json.loads(tuirnn("eval", run, "--runs", str(folder), "--json").stdout)
        columns = {column: values["mase"] for column, values in result["columns"].items()}
        naive = {column: values["naive_mase"] for column, values in result["columns"].items()}
        found.append({"table": name, "said": said, "mase": columns, "naive_mase": naive, "covered": result["covered"]})
    return found


# ── figures ───────────────────────────────────────────────────────────────────


def measured(folder: Path, only: str) -> dict[str, Any]:
    """Everything, as JSON."""
    warnings.filterwarnings("ignore")
    series = []
    for name, table, columns in (*stored(), *made()):
        if only and only not in name:
            continue
        run = f"run{len(series)}-{abs(hash(name)) % 1000}"
        result = ours(written(folder, run, table), folder, run)
        column_figures = {}
        for column in columns:
            if column not in result["columns"]:
                continue
            at = table[0].index(column)
            raw = np.array([float(row[at]) if row[at] else np.nan for row in table[1]])
            real = ~np.isnan(raw)
            x = raw[np.maximum.accumulate(np.where(real, np.arange(len(raw)), 0))]
            test = len(x) - result["points"]
            column_figures[column] = {
                **result["columns"][column],
                "classical": classical(x, real, test, result["horizon"], result["season"]),
            }
        kept = {
            key: result[key]
            for key in ("points", "horizon", "season", "covered", "rollout_covered", "seconds", "chosen")
        }
        series.append({"series": name, **kept, "columns": column_figures})
        print(f"{name}: {result['seconds']} s", file=sys.stderr, flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": str(datetime.date.today()), "commit": commit.stdout.strip(), "processor": processor(),
        "python": platform.python_version(), "series": series, "tables": tried(folder) if not only else [],
    }  # fmt: skip


def coverage(folder: Path, seeds: list[str], shares: list[float], only: str) -> Iterator[str]:
    """What intervals hold of the test parts, and what chance alone makes of 90 % of so many points.

    A training for each seed and each share of a table, counted from its beginning, has a test part of its own.
    """
    yield "| series | points | 95 % of chance | one step, mean | roll-outs, mean |"
    yield "|---|---|---|---|---|"
    for number, (name, (head, rows), _) in enumerate((*stored(), *made())):
        if only not in name:
            continue
        runs = []
        for share in shares:
            path = written(folder, f"series{number}-{share:g}", (head, rows[: round(share * len(rows))]))
            runs += [ours(path, folder, f"{path.stem}-{seed}", seed) for seed in seeds]
        n = sum(run["points"] for run in runs) // len(seeds)
        low, high = np.percentile(np.random.default_rng(0).binomial(n, 0.9, 100_000) / n, (2.5, 97.5))
        cells = [
            f"{' / '.join(f'{100 * run[key]:.0f}' for run in runs)}, {100 * np.mean([run[key] for run in runs]):.0f} %"
            for key in ("covered", "rollout_covered")
        ]
        yield f"| {name} | {n} | {100 * low:.0f}–{100 * high:.0f} % | {' | '.join(cells)} |"


def processor() -> str:
    """Its name."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor()


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The tables of docs/notebook.md."""
    yield f"{found['date']}, commit {found['commit']}, {found['processor']}, Python {found['python']}."
    yield ""
    yield (
        "| series | by | one step: ours / last / seasonal / ARIMA / ETS | roll-out: the same | ÷ best naive | "
        "÷ best of ARIMA, ETS | 90 % intervals hold |"
    )
    yield "|---|---|---|---|---|---|---|"
    for series in found["series"]:
        for column, c in series["columns"].items():
            plain = {name: c["classical"][name] for name in ("ARIMA", "ETS")}
            one = [c["mse"] ** 0.5, c["naive_mse"] ** 0.5, c.get("seasonal_mse", np.nan) ** 0.5]
            ahead = [c["rollout_rmse"], c["naive_rollout_rmse"], c.get("seasonal_rollout_rmse", np.nan)]
            cells, naive, rivals = [], [], []
            for values, at in ((one, 0), (ahead, 1)):
                best = min(value[at] for value in plain.values())
                cells.append(
                    " / ".join(f"{v:.4g}" if v == v else "–" for v in (*values, *(p[at] for p in plain.values())))
                )
                naive.append(f"{values[0] / np.nanmin(values[1:]):.2f}")
                rivals.append(f"{values[0] / best:.2f}")
            by = c["by"]["one_step"] if c["by"]["one_step"] == c["by"]["rollout"] else " / ".join(c["by"].values())
            name = f"{series['series']}, {column}" if len(series["columns"]) > 1 else series["series"]
            held = f"{100 * c['covered']['one_step']:.0f} %, {100 * c['covered']['rollout']:.0f} %"
            yield (f"| {name}, 1–{series['horizon']} | {by} | {cells[0]} | {cells[1]} | {', '.join(naive)} | "
                   f"{', '.join(rivals)} | {held} |")  # fmt: skip
    yield ""
    yield "| table | said first | MASE (last value) | 90 % intervals hold |"
    yield "|---|---|---|---|"
    for table in found["tables"]:
        if "mase" not in table:
            yield f"| {table['table']} | {table['said']} | – | – |"
            continue
        mase = ", ".join(f"{c} {v:.3g} ({table['naive_mase'][c]:.3g})" for c, v in table["mase"].items())
        yield f"| {table['table']} | {table['said'] or 'nothing: trained'} | {mase} | {100 * table['covered']:.0f} % |"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--table", type=Path, help="print the tables of figures that were written")
    parser.add_argument("--only", default="", help="series whose name contains this")
    parser.add_argument("--coverage", default="", help="seeds; what intervals hold with each")
    parser.add_argument("--shares", default="1", help="with --coverage: of each table, a training for each")
    options = parser.parse_args()
    if options.coverage:
        with tempfile.TemporaryDirectory() as folder:
            shares = [float(share) for share in options.shares.split(",")]
            for line in coverage(Path(folder), options.coverage.split(","), shares, options.only):
                print(line, flush=True)
        return
    if options.table:
        print("\n".join(lines(json.loads(options.table.read_text()))))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), options.only)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
