// The tables of figures: on a paper's page all rows with their verdicts, on a machine's page what was measured there.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("rows");
  if (!place) return;
  const { el, data, state } = claimbench;
  const rows = data.rows;
  const onMachine = Boolean(data.pages);
  const name = (row) => (row.form ? `${row.model} (${row.form})` : row.model);
  const paperLink = (row) => `${claimbench.root}papers/${data.pages[row.paper]}.html`;

  const by = (row) => (["differs", "better"].includes(row.verdict) ? row.detail : "");

  const columns = [
    { key: "model", title: "Model", text: name },
    { key: "metric", title: "Metric", wide: true, text: (row) => row.metric },
    { key: "conditions", title: "Conditions", wide: true, text: (row) => row.conditions },
    { key: "reported", title: "Reported", text: (row) => row.reported, numeric: true, sort: (row) => (row.reported ? parseFloat(row.reported) : null) },
    { key: "measured", title: "Measured", text: (row) => row.measured, numeric: true, sort: (row) => row.value },
    { key: "verdict", title: "Verdict", text: (row) => `${claimbench.degree(row)} ${by(row)}`.trim(), node: (row) => claimbench.verdict(claimbench.degree(row), by(row)) },
    { key: "why", title: "Why", hidden: true, text: (row) => row.detail || "" },
  ];
  if (onMachine) {
    columns.splice(0, 0, { key: "paper", title: "Paper", text: (row) => row.paper, node: (row) => el("a", { href: paperLink(row) }, row.paper) });
    columns.splice(columns.findIndex((column) => column.key === "reported"), 1);
    columns.push({ key: "time", title: "Day", short: true, text: (row) => (row.time || "").slice(0, 10) });
  }

  const show = claimbench.evidence.figure;
  const evidence = (row) => (onMachine
    ? el("a", { class: "evidence", href: `${paperLink(row)}#row=${row.id}`, "aria-label": `Evidence: ${name(row)}, ${row.metric}` }, "evidence")
    : claimbench.evidence.button(row, show, `${name(row)}, ${row.metric}`));
  const shownColumns = [...columns, { key: "evidence", title: "Evidence", text: () => "", node: evidence }];

  const changed = () => found.redraw();
  const degrees = { holds: "holds", explained: "differs, explained", off: "off", open: "not measured or comparable", "not reported": "nobody reports it" };
  const menus = [
    onMachine && claimbench.menu("paper", "Paper", rows, (row) => row.paper, changed),
    claimbench.menu("verdict", "Verdict", rows, (row) => row.degree, changed, { titles: degrees }),
    claimbench.menu("model", "Model", rows, (row) => row.model, changed),
    claimbench.menu("metric", "Metric", rows, (row) => row.metric, changed),
    !onMachine && claimbench.menu("device", "Machine", rows, (row) => row.device, changed),
    claimbench.menu("precision", "Precision", rows, (row) => row.precision, changed),
    claimbench.menu("batch", "Batch", rows, (row) => row.batch, changed),
    claimbench.menu("mode", "Mode", rows, (row) => row.mode, changed),
  ].filter(Boolean);

  const table = el("table", { class: "figures" });
  const controls = el("form", { class: "filters", role: "search", "aria-label": "Filter the rows" });
  controls.addEventListener("submit", (event) => event.preventDefault());
  const scroller = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": place.dataset.label }, table);
  place.replaceChildren(controls, scroller);
  const found = claimbench.table(table, shownColumns, rows, {
    name: "t", label: place.dataset.label, size: 25, filter: (row) => menus.every((menu) => menu.fits(row)),
  });
  const wide = () => ({ ...found.shown() });
  const exported = () => {
    const shown = wide();
    const last = shown.titles.indexOf("Evidence");
    const cut = (list) => list.filter((_, index) => index !== last);
    return { titles: cut(shown.titles), numeric: cut(shown.numeric), rows: shown.rows.map(cut) };
  };
  const reset = el("button", { type: "button", onclick: () => {
    state.clear(["q", "sort", "paper", "verdict", "model", "metric", "device", "precision", "batch", "mode"]);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } }, "Show all");
  controls.append(found.search("Search"), ...menus.map((menu) => menu.label), reset);
  place.append(claimbench.export.buttons(exported, place.dataset.file));
  found.redraw();
  const seen = () => { if (state.get("verdict")) place.scrollIntoView(); }; // a link to some of the rows
  state.changed(seen);
  seen();
  if (!onMachine) claimbench.evidence.linked(rows, show);
});
