// A network that forecasts a series: it reads points, then its own forecasts fed back as inputs.
import { $, Reading, begin, drawn, element } from "./page.mjs";

const WIDE = 100, HIGH = 50;

class Forecaster {
  constructor(cell, about) {
    Object.assign(this, { cell, moment: 0, columns: cell.columns, lookBack: cell.meta["tuirnn.look_back"], times: [] });
    this.timed = cell.periods.length > 0;
    cell.reset();
    this.reading = new Reading(cell, (point) => Array.from(cell.step(point)));
    $("column").replaceChildren(...this.columns.map((name, i) => element("option", { value: String(i) }, name)));
    $("column").parentElement.hidden = this.columns.length < 2;
    $("text").value = [...(this.timed ? ["time"] : []), ...this.columns].join(",") + "\n" + about.begin;
    $("text").addEventListener("input", () => this.changed());
    $("moment").addEventListener("input", () => this.show(Number($("moment").value)));
    for (const id of ["horizon", "column"]) $(id).addEventListener("input", () => this.show(this.moment));
    this.changed();
  }

  /** Reads the table: a line a point; a first line with the columns' names says their order. A time is the first cell. */
  changed() {
    const cells = (line) => line.trim().split(this.timed ? /\s*[,;\t]\s*/ : /\s*[,;\t]\s*|\s+/);
    const lines = $("text").value.split("\n").filter((line) => line.trim());
    let order = this.columns.map((_, i) => i + Number(this.timed)), skipped = 0;
    const points = [], times = [];
    for (const [number, line] of lines.entries()) {
      const values = cells(line), point = order.map((i) => values[i] === "" ? NaN : Number(values[i]));
      const time = this.timed ? seconds(values[0]) : 0;
      if ([...point, time].every(Number.isFinite)) points.push(point), times.push(time);
      else if (number === 0) {
        const found = this.columns.map((name) => values.indexOf(name));
        if (found.every((i) => i >= 0)) order = found;
        else skipped++;
      } else skipped++;
    }
    const one = this.columns.length === 1 ? "a number" : `${this.columns.length} numbers (${this.columns.join(", ")})`;
    const each = this.timed ? `a time and ${one}` : one;
    $("unknown").textContent = skipped ? `${skipped} of ${lines.length} lines left out: each line has ${each}` : "";
    this.times = times;
    this.reading.replace(points.map((point, i) => this.fed(point, i)), (a, b) => a.join() === b.join());
    $("moment").max = points.length;
    this.show(points.length);
  }

  /** What the network reads of a point: with a calendar, that of the next point's time; after the table, times go on. */
  fed(point, number) {
    const { times } = this, last = times.length - 1, step = last > 0 ? times[last] - times[last - 1] : 0;
    return [...point, ...this.cell.calendar(times[number + 1] ?? times[last] + (number + 1 - last) * step)];
  }

  /** The next points after a moment, each fed back as input. */
  forecast(moment, horizon) {
    const { cell, reading } = this, made = [];
    if (!this.lookBack) {
      reading.goTo(moment);
      let next = moment ? reading.notes[moment - 1] : [];
      while (moment && made.length < horizon) {
        made.push(next);
        if (made.length < horizon) next = Array.from(cell.step(this.fed(next, moment + made.length - 1)));
      }
      return made;
    }
    const window = reading.items.slice(Math.max(0, moment - this.lookBack), moment);
    while (window.length && made.length < horizon) {
      cell.reset();
      for (const point of window) cell.step(point);
      made.push(Array.from(cell.answer));
      window.push(this.fed(made.at(-1), moment + made.length - 1));
      if (window.length > this.lookBack) window.shift();
    }
    return made;
  }

  show(moment) {
    this.moment = moment;
    const horizon = Number($("horizon").value), column = Number($("column").value), points = this.reading.items;
    const made = this.forecast(moment, horizon);
    $("moment").value = moment;
    $("ahead").textContent = String(horizon);
    const known = made.filter((_, i) => moment + i < points.length);
    const squares = known.map((point, i) => (point[column] - points[moment + i][column]) ** 2);
    const wrong = squares.length ? `; off by ${number(Math.sqrt(mean(squares)))} (RMSE) where the data go on` : "";
    $("where").textContent = moment ? `forecast after point ${moment} of ${points.length}${wrong}` : "no points to go on from";
    this.draw(points.map((point) => point[column]), made.map((point) => point[column]), moment);
    $("answers").replaceChildren(...made.map((point, i) => element("tr", {},
      element("th", { scope: "row" }, `+${i + 1}`), ...point.map((value) => element("td", {}, number(value))))));
    $("heads").replaceChildren(element("th", { scope: "col" }, "step"),
      ...this.columns.map((name) => element("th", { scope: "col" }, name)));
  }

  draw(data, made, moment) {
    const first = Math.max(0, moment - 4 * Math.max(made.length, 10)), last = Math.max(data.length, moment + made.length);
    const shown = data.slice(first), values = [...shown, ...made].filter(Number.isFinite);
    let low = Math.min(...values), high = Math.max(...values);
    if (!(high > low)) [low, high] = values.length ? [low - 1, low + 1] : [0, 1];
    const x = (i) => (WIDE * (i - first)) / Math.max(last - first - 1, 1);
    const y = (value) => HIGH - 2 - ((HIGH - 4) * (value - low)) / (high - low);
    const line = (from, numbers, kind) => drawn("polyline", {
      points: numbers.map((value, i) => `${x(from + i).toFixed(2)},${y(value).toFixed(2)}`).join(" "), class: `line ${kind}`,
      "vector-effect": "non-scaling-stroke",
    });
    const joined = moment ? [data[moment - 1], ...made] : made;
    $("chart").replaceChildren(
      drawn("line", { x1: x(moment - 1), x2: x(moment - 1), y1: 0, y2: HIGH, class: "here", "vector-effect": "non-scaling-stroke" }),
      line(first, shown, "past"), line(Math.max(moment - 1, 0), joined, "c1"));
    $("high").textContent = number(high);
    $("low").textContent = number(low);
    $("chart").setAttribute("aria-label",
      `${data.length} points, and a forecast of ${made.length} from ${number(made[0])} to ${number(made.at(-1))}; see the table below`);
  }
}

/** A time in seconds since 1970, written so or as a date; without a zone it is UTC. */
function seconds(text) {
  if (text !== "" && Number.isFinite(Number(text))) return Number(text);
  const zoned = /[zZ]$|[+-]\d\d:?\d\d$|^\S{10}$/.test(text); // a date alone is UTC
  return Date.parse(zoned ? text : `${text.replace(" ", "T")}Z`) / 1000;
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const number = (value) => value === undefined ? "–" : Number(value.toPrecision(5)).toLocaleString("en", { maximumSignificantDigits: 5 });

begin((cell, about) => new Forecaster(cell, about));
