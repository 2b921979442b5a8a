// Any figure of any models against any other: the plot, its Pareto fronts, and the table of the same points.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("explore");
  if (!place) return;
  const { el, data, state } = claimbench;
  const axes = new Map(data.axes.map((axis) => [axis.key, axis]));
  const points = data.points.map((point, index) => ({ ...point, index }));
  if (!points.length) {
    place.replaceChildren(el("p", {}, "There is nothing to plot yet."));
    return;
  }
  const TIMED = ["time", "memory", "energy"];
  const onPaper = place.dataset.paper !== undefined;
  const prefix = onPaper ? "plot." : ""; // the page's other table has filters of its own
  const timed = (key) => Boolean(axes.get(key)) && TIMED.includes(axes.get(key).kind);
  const name = (point) => (point.form ? `${point.model} (${point.form})` : point.model);
  const title = (axis) => (axis.unit ? `${axis.title} (${axis.unit})` : axis.title);
  const count = (key) => points.filter((point) => claimbench.own(point.values, key)).length;

  // Which axes to begin with: a score against a cost, as far as there are any.
  const first = (keys) => keys.find((key) => axes.has(key) && count(key) > 0) || data.axes[0].key;
  const usualX = first(["macs", "params"]);
  const usualY = first(["imagenet1k_top1", "throughput", "params"]);

  const titles = Object.fromEntries(data.axes.map((axis) => [axis.key, title(axis)]));
  const axisMenu = (id, label, usual) => {
    const select = el("select", { name: id, onchange: () => { state.set(id, select.value, usual); draw(); } });
    data.axes.forEach((axis) => select.append(el("option", { value: axis.key }, titles[axis.key])));
    const read = () => {
      select.value = state.get(id, usual);
      if (select.selectedIndex < 0) select.value = usual;
    };
    read();
    state.changed(read);
    return { label: el("label", {}, el("span", {}, label), select), value: () => select.value };
  };
  const x = axisMenu("x", "Across", usualX);
  const y = axisMenu("y", "Up", usualY);

  const box = (id, label, usual) => {
    const input = el("input", { type: "checkbox", name: id, onchange: () => { state.set(id, input.checked ? "1" : "0", usual); draw(); } });
    const read = () => { input.checked = state.get(id, usual) === "1"; };
    read();
    state.changed(read);
    return { label: el("label", { class: "check" }, input, el("span", {}, label)), on: () => input.checked };
  };
  const named = box("names", "Name the front", "1");
  // "auto" is logarithmic where costs differ by more than a factor of 30.
  const scale = (id, label) => {
    const select = el("select", { name: id, onchange: () => { state.set(id, select.value, "auto"); draw(); } });
    ["auto", "linear", "logarithmic"].forEach((value) => select.append(el("option", { value }, value)));
    const read = () => {
      select.value = state.get(id, "auto");
      if (select.selectedIndex < 0) select.value = "auto";
    };
    read();
    state.changed(read);
    return { label: el("label", {}, el("span", {}, label), select), on: (values) => Math.min(...values) > 0
      && (select.value === "logarithmic" || (select.value === "auto" && Math.max(...values) > 30 * Math.min(...values))) };
  };
  const logX = scale("xscale", "Scale across");
  const logY = scale("yscale", "Scale up");
  const chosenOnly = box("only", "Chosen models only", "0");

  const changed = () => draw();
  const menus = [
    !onPaper && claimbench.menu(`${prefix}paper`, "Paper", points, (point) => point.paper, changed),
    !onPaper && claimbench.menu(`${prefix}task`, "Task", points, (point) => point.task, changed),
    claimbench.menu(`${prefix}evidence`, "Evidence", points, (point) => point.evidence, changed),
    claimbench.menu(`${prefix}device`, "Machine", points, (point) => point.device, changed),
    claimbench.menu(`${prefix}precision`, "Precision", points, (point) => point.precision, changed),
    claimbench.menu(`${prefix}batch`, "Batch", points, (point) => point.batch, changed),
    claimbench.menu(`${prefix}mode`, "Mode", points, (point) => point.mode, changed),
  ].filter(Boolean);
  const machineMenus = new Set(["device", "precision", "batch", "mode"].map((name) => prefix + name));

  const chosen = () => new Set(state.get("models") ? state.get("models").split("|") : []);
  const identity = (point) => `${point.paper}/${name(point)}`;
  const choose = (point, on) => {
    const now = chosen();
    if (on) now.add(identity(point));
    else now.delete(identity(point));
    state.set("models", [...now].join("|"));
    if (chosenOnly.on()) draw();
    else refreshClear();
  };

  // A point without a machine is a count that holds on every machine: menus of machines let it pass.
  const fits = (point) => menus.every((menu) => menu.fits(point) || (machineMenus.has(menu.select.name) && !point.device && point.evidence === "measured"))
    && (!chosenOnly.on() || chosen().has(identity(point)));

  const text = (key, [value, low, high]) => `${claimbench.number(value)} ${axes.get(key).unit} ${claimbench.spread(value, low, high)}`.trim();
  const where = (point) => [point.device, point.precision, point.batch && `batch ${point.batch}`, point.mode, point.size, point.quick && "quick"].filter(Boolean).join(", ");

  // Speeds rank only within one machine, precision, batch and mode; counts and scores rank everywhere.
  function group(point, keyX, keyY) {
    const kind = point.evidence === "measured" ? "measured" : "reported";
    if (!timed(keyX) && !timed(keyY)) return kind;
    return [kind, point.device || "machine not stated", point.precision, point.batch && `batch ${point.batch}`, point.mode].filter(Boolean).join(", ");
  }

  function plotted(shown) {
    const [keyX, keyY] = [x.value(), y.value()];
    const seen = new Set();
    const found = [];
    for (const point of shown) {
      const [a, b] = [claimbench.own(point.values, keyX), claimbench.own(point.values, keyY)];
      if (!a || !b) continue;
      const basis = point.evidence === "measured" && [a[3], b[3]].includes("r") ? "measured, score reported" : point.evidence;
      const one = {
        x: a[0], x_low: a[1] ?? a[0], x_high: a[2] ?? a[0], y: b[0], y_low: b[1] ?? b[0], y_high: b[2] ?? b[0],
        x_text: `${axes.get(keyX).title}: ${text(keyX, a)}`, y_text: `${axes.get(keyY).title}: ${text(keyY, b)}`,
        model: name(point), paper: point.paper, evidence: basis, where: timed(keyX) || timed(keyY) ? where(point) : point.size,
        group: group(point, keyX, keyY), on_front: false, named: false, href: link(point), index: point.index,
      };
      const same = [one.model, one.paper, one.evidence, one.group, one.x, one.y].join("|");
      if (seen.has(same)) continue;
      seen.add(same);
      found.push(one);
    }
    return found;
  }

  const pages = data.pages || {};
  const link = (point) => (onPaper ? `#model=${encodeURIComponent(point.model)}` : `${claimbench.root}papers/${pages[point.paper]}.html#model=${encodeURIComponent(point.model)}`);

  function fronts(plot) {
    const groups = Map.groupBy ? Map.groupBy(plot, (point) => point.group) : plot.reduce((map, point) => map.set(point.group, [...(map.get(point.group) || []), point]), new Map());
    const found = [];
    for (const [name, members] of groups) {
      const front = claimbench.pareto(members, axes.get(x.value()).better, axes.get(y.value()).better);
      front.forEach((point) => { point.on_front = true; });
      found.push({ name, front });
    }
    return found;
  }

  // Name the points of the fronts whose names do not lie on one another.
  function nameFronts(plot, found, logs) {
    const place = (axis) => {
      const values = plot.map((point) => (logs[axis] ? Math.log(point[axis]) : point[axis]));
      const [least, most] = [Math.min(...values), Math.max(...values)];
      return (point) => ((logs[axis] ? Math.log(point[axis]) : point[axis]) - least) / (most - least || 1);
    };
    const [across, up] = [place("x"), place("y")];
    const width = canvas.clientWidth || 800;
    const taken = [];
    for (const point of found.flatMap(({ front }) => front)) {
      const box = { left: across(point) * width, right: across(point) * width + 12 + 6.5 * Math.min(point.model.length, 24), y: up(point) * 380 };
      point.named = taken.every((other) => box.left > other.right || box.right < other.left || Math.abs(box.y - other.y) > 13);
      if (point.named) taken.push(box);
    }
  }

  const canvas = el("div", { class: "chart", id: "chart" });
  const spoken = el("div", { id: "front", class: "front" });
  const status = el("p", { role: "status", class: "quiet" });
  let drawing = Promise.resolve();

  function draw() {
    const shown = points.filter(fits);
    const plot = plotted(shown);
    const found = fronts(plot);
    status.textContent = plot.length
      ? `${plot.length} points: ${titles[y.value()]} against ${titles[x.value()]}. ${better(x)}; ${better(y)}.`
      : `No model that fits the filters has both ${titles[x.value()]} and ${titles[y.value()]}: choose other axes or fewer filters.`;
    spoken.replaceChildren(...found.slice(0, 6).map(({ name, front }) =>
      el("p", {}, el("strong", {}, `Pareto front, ${name}: `), front.slice(0, 30).map((point) => point.model).join(", "), front.length > 30 ? ` and ${front.length - 30} more` : "")));
    const logs = { x: plot.length > 0 && logX.on(plot.map((point) => point.x_low)), y: plot.length > 0 && logY.on(plot.map((point) => point.y_low)) };
    if (named.on()) nameFronts(plot, found, logs);
    const lines = found.flatMap(({ name, front }) => front.map((point) => ({ x: point.x, y: point.y, group: name })));
    const higher = axes.get(x.value()).better === "higher";
    drawing = drawing.then(() => claimbench.chart(canvas, "scatter", { points: plot, front: lines }, (spec) => {
      spec.layer.forEach((layer) => {
        for (const [axis, menu] of [["x", x], ["y", y]]) {
          if (!layer.encoding[axis]) continue;
          layer.encoding[axis].title = titles[menu.value()];
          if (logs[axis]) layer.encoding[axis].scale = { type: "log", nice: false };
        }
        for (const tip of layer.encoding.tooltip || []) if (tip.title === "x" || tip.title === "y") tip.title = tip.title === "x" ? "Across" : "Up";
        if (layer.mark.interpolate) layer.mark.interpolate = higher ? "step-before" : "step-after";
      });
    }));
    found_table.redraw();
    refreshClear();
    return drawing;
  }
  const better = (menu) => {
    const axis = axes.get(menu.value());
    return `${axis.title}: ${axis.better === "higher" ? "more" : "less"} is better`;
  };

  // The table: the plot's axes first, then what most readers ask for.
  const asked = ["imagenet1k_top1", "params", "macs", "throughput", "latency", "memory_peak", "energy"].filter((key) => axes.has(key));
  const value = (key) => (point) => (claimbench.own(point.values, key) || [null])[0];
  const cell = (key) => (point) => {
    const found = claimbench.own(point.values, key);
    if (!found) return "";
    const spread = claimbench.spread(found[0], found[1], found[2]);
    const borrowed = found[3] === "r" && point.evidence === "measured" ? " (reported)" : "";
    return `${claimbench.number(found[0])}${spread ? ` ${spread}` : ""}${borrowed}`;
  };
  const pick = (point) => el("input", { type: "checkbox", "aria-label": `Choose ${name(point)}`, checked: chosen().has(identity(point)), onchange: (event) => choose(point, event.target.checked) });
  const columns = [
    { key: "chosen", title: "Choose", text: (point) => (chosen().has(identity(point)) ? "chosen" : ""), node: pick },
    { key: "model", title: "Model", text: name, node: (point) => el("a", { href: link(point) }, name(point)) },
    !onPaper && { key: "paper", title: "Paper", text: (point) => point.paper },
    { key: "evidence", title: "Evidence", text: (point) => point.evidence },
    { key: "device", title: "Machine", wide: true, text: (point) => point.device || (point.evidence === "measured" ? "any" : "") },
    { key: "how", title: "Conditions", wide: true, text: (point) => [point.precision, point.batch && `batch ${point.batch}`, point.mode, point.quick && "quick"].filter(Boolean).join(", ") },
    ...[...axes.keys()].map((key) => ({ key, title: titles[key], text: cell(key), sort: value(key), numeric: true, hidden: !asked.includes(key) })),
  ].filter(Boolean);

  const table = el("table", { class: "figures" });
  const filters = el("form", { class: "filters", role: "search", "aria-label": "What to plot" });
  filters.addEventListener("submit", (event) => event.preventDefault());
  const clear = el("button", { type: "button", onclick: () => {
    state.clear(["models", "only", "x", "y", "names", "xscale", "yscale", "points.q", "points.sort", ...menus.map((menu) => menu.select.name)]);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } }, "Show all");
  const refreshClear = () => { clear.textContent = chosen().size ? `Show all (${chosen().size} chosen)` : "Show all"; };
  const figure = el("figure", {}, canvas, el("figcaption", {}, status, spoken));
  place.replaceChildren(filters, figure, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The models as a table" }, table));
  const found_table = claimbench.table(table, columns, points, { name: "points", label: "The models as a table", size: onPaper ? 10 : 25, filter: fits });
  const toggles = el("fieldset", { class: "columns" }, el("legend", {}, "Columns of the table"), ...columns.slice(1).map((column, index) => {
    const api = found_table.table.column(index + 1);
    const input = el("input", { type: "checkbox", checked: !column.hidden, onchange: () => api.visible(input.checked) });
    return el("label", { class: "check" }, input, el("span", {}, column.title));
  }));
  filters.append(x.label, y.label, ...menus.map((menu) => menu.label), logX.label, logY.label, found_table.search("Search the table"), named.label, chosenOnly.label, clear);
  place.append(claimbench.export.buttons(() => {
    const shown = found_table.shown();
    return { titles: shown.titles.slice(1), numeric: shown.numeric.slice(1), rows: shown.rows.map((row) => row.slice(1)) };
  }, place.dataset.file || "models"), el("details", {}, el("summary", {}, "Choose columns"), toggles));
  state.changed(draw);
  claimbench.themed(draw);
  draw();
});
