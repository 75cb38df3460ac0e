// Figures come once a second as counts since the start; rates are differences between two of them.
import { ceiling, curve, histogram, history, quantile } from "/charts.js";

const SHOWN = 120;  // answers a second, of as many events
const MINUTE = 60;  // events back, for the stages
const RECENT = 10;  // events back, for rates
const DEVICES = 50;
const rates = [];
const past = [];  // the oldest first

const by = (id) => document.getElementById(id);
const whole = (x) => Math.round(x).toLocaleString("en");
const short = (x) => x.toFixed(x < 10 ? 1 : 0);
const sum = (xs) => xs.reduce((a, b) => a + b, 0);

function rows(id, lines) {
  by(id).tBodies[0].replaceChildren(...lines.map((cells) => {
    const line = document.createElement("tr");
    for (const content of cells) {
      const cell = document.createElement("td");
      cell.append(content);  // text or an element, never markup: names come from devices
      line.append(cell);
    }
    return line;
  }));
}

function ago(seconds) {
  if (seconds < 2) return "now";
  if (seconds < 120) return `${Math.round(seconds)} s ago`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

/** The event so many back, or the oldest there is. */
const back = (events) => past[Math.max(0, past.length - 1 - events)];

function remember(now) {
  past.push({
    at: performance.now(),
    answered: now.statuses.OK || 0,
    bytes: sum(now.devices.map((d) => d.bytes || 0)),
    stages: Object.fromEntries(Object.entries(now.stages).map(([name, s]) => [name, s.counts])),
    devices: new Map(now.devices.map((d) => [d.name, d])),
  });
  if (past.length > MINUTE + 1) past.shift();
}

function tiles(now) {
  const before = back(1), last = past.at(-1);
  const seconds = (last.at - before.at) / 1000;
  if (seconds > 0 && last.answered >= before.answered) {
    rates.push((last.answered - before.answered) / seconds);
    if (rates.length > SHOWN) rates.shift();
    by("rate").textContent = short(rates.at(-1));
    by("kbits").textContent = (Math.max(0, last.bytes - before.bytes) * 8 / 1000 / seconds).toFixed(1);
    const top = ceiling(Math.max(1, ...rates));
    by("top").textContent = whole(top);
    history(by("history"), rates, SHOWN, top);
  }
  const total = sum(Object.values(now.statuses));
  by("waiting").textContent = whole(sum(now.replicas.map((r) => r.waiting_frames || 0)));
  by("failed").textContent = total ? `${(100 * (total - last.answered) / total).toFixed(2)} %` : "-";
  const joules = now.energy_joules;
  by("energy").textContent = joules === null ? "not measured" : `${whole(joules)} J`;
  by("energy").className = joules === null ? "none" : "";
}

function stages(now) {
  const old = back(MINUTE).stages;
  const latest = Object.entries(now.stages).map(([name, s]) =>
    [name, s.counts.map((count, i) => Math.max(0, count - (old[name]?.[i] || 0)))]);
  const some = latest.some(([, counts]) => sum(counts) > 0);
  by("since").textContent = some ? "the last minute" : "since the start";
  const shown = some ? latest : Object.entries(now.stages).map(([name, s]) => [name, s.counts]);
  const of = (counts, q) => {
    const ms = quantile(counts, now.bounds_ms, q);
    return ms === null ? "-" : ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0);
  };
  rows("stages", [
    ...shown.map(([name, counts]) =>
      [name, histogram(counts, now.bounds_ms), of(counts, 0.5), of(counts, 0.9), of(counts, 0.99)]),
    ["", scale(now.bounds_ms), "", "", ""],
  ]);
}

/** What the histograms' bars stand for. */
function scale(bounds) {
  const made = document.createElement("p");
  made.className = "axis";
  for (const ms of [bounds[0], bounds[Math.floor(bounds.length / 2)], bounds.at(-1)]) {
    const told = document.createElement("span");
    told.textContent = ms === undefined ? "" : ms >= 1000 ? `${ms / 1000} s` : `${+ms.toPrecision(2)} ms`;
    made.append(told);
  }
  return made;
}

function points(now) {
  const total = Math.max(1, sum(now.points.map((p) => p.frames)));
  const series = new Map();
  for (const p of now.points) {
    const [scored] = Object.entries(p.scores);
    if (!scored || !p.frames) continue;
    const name = `${p.bundle}: ${scored[0]}`;
    if (!series.has(name)) series.set(name, []);
    series.get(name).push({ x: p.mean_bytes, y: scored[1], share: p.frames / total, label: p.point });
  }
  curve(by("curve"), [...series].map(([name, found]) => ({ name, points: found })));
  rows("points", now.points.map((p) => [p.bundle, p.point, whole(p.frames), whole(p.mean_bytes),
    p.expected_bytes === null ? "-" : whole(p.expected_bytes),
    scores(p.scores)]));
}

/** The task is named where there are several. */
function scores(found) {
  const told = Object.entries(found).map(([task, score]) => [task, `${(100 * score).toFixed(1)} %`]);
  return told.length === 1 ? told[0][1] : told.map((pair) => pair.join(" ")).join(", ");
}

function devices(now) {
  const before = back(RECENT), seconds = (past.at(-1).at - before.at) / 1000;
  const lines = now.devices.map((d) => {
    const old = before.devices.get(d.name);
    const rate = (key) => (old && seconds > 0 ? Math.max(0, (d[key] || 0) - (old[key] || 0)) / seconds : 0);
    return { d, frames: rate("frames"), bytes: rate("bytes") };
  });
  lines.sort((a, b) => b.frames - a.frames || b.d.frames - a.d.frames);
  by("more").textContent = lines.length > DEVICES ? `the busiest ${DEVICES} of ${whole(lines.length)}` : "";
  rows("devices", lines.slice(0, DEVICES).map(({ d, frames, bytes }) => [d.name, ago(d.seen_s),
    short(frames), (bytes * 8 / 1000).toFixed(1), whole(d.frames),
    d.frames ? `${(100 * (d.answered || 0) / d.frames).toFixed(1)} %` : "-", whole((d.bytes || 0) / 1000)]));
}

function show(now) {
  remember(now);
  tiles(now);
  stages(now);
  points(now);
  devices(now);
  rows("replicas", now.replicas.map((r) => [r.name, whole(r.streams || 0),
    whole(r.waiting_frames || 0), whole(r.frames), whole((r.resident_bytes || 0) / 1e6)]));
  by("verified").textContent = now.checked
    ? `${whole(now.checked)} answers checked, ${whole(now.quarantined)} replicas quarantined` : "";
  const total = sum(Object.values(now.statuses));
  rows("statuses", Object.entries(now.statuses).map(([status, count]) =>
    [status, whole(count), `${(100 * count / total).toFixed(1)} %`]));
  by("federated").hidden = !now.federated.length;
  rows("rounds", now.federated.map((r) => [r.name.replaceAll("_", " "),
    Object.entries(r.labels).map(([name, value]) => `${name} ${value}`).join(", "), `${+r.value.toPrecision(6)}`]));
}

const events = new EventSource("/events");
events.onmessage = (event) => {
  by("state").textContent = "live";
  by("state").className = "live";
  show(JSON.parse(event.data));
};
events.onerror = () => {
  by("state").textContent = "no connection: trying again";
  by("state").className = "lost";
};
