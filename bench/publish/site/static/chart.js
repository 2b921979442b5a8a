// Charts as SVG: points with intervals, lines, bands and bars on linear, logarithmic, time or named axes. Colours come from
// the style sheet, so that a chart follows the reader's theme and prints.
"use strict";

claimbench.svg = (tag, attributes, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
};

// A scale from values to pixels with its ticks. Kinds are linear, log, time (milliseconds) and names (a band for each).
claimbench.scale = (kind, values, from, to) => {
  if (kind === "names") {
    const names = [...new Set(values)];
    const band = (to - from) / Math.max(names.length, 1);
    const at = (value) => from + band * (names.indexOf(value) + 0.5);
    return { at, band: Math.abs(band), ticks: names.map((name) => ({ value: name, text: name })) };
  }
  const log = kind === "log";
  const turn = log ? Math.log10 : (value) => value;
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (log) [low, high] = [low / 1.08, high * 1.08];
  else {
    const room = high > low ? 0.04 * (high - low) : Math.abs(high) * 0.05 || 1;
    [low, high] = [low - room, high + room];
  }
  const at = (value) => from + ((turn(value) - turn(low)) / (turn(high) - turn(low))) * (to - from);
  return { at, ticks: claimbench.ticks(kind, low, high) };
};

claimbench.ticks = (kind, low, high) => {
  if (kind === "log") {
    const decades = Math.log10(high / low);
    const digits = decades > 3 ? [1] : decades > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1)
      for (const digit of digits) found.push(Number((digit * 10 ** power).toPrecision(3)));
    return found.filter((value) => value >= low && value <= high).map((value) => ({ value, text: claimbench.number(value) }));
  }
  if (kind === "time") {
    const days = [0, 1, 2, 3].map((part) => low + ((high - low) * (part + 0.5)) / 4);
    return days.map((value) => ({ value, text: new Date(value).toISOString().slice(0, 10) })).filter((tick, index, all) => !index || all[index - 1].text !== tick.text);
  }
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((digit) => digit * power >= rough) * power;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(Number(value.toPrecision(12)));
  return found.map((value) => ({ value, text: claimbench.number(value) }));
};

claimbench.shapes = {
  circle: "M4,0A4,4 0 1 1 -4,0A4,4 0 1 1 4,0Z",
  triangle: "M0,-5L4.6,3.6L-4.6,3.6Z",
  diamond: "M0,-5.4L4.6,0L0,5.4L-4.6,0Z",
};

// What stands over a point: one box for the whole page.
claimbench.tip = (() => {
  let box = null;
  const hide = () => box && box.classList.remove("visible");
  const show = (event, facts) => {
    if (!box) document.body.append(box = claimbench.el("div", { id: "tip", role: "tooltip" }));
    box.replaceChildren(...facts.filter(([, text]) => text).map(([name, text]) => claimbench.el("div", {}, claimbench.el("span", {}, `${name} `), text)));
    box.style.left = `${Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8)}px`;
    box.style.top = `${Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8)}px`;
    box.classList.add("visible");
  };
  return { show, hide };
})();

// Draw a chart into an element, and again where its width changes. Lines, bands, bars and points name their series, which
// gives them a colour. A chart is {label, height, x: {title, kind}, y: {title, kind}, series, shapes, lines, bands, bars,
// points, rule}; a point is {x, y, x_low, x_high, y_low, y_high, series, shape, filled, name, tip, href}.
claimbench.chart = (element, chart) => {
  let width = 0;
  const draw = () => {
    width = element.clientWidth;
    element.replaceChildren(...claimbench.drawn(chart, Math.max(width, 240)));
    element.dataset.drawn = String(Number(element.dataset.drawn || 0) + 1);
  };
  if (element.watcher) element.watcher.disconnect();
  element.watcher = new ResizeObserver(() => { if (element.clientWidth !== width) draw(); });
  element.watcher.observe(element);
  draw();
};

claimbench.drawn = (chart, width) => {
  const { svg, el } = claimbench;
  const { x, y, height = 420, series = [], shapes = [], lines = [], bands = [], bars = [], points = [], rule = null } = chart;
  const marks = [...points, ...bars, ...lines.flatMap((line) => line.points), ...bands.flatMap((band) => band.points)];
  const gather = (axis) => marks.flatMap((mark) => [mark[axis], mark[`${axis}_low`], mark[`${axis}_high`]]).filter((value) => value !== undefined && value !== null);
  const named = y.kind === "names";
  const left = named ? Math.min(0.42 * width, 20 + 7 * Math.max(...gather("y").map((name) => name.length))) : 62;
  const box = { left, right: width - 16, top: 12, bottom: height - 52 };
  const across = claimbench.scale(x.kind, x.zero ? [0, 1, ...gather("x")] : gather("x"), box.left, box.right);
  const up = named ? claimbench.scale("names", gather("y"), box.top, box.bottom) : claimbench.scale(y.kind, gather("y"), box.bottom, box.top);
  const colour = (name) => `s${(series.indexOf(name) % 8) + 1}`;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": chart.label });

  const grid = svg("g", { class: "grid" });
  let free = -Infinity;
  for (const tick of across.ticks) {
    const at = across.at(tick.value);
    grid.append(svg("line", { x1: at, x2: at, y1: box.top, y2: box.bottom }));
    if (at - 4 * tick.text.length < free) continue; // a label that would lie on the one before
    free = at + 4 * tick.text.length + 6;
    grid.append(svg("text", { x: at, y: box.bottom + 18, "text-anchor": "middle" }, tick.text));
  }
  for (const tick of up.ticks) {
    const at = up.at(tick.value);
    if (!named) grid.append(svg("line", { x1: box.left, x2: box.right, y1: at, y2: at }));
    const longest = Math.floor((left - 8) / 7);
    const text = tick.text.length > longest ? `${tick.text.slice(0, longest - 1)}…` : tick.text;
    grid.append(svg("text", { x: box.left - 8, y: at + 4, "text-anchor": "end" }, text));
  }
  root.append(grid, svg("text", { class: "title", x: (box.left + box.right) / 2, y: height - 10, "text-anchor": "middle" }, x.title));
  if (!named) root.append(svg("text", { class: "title", transform: `translate(14,${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.title));

  const path = (all) => all.map((point, index) => `${index ? "L" : "M"}${across.at(point.x).toFixed(1)},${up.at(point.y).toFixed(1)}`).join("");
  for (const band of bands) {
    const edge = (side) => band.points.map((point) => ({ x: point.x, y: point[side] }));
    root.append(svg("path", { class: `band ${colour(band.series)}`, d: `${path([...edge("y_low"), ...edge("y_high").reverse()])}Z` }));
  }
  for (const line of lines) {
    const corner = (a, b) => (line.step === "after" ? { x: b.x, y: a.y } : { x: a.x, y: b.y });
    const all = line.step ? line.points.flatMap((point, index) => (index ? [corner(line.points[index - 1], point), point] : [point])) : line.points;
    root.append(svg("path", { class: `line ${colour(line.series)}`, d: path(all), "stroke-dasharray": line.dash }));
  }
  const tipped = (mark, given) => {
    mark.addEventListener("mousemove", (event) => claimbench.tip.show(event, given.tip));
    mark.addEventListener("mouseleave", claimbench.tip.hide);
    if (given.href) mark.addEventListener("click", () => { location.href = given.href; });
    return mark;
  };
  for (const bar of bars) {
    const thick = Math.min(14, (up.band - 6) / series.length);
    const top = up.at(bar.y) + thick * (series.indexOf(bar.series) - series.length / 2);
    root.append(tipped(svg("rect", { class: `stripe ${colour(bar.series)}`, x: across.at(0), width: Math.max(0, across.at(bar.x) - across.at(0)), y: top, height: thick - 1 }), bar));
    root.append(svg("line", { class: "interval", x1: across.at(bar.x_low), x2: across.at(bar.x_high), y1: top + thick / 2, y2: top + thick / 2 }));
  }
  if (rule !== null) root.append(svg("line", { class: "rule", x1: across.at(rule), x2: across.at(rule), y1: box.top, y2: box.bottom }));
  for (const point of points) {
    const [a, b] = [across.at(point.x), up.at(point.y)];
    const group = `interval ${colour(point.series)}`;
    if (point.x_low < point.x_high) root.append(svg("line", { class: group, x1: across.at(point.x_low), x2: across.at(point.x_high), y1: b, y2: b }));
    if (point.y_low < point.y_high) root.append(svg("line", { class: group, x1: a, x2: a, y1: up.at(point.y_low), y2: up.at(point.y_high) }));
    root.append(tipped(svg("path", {
      class: `mark ${colour(point.series)}${point.href ? " link" : ""}`, d: claimbench.shapes[point.shape || "circle"],
      transform: `translate(${a.toFixed(1)},${b.toFixed(1)})`, "fill-opacity": point.filled === false ? 0 : 0.55,
    }), point));
  }
  const taken = [];
  for (const point of points.filter((one) => one.name)) {
    const [a, b, long] = [across.at(point.x) + 8, up.at(point.y) - 7, 6.3 * point.name.length];
    const start = a + long > box.right ? a - 16 - long : a;
    if (taken.some((other) => start < other.right && start + long > other.left && Math.abs(b - other.b) < 13)) continue;
    taken.push({ left: start, right: start + long, b });
    root.append(svg("text", { class: "name", x: start, y: Math.max(b, 10) }, point.name));
  }

  const key = el("ul", { class: "key" });
  if (series.length > 1) series.forEach((name) => key.append(el("li", {}, svg("svg", { class: "swatch", width: 18, height: 10, "aria-hidden": "true" }, svg("path", { class: `line ${colour(name)}`, d: "M0,5H18" })), name)));
  shapes.forEach(([name, shape, filled]) => key.append(el("li", {}, svg("svg", { class: "swatch", width: 14, height: 12, "aria-hidden": "true" }, svg("path", { class: "mark", d: claimbench.shapes[shape], transform: "translate(7,6)", "fill-opacity": filled ? 0.55 : 0 })), name)));
  return [root, key];
};
