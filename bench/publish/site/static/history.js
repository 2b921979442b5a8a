// How a figure moved from run to run.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("history");
  if (!place) return;
  const { el, data, state } = claimbench;
  const lines = data.history;
  if (!lines.length) {
    place.replaceChildren(el("p", {}, "Nothing was measured yet."));
    return;
  }
  const changed = () => draw();
  const usual = (lines.find((line) => line.key === "throughput") || lines[0]).metric;
  const metric = claimbench.menu("history", "Metric", lines, (line) => line.metric, changed, { all: "", initial: usual });
  const model = claimbench.menu("history.model", "Model", lines, (line) => line.model, changed);
  const device = claimbench.menu("history.device", "Machine", lines, (line) => line.device, changed);
  const form = el("form", { class: "filters", "aria-label": "Choose the history" }, metric.label, model.label, device.label);
  form.addEventListener("submit", (event) => event.preventDefault());
  const canvas = el("div", { class: "chart" });
  const status = el("p", { role: "status", class: "quiet" });
  place.replaceChildren(form, el("figure", {}, canvas, el("figcaption", {}, status)));
  const MOST = 8;

  function draw() {
    const fitting = lines.filter((line) => metric.fits(line) && model.fits(line) && (device.fits(line) || line.device === ""));
    const shown = [...fitting].sort((a, b) => b.points.length - a.points.length).slice(0, MOST);
    const drawn = shown.map((line) => {
      const series = [line.form ? `${line.model} (${line.form})` : line.model, line.device, line.conditions].filter(Boolean).join(", ");
      const points = line.points.map(([time, value, low, high, run, commit]) => ({
        x: Date.parse(time), y: value, y_low: low ?? value, y_high: high ?? value, series,
        tip: [["Line", series], ["Value", `${claimbench.number(value)} ${line.unit} ${claimbench.spread(value, low, high)}`.trim()], ["Run", run], ["Commit", commit.slice(0, 12)]],
      }));
      return { series, points };
    });
    const runs = drawn.flatMap((line) => line.points);
    const [first] = shown;
    const more = fitting.length > shown.length ? ` The ${shown.length} lines with the most runs, of ${fitting.length}: choose a model for others.` : "";
    const cut = shown.some((line) => line.left_out) ? " Each line shows its newest 200 runs." : "";
    status.textContent = first ? `${first.metric}, ${shown.length} lines, ${runs.length} figures; the band is the 95 % interval.${more}${cut}` : "Nothing fits.";
    canvas.hidden = !runs.length;
    if (!runs.length) return;
    claimbench.chart(canvas, {
      label: status.textContent, height: 280, series: drawn.map((line) => line.series), lines: drawn, bands: drawn,
      x: { title: "run", kind: "time" }, y: { title: first.unit ? `${first.metric} (${first.unit})` : first.metric, kind: "linear" },
      points: runs.map((run) => ({ ...run, y_low: run.y, y_high: run.y })),
    });
  }

  draw();
});
