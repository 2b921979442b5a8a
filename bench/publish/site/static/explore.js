// Any figure of any models against any other: the plot, its Pareto fronts, and a table with one row a model.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("explore");
  if (!place) return;
  const { el, data, state } = claimbench;
  const axes = new Map(data.axes.map((axis) => [axis.key, axis]));
  const points = data.points;
  if (!points.length) {
    place.replaceChildren(el("p", {}, "There is nothing to plot yet."));
    return;
  }
  const TIMED = ["time", "memory", "energy"];
  const BORROWED = "measured cost, reported score";
  const SHAPES = { measured: ["circle", true], [BORROWED]: ["triangle", true], reported: ["diamond", false] };
  const onPaper = place.dataset.paper !== undefined;
  const prefix = onPaper ? "plot." : ""; // the page's other table has filters of its own
  const timed = (key) => Boolean(axes.get(key)) && TIMED.includes(axes.get(key).kind);
  const name = (point) => (point.form ? `${point.model} (${point.form})` : point.model);
  const title = (axis) => (axis.unit ? `${axis.title} (${axis.unit})` : axis.title);
  const count = (key) => points.filter((point) => claimbench.own(point.values, key)).length;
  const figure = (values, key) => (claimbench.own(values, key) || [null])[0];

  // A model is a row; its points are its forms and conditions.
  const models = [...points.reduce((map, point) => {
    const id = `${point.paper}/${point.model}`;
    return map.set(id, [...(map.get(id) || []), point]);
  }, new Map())].map(([id, own]) => ({ id, all: own, first: own[0], values: merged(own), shown: own }));
  models.forEach((model) => model.all.forEach((point) => { point.of = model; }));

  // The figures of a row: of each axis a measured one before a reported one, and then the first.
  function merged(own) {
    const found = Object.create(null);
    for (const point of own)
      for (const [key, value] of Object.entries(point.values))
        if (!Object.hasOwn(found, key) || (found[key][3] === "r" && value[3] === "m")) found[key] = value;
    return found;
  }

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

  // A bound on a figure of the model; one whose figure is not known does not fit it.
  const bound = (id, label, key, fits) => {
    const input = el("input", { type: "number", name: id, min: 0, step: "any", inputmode: "decimal", oninput: () => { state.set(id, input.value); draw(); } });
    const read = () => { input.value = state.get(id); };
    read();
    state.changed(read);
    return { label: el("label", {}, el("span", {}, label), input), fits: (point) => {
      if (input.value === "") return true;
      const value = figure(point.values, key()) ?? figure(point.of.values, key());
      return value !== null && fits(value, Number(input.value));
    } };
  };
  const score = () => (axes.get(y.value()).kind === "quality" ? y.value() : "imagenet1k_top1");
  const bounds = onPaper ? [] : [
    bound("macs_below", "MACs below (G; papers’ FLOPs)", () => "macs", (value, most) => value < most),
    bound("params_below", "Parameters below (M)", () => "params", (value, most) => value < most),
    bound("score_above", "Score above", score, (value, least) => value > least),
  ];

  const changed = () => draw();
  const usual = (initial) => (onPaper ? {} : { initial });
  const stated = (text) => text || "not stated";
  const menus = [
    !onPaper && claimbench.menu(`${prefix}task`, "Task", points, (point) => point.task, changed, { titles: data.tasks || {} }),
    claimbench.menu(`${prefix}kind`, "Models", points, (point) => (point.own ? "own" : "others"), changed, { titles: { own: "of the papers", others: "that they compare with" }, ...usual("own") }),
    !onPaper && claimbench.menu(`${prefix}pretraining`, "Pre-training", points, (point) => stated(point.pretraining), changed),
    claimbench.menu(`${prefix}size`, "Input", points, (point) => point.size, changed),
    !onPaper && claimbench.menu(`${prefix}token_labels`, "Token labels", points, (point) => stated(point.token_labels), changed),
    !onPaper && claimbench.menu(`${prefix}distilled`, "Distilled", points, (point) => stated(point.distilled), changed),
    !onPaper && claimbench.menu(`${prefix}paper`, "Paper", points, (point) => point.paper, changed),
    claimbench.menu(`${prefix}evidence`, "Evidence", points, (point) => point.evidence, changed, usual("measured")),
    claimbench.menu(`${prefix}device`, "Machine", points, (point) => point.device, changed),
    claimbench.menu(`${prefix}precision`, "Precision", points, (point) => point.precision, changed),
    claimbench.menu(`${prefix}batch`, "Batch", points, (point) => point.batch, changed),
    claimbench.menu(`${prefix}mode`, "Mode", points, (point) => point.mode, changed),
  ].filter(Boolean);
  const machineMenus = new Set(["device", "precision", "batch", "mode"].map((name) => prefix + name));

  const chosen = () => new Set(state.get("models") ? state.get("models").split("|") : []);
  const choose = (model, on) => {
    const now = chosen();
    if (on) now.add(model.id);
    else now.delete(model.id);
    state.set("models", [...now].join("|"));
    if (chosenOnly.on()) draw();
    else refreshClear();
  };

  // A point without a machine is a count that holds on every machine: menus of machines let it pass.
  const fits = (point) => menus.every((menu) => menu.fits(point) || (machineMenus.has(menu.select.name) && !point.device && point.evidence === "measured"))
    && bounds.every((one) => one.fits(point))
    && (!chosenOnly.on() || chosen().has(point.of.id));

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
      const evidence = point.evidence === "measured" && [a[3], b[3]].includes("r") ? BORROWED : point.evidence;
      const one = { x: a[0], x_low: a[1] ?? a[0], x_high: a[2] ?? a[0], y: b[0], y_low: b[1] ?? b[0], y_high: b[2] ?? b[0],
        model: name(point), series: group(point, keyX, keyY), evidence, href: link(point) };
      [one.shape, one.filled] = SHAPES[evidence];
      one.tip = [["Model", one.model], ["Across", `${axes.get(keyX).title}: ${text(keyX, a)}`], ["Up", `${axes.get(keyY).title}: ${text(keyY, b)}`],
        ["Evidence", evidence], ["Conditions", timed(keyX) || timed(keyY) ? where(point) : point.size], ["Pre-training", point.pretraining], ["Paper", point.paper]];
      const same = [one.model, point.paper, evidence, one.series, one.x, one.y].join("|");
      if (seen.has(same)) continue;
      seen.add(same);
      found.push(one);
    }
    return found;
  }

  const pages = data.pages || {};
  const link = (point) => (onPaper ? `#model=${encodeURIComponent(point.model)}` : `${claimbench.root}papers/${pages[point.paper]}.html#model=${encodeURIComponent(point.model)}`);

  function fronts(plot) {
    const groups = plot.reduce((map, point) => map.set(point.series, [...(map.get(point.series) || []), point]), new Map());
    return [...groups].map(([series, members]) => ({ series, front: claimbench.pareto(members, axes.get(x.value()).better, axes.get(y.value()).better) }));
  }

  const canvas = el("div", { class: "chart", id: "chart" });
  const spoken = el("div", { id: "front", class: "front" });
  const status = el("p", { role: "status", class: "quiet" });

  function draw() {
    const shown = points.filter(fits);
    const plot = plotted(shown);
    const found = fronts(plot);
    status.textContent = plot.length
      ? `${plot.length} points: ${titles[y.value()]} against ${titles[x.value()]}. ${better(x)}; ${better(y)}.`
      : `No model that fits the filters has both ${titles[x.value()]} and ${titles[y.value()]}: choose other axes or fewer filters.`;
    spoken.replaceChildren(...found.slice(0, 6).map(({ series, front }) =>
      el("p", {}, el("strong", {}, `Pareto front, ${series}: `), front.slice(0, 30).map((point) => point.model).join(", "), front.length > 30 ? ` and ${front.length - 30} more` : "")));
    if (named.on()) found.flatMap(({ front }) => front).forEach((point) => { point.name = point.model; });
    const kind = (log, axis) => (log.on(plot.map((point) => point[`${axis}_low`])) ? "log" : "linear");
    canvas.hidden = !plot.length;
    const higher = axes.get(x.value()).better === "higher";
    if (!plot.length) canvas.dataset.drawn = "0";
    else claimbench.chart(canvas, {
      label: status.textContent,
      x: { title: titles[x.value()], kind: kind(logX, "x") },
      y: { title: titles[y.value()], kind: kind(logY, "y") },
      series: found.map(({ series }) => series),
      shapes: Object.entries(SHAPES).filter(([evidence]) => plot.some((point) => point.evidence === evidence)).map(([evidence, [shape, filled]]) => [evidence, shape, filled]),
      lines: found.map(({ series, front }) => ({ series, step: higher ? "before" : "after", points: front.map((point) => ({ x: point.x, y: point.y })) })),
      points: plot,
    });
    const fitting = new Set(shown);
    models.forEach((model) => {
      model.shown = model.all.filter((point) => fitting.has(point));
      model.values = merged(model.shown.length ? model.shown : model.all);
    });
    found_table.table.rows().invalidate();
    found_table.redraw();
    refreshClear();
  }
  const better = (menu) => {
    const axis = axes.get(menu.value());
    return `${axis.title}: ${axis.better === "higher" ? "more" : "less"} is better`;
  };

  // The table: a score and costs first, then what tells models apart.
  const asked = ["imagenet1k_top1", "params", "macs", "throughput"].filter((key) => count(key) > 0);
  const cell = (key) => (model) => {
    const found = claimbench.own(model.values, key);
    if (!found) return "";
    const spread = claimbench.spread(found[0], found[1], found[2]);
    const measured = model.shown.some((point) => point.evidence === "measured");
    return `${claimbench.number(found[0])}${spread ? ` ${spread}` : ""}${found[3] === "r" && measured ? " (reported)" : ""}`;
  };
  const evidence = (model) => {
    if (!model.shown.some((point) => point.evidence === "measured")) return "reported";
    const own = Object.entries(model.values).filter(([key]) => axes.get(key).kind === "quality");
    return own.some(([, value]) => value[3] === "r") ? BORROWED : "measured";
  };
  const several = (of) => (model) => [...new Set(model.shown.map(of))].filter(Boolean).join(", ");
  const runs = (model) => [...new Set(model.shown.filter((point) => point.device).map((point) => {
    const speed = ["throughput", "latency"].filter((key) => claimbench.own(point.values, key)).map((key) => text(key, point.values[key])).join(", ");
    return [point.form, where(point), speed].filter(Boolean).join(": ");
  }))];
  const folded = (model) => {
    const [newest, ...others] = runs(model);
    if (!newest) return document.createTextNode("");
    return others.length ? el("details", {}, el("summary", {}, `${others.length + 1} conditions`), el("ul", {}, ...[newest, ...others].map((one) => el("li", {}, one)))) : document.createTextNode(newest);
  };
  const pick = (model) => el("input", { type: "checkbox", "aria-label": `Choose ${model.first.model}`, checked: chosen().has(model.id), onchange: (event) => choose(model, event.target.checked) });
  const numeric = (key) => ({ key, title: titles[key], text: cell(key), sort: (model) => figure(model.values, key), numeric: true, hidden: !asked.includes(key) });
  const columns = [
    { key: "chosen", title: "Choose", text: (model) => (chosen().has(model.id) ? "chosen" : ""), node: pick },
    { key: "model", title: "Model", text: (model) => model.first.model, node: (model) => el("a", { href: link(model.first) }, model.first.model) },
    !onPaper && { key: "paper", title: "Paper", text: (model) => model.first.paper },
    ...asked.map(numeric),
    { key: "evidence", title: "Evidence", wide: true, text: evidence },
    { key: "size", title: "Input", text: several((point) => point.size) },
    !onPaper && { key: "pretraining", title: "Pre-training", text: (model) => model.first.pretraining },
    !onPaper && { key: "token_labels", title: "Token labels", text: (model) => model.first.token_labels },
    !onPaper && { key: "distilled", title: "Distilled", hidden: true, text: (model) => model.first.distilled },
    { key: "how", title: "Conditions", wide: true, text: (model) => runs(model).join("; "), node: folded },
    ...[...axes.keys()].filter((key) => !asked.includes(key)).map(numeric),
  ].filter(Boolean);

  const table = el("table", { class: "figures" });
  const filters = el("form", { class: "filters", role: "search", "aria-label": "What to plot" });
  filters.addEventListener("submit", (event) => event.preventDefault());
  const clear = el("button", { type: "button", onclick: () => {
    state.clear(["models", "only", "x", "y", "names", "xscale", "yscale", "points.q", "points.sort", "macs_below", "params_below", "score_above", ...menus.map((menu) => menu.select.name)]);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } }, "Show all");
  const refreshClear = () => { clear.textContent = chosen().size ? `Show all (${chosen().size} chosen)` : "Show all"; };
  place.replaceChildren(filters, el("figure", {}, canvas, el("figcaption", {}, status, spoken)), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The models as a table" }, table));
  const score_column = columns.findIndex((column) => column.key === usualY && column.numeric);
  const found_table = claimbench.table(table, columns, models, { name: "points", label: "The models as a table", size: onPaper ? 10 : 25, filter: (model) => model.shown.length > 0, order: score_column < 0 ? [] : [[score_column, "desc"]] });
  const toggles = el("fieldset", { class: "columns" }, el("legend", {}, "Columns of the table"), ...columns.slice(1).map((column, index) => {
    const api = found_table.table.column(index + 1);
    const input = el("input", { type: "checkbox", checked: !column.hidden, onchange: () => api.visible(input.checked) });
    return el("label", { class: "check" }, input, el("span", {}, column.title));
  }));
  // What few readers ask for is folded, unless it is chosen.
  const asked_first = new Set(["task", "kind", "pretraining", "size", "token_labels"].map((name) => prefix + name));
  const [front, behind] = [menus.filter((menu) => asked_first.has(menu.select.name)), menus.filter((menu) => !asked_first.has(menu.select.name))];
  const open = [...behind.map((menu) => menu.select.name), "xscale", "yscale"].some((name) => state.get(name));
  const more = el("details", { class: "more", open }, el("summary", {}, "More filters"), el("div", {}, ...behind.map((menu) => menu.label), logX.label, logY.label));
  filters.append(...bounds.map((one) => one.label), x.label, y.label, ...front.map((menu) => menu.label), found_table.search("Search the table"), named.label, chosenOnly.label, clear, more);
  place.append(claimbench.export.buttons(() => {
    const shown = found_table.shown();
    return { titles: shown.titles.slice(1), numeric: shown.numeric.slice(1), rows: shown.rows.map((row) => row.slice(1)) };
  }, place.dataset.file || "models"), el("details", {}, el("summary", {}, "Choose columns"), toggles));
  state.changed(draw);
  draw();
});
