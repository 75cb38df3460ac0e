// Pictures of figures, as SVG. Each takes an element and plain numbers.

function shape(name, attributes, title) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (title) {
    const told = document.createElementNS("http://www.w3.org/2000/svg", "title");
    told.textContent = title;
    made.append(told);
  }
  return made;
}

function text(x, y, content, anchor = "middle") {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = content;
  return made;
}

/** The next of 1, 2, 5, 10, ... that is not below. */
export function ceiling(value) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].map((m) => m * unit).find((m) => m >= value * 0.9999);
}

/** `values` in time, the newest at the right edge; `length` of them fill the width. */
export function history(svg, values, length, top) {
  const step = 600 / (length - 1);
  const points = values.map((y, i) =>
    `${600 - step * (values.length - 1 - i)},${(118 - (114 * y) / top).toFixed(1)}`);
  const [left] = points.length ? points[0].split(",") : [600];
  svg.replaceChildren(
    shape("line", { x1: 0, x2: 600, y1: 4, y2: 4, class: "grid" }),
    shape("line", { x1: 0, x2: 600, y1: 61, y2: 61, class: "grid" }),
    shape("polygon", { points: `${left},118 ${points.join(" ")} 600,118` }),
    shape("polyline", { points: points.join(" ") }),
  );
}

const ms = (x) => (x >= 1000 ? `${x / 1000} s` : `${+x.toPrecision(3)} ms`);

/** One bar a bucket; `bounds` are the upper ones in ms, the last bucket has none. */
export function histogram(counts, bounds) {
  const svg = shape("svg", { viewBox: `0 0 ${counts.length * 10} 34`, class: "bars",
    preserveAspectRatio: "none", role: "img" });
  const most = Math.max(1, ...counts);
  counts.forEach((count, i) => {
    const high = count > 0 ? Math.max(1.5, (32 * count) / most) : 0.5;
    const told = i < bounds.length ? `up to ${ms(bounds[i])}` : `over ${ms(bounds.at(-1))}`;
    svg.append(shape("rect", { x: i * 10 + 1, width: 8, y: 33 - high, height: high,
      class: count > 0 ? "bar" : "none" }, `${told}: ${count} frames`));
  });
  return svg;
}

/** Which quantile lies where, linear within its bucket, in ms; null without frames. */
export function quantile(counts, bounds, q) {
  const rank = q * counts.reduce((a, b) => a + b, 0);
  if (!rank) return null;
  let below = 0;
  for (let i = 0; i < counts.length; i += 1) {
    if (below + counts[i] >= rank) {
      const low = i ? bounds[i - 1] : 0;
      return i < bounds.length ? low + ((bounds[i] - low) * (rank - below)) / counts[i] : low;
    }
    below += counts[i];
  }
  return bounds.at(-1);
}

/** Score over bytes: `series` are {name, points: [{x, y, share, label}]}, joined in order of x. */
export function curve(svg, series) {
  const all = series.flatMap((s) => s.points);
  svg.classList.toggle("empty", !all.length);
  if (!all.length) return svg.replaceChildren();
  const ys = all.map((p) => 100 * p.y);
  const low = Math.max(0, Math.floor(Math.min(...ys) - 1));
  const high = Math.min(100, Math.ceil(Math.max(...ys) + 1));
  const right = ceiling(Math.max(...all.map((p) => p.x)));
  const x = (bytes) => 58 + (388 * bytes) / right;
  const y = (score) => 150 - (136 * (100 * score - low)) / Math.max(1, high - low);
  const parts = [];
  for (const score of [low, (low + high) / 2, high]) {
    parts.push(shape("line", { x1: 58, x2: 446, y1: y(score / 100), y2: y(score / 100), class: "grid" }));
    parts.push(text(52, y(score / 100) + 4, `${+score.toFixed(1)} %`, "end"));
  }
  for (const share of [0, 0.5, 1]) parts.push(text(x(share * right), 168, `${Math.round(share * right)} B`));
  for (const [i, { name, points }] of series.entries()) {
    const sorted = [...points].sort((a, b) => a.x - b.x);
    const hue = `series${i % 3}`;
    parts.push(shape("polyline", { points: sorted.map((p) => `${x(p.x)},${y(p.y)}`).join(" "), class: hue }));
    for (const p of sorted) {
      parts.push(shape("circle", { cx: x(p.x), cy: y(p.y), r: 3 + 9 * Math.sqrt(p.share), class: hue },
        `${name}, point ${p.label}: ${Math.round(p.x)} bytes, ${(100 * p.y).toFixed(1)} %`));
      parts.push(text(x(p.x), y(p.y) + 24, p.label));
    }
    parts.push(text(446, 186 - 14 * (series.length - 1 - i), name, "end"));
    parts.at(-1).setAttribute("class", hue);
  }
  return svg.replaceChildren(...parts);
}
