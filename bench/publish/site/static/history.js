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
  let drawing = Promise.resolve();

  function draw() {
    const fitting = lines.filter((line) => metric.fits(line) && model.fits(line) && (device.fits(line) || line.device === ""));
    const shown = [...fitting].sort((a, b) => b.points.length - a.points.length).slice(0, MOST);
    const runs = shown.flatMap((line) => line.points.map(([time, value, low, high, run, commit]) => ({
      time, value, low: low ?? value, high: high ?? value, run, commit: commit.slice(0, 12),
      line: [line.form ? `${line.model} (${line.form})` : line.model, line.device, line.conditions].filter(Boolean).join(", "),
      text: `${claimbench.number(value)} ${line.unit} ${claimbench.spread(value, low, high)}`.trim(),
    })));
    const [first] = shown;
    const more = fitting.length > shown.length ? ` The ${shown.length} lines with the most runs, of ${fitting.length}: choose a model for others.` : "";
    const cut = shown.some((line) => line.left_out) ? " Each line shows its newest 200 runs." : "";
    status.textContent = first ? `${first.metric}, ${shown.length} lines, ${runs.length} figures; the band is the 95 % interval.${more}${cut}` : "Nothing fits.";
    drawing = drawing.then(() => claimbench.chart(canvas, "history", { runs }, (spec) => {
      spec.layer.forEach((layer) => { layer.encoding.y.title = first && first.unit ? `${first.metric} (${first.unit})` : first ? first.metric : ""; });
    }));
  }

  claimbench.themed(draw);
  draw();
});
