// An operator's page: its timings, how far they are from the roofline, and its speed against plain PyTorch.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("timings");
  if (!place || !claimbench.data.rows.length) return;
  const { el, data, state } = claimbench;
  const rows = data.rows;
  const { number } = claimbench;
  const ratio = (found) => (found ? `${number(found.ratio, 3)}×${found.low ? ` [${number(found.low, 3)}, ${number(found.high, 3)}]` : ""}` : "");
  const speed = (key, title) => ({ key, title, numeric: true, sort: (row) => (row[key] && row[key].ratio) || null, text: (row) => ratio(row[key]),
    node: (row) => (row[key] && row[key].ratio ? el("span", {}, ratio(row[key]), " ", claimbench.verdict(row[key].verdict)) : document.createTextNode("")) });
  const columns = [
    { key: "device", title: "Machine", text: (row) => row.device },
    { key: "case", title: "Problem", wide: true, text: (row) => `${row.case}` },
    { key: "dtype", title: "Type", text: (row) => `${row.dtype}` },
    { key: "direction", title: "Pass", text: (row) => `${row.direction}` },
    { key: "implementation", title: "Implementation", text: (row) => `${row.implementation}` },
    { key: "ms", title: "Time (ms)", numeric: true, sort: (row) => row.ms, text: (row) => (row.ms === null ? `${row.status}: ${row.reason}` : `${number(row.ms)} ${claimbench.spread(row.ms, row.low, row.high)}`.trim()) },
    { key: "memory", title: "Peak memory (MiB)", numeric: true, sort: (row) => row.memory_mib, text: (row) => number(row.memory_mib) },
    { key: "roofline", title: "Of roofline", numeric: true, sort: (row) => row.roofline, text: (row) => (row.roofline === null ? "" : `${number(100 * row.roofline, 3)} % (${row.bound})`) },
    speed("plain", "Against plain PyTorch"),
    speed("compiled", "Against torch.compile"),
    { key: "evidence", title: "Evidence", text: () => "", node: (row) => claimbench.evidence.button(row, claimbench.evidence.timing, `${row.implementation}, ${row.case}`) },
  ];
  const changed = () => { found.redraw(); draw(); };
  const menus = [
    claimbench.menu("device", "Machine", rows, (row) => row.device, changed),
    claimbench.menu("dtype", "Type", rows, (row) => row.dtype, changed),
    claimbench.menu("direction", "Pass", rows, (row) => row.direction, changed),
    claimbench.menu("implementation", "Implementation", rows, (row) => row.implementation, changed),
  ];
  const fits = (row) => menus.every((menu) => menu.fits(row));
  const table = el("table", { class: "figures" });
  const controls = el("form", { class: "filters", role: "search", "aria-label": "Filter the timings" });
  controls.addEventListener("submit", (event) => event.preventDefault());
  place.replaceChildren(controls, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Timings" }, table));
  const found = claimbench.table(table, columns, rows, { name: "t", label: "Timings", size: 25, filter: fits });
  controls.append(found.search("Search"), ...menus.map((menu) => menu.label));
  place.append(claimbench.export.buttons(() => {
    const shown = found.shown();
    const cut = (list) => list.slice(0, -1);
    return { titles: cut(shown.titles), numeric: cut(shown.numeric), rows: shown.rows.map(cut) };
  }, place.dataset.file));

  const problem = (row) => [row.case, row.dtype, row.direction].join(", ");
  // A problem's name, as far as the shown rows differ in it.
  function short(shown) {
    const varied = ["implementation", "dtype", "direction"].filter((key) => new Set(shown.map((row) => row[key])).size > 1);
    return (row) => [row.case, ...varied.map((key) => row[key])].join(", ");
  }

  function speeds(all) {
    const shown = all.filter((row) => row.implementation !== "compiled" && !String(row.implementation).startsWith("reference"));
    const title = short(shown);
    const bars = [];
    for (const row of shown) {
      for (const [key, against] of [["plain", "plain PyTorch"], ["compiled", "torch.compile"]]) {
        const one = row[key];
        if (one)
          bars.push({ y: title(row), series: against, x: one.ratio, x_low: one.low ?? one.ratio, x_high: one.high ?? one.ratio,
            tip: [["Problem", title(row)], ["Against", against], ["Speed", ratio(one)], ["Verdict", one.verdict]] });
      }
    }
    return bars;
  }

  function roof(shown) {
    const points = shown.filter((row) => row.intensity && row.gflops).map((row) => ({
      x: row.intensity, y: row.gflops, series: row.implementation,
      tip: [["Implementation", row.implementation], ["Problem", problem(row)], ["Speed", `${number(row.gflops)} GFLOP/s`],
        ["Of the roofline", row.roofline === null ? "" : `${number(100 * row.roofline, 3)} % (${row.bound})`]] }));
    const ceilings = new Map();
    for (const row of shown)
      if (row.peak_gflops && row.peak_gbytes) ceilings.set(`${row.device}, ${row.dtype}${row.threads ? `, ${row.threads} threads` : ""}`, row);
    const lines = [];
    const [least, most] = [Math.min(...points.map((point) => point.x), 1) / 2, Math.max(...points.map((point) => point.x), 1) * 2];
    for (const [ceiling, row] of ceilings) {
      const ridge = row.peak_gflops / row.peak_gbytes;
      const corners = [Math.min(least, ridge / 2), ridge, Math.max(most, ridge * 2)];
      lines.push({ series: ceiling, dash: lines.length ? `${2 + 2 * lines.length} 3` : null, points: corners.map((x) => ({ x, y: Math.min(row.peak_gflops, x * row.peak_gbytes) })) });
    }
    return { points, lines };
  }

  function draw() {
    const shown = rows.filter(fits);
    const bars = speeds(shown);
    const under = roof(shown);
    const speedups = document.getElementById("speedups");
    const roofline = document.getElementById("roofline");
    if (bars.length) claimbench.chart(speedups, {
      label: "Speed against plain PyTorch and torch.compile", height: 76 + 40 * new Set(bars.map((bar) => bar.y)).size, rule: 1,
      x: { title: "times as fast (1 is equal)", kind: "linear", zero: true }, y: { title: "", kind: "names" }, series: ["plain PyTorch", "torch.compile"], bars,
    });
    else speedups.textContent = "No backend fits.";
    if (under.points.length) claimbench.chart(roofline, {
      label: "Speed against arithmetic intensity, under the ceilings of the machine", height: 320,
      x: { title: "FLOPs a byte", kind: "log" }, y: { title: "GFLOP/s", kind: "log" },
      series: [...new Set([...under.points, ...under.lines].map((mark) => mark.series))], ...under,
    });
    else roofline.textContent = "No timing fits.";
  }
  claimbench.evidence.linked(rows, claimbench.evidence.timing);
  found.redraw();
  draw();
});
