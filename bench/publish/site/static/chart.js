// Charts: Vega-Lite specifications from the build, drawn with the page's data in the page's colours.
"use strict";

claimbench.chart = async (element, name, datasets, change = () => {}) => {
  const css = getComputedStyle(document.documentElement);
  const colour = (variable) => css.getPropertyValue(variable).trim();
  const spec = JSON.parse(JSON.stringify(claimbench.charts[name]));
  spec.datasets = datasets;
  change(spec);
  const text = { labelColor: colour("--muted"), titleColor: colour("--ink"), labelFontSize: 12, titleFontSize: 12 };
  const config = {
    background: "transparent",
    font: "system-ui, sans-serif",
    axis: { ...text, gridColor: colour("--line"), domainColor: colour("--muted"), tickColor: colour("--muted"), titleFontWeight: 500, titlePadding: 10 },
    legend: { ...text, symbolStrokeColor: colour("--ink"), labelLimit: 520, layout: { bottom: { anchor: "start", direction: "vertical", margin: 8 } } },
    text: { color: colour("--ink"), fill: colour("--ink") },
    rule: { color: colour("--ink") },
    range: { category: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => colour(`--series-${number}`)) },
    ...spec.config,
  };
  const many = Object.values(datasets).reduce((sum, rows) => sum + rows.length, 0) > 1500;
  const options = { actions: false, ast: true, defaultStyle: false, renderer: many ? "canvas" : "svg", tooltip: { disableDefaultStyle: true }, config };
  const result = await vegaEmbed(element, spec, options);
  result.view.addEventListener("click", (event, item) => {
    if (item && item.datum && item.datum.href) location.href = item.datum.href;
  });
  element.dataset.drawn = String(Number(element.dataset.drawn || 0) + 1);
  return result;
};

// Draw again where the reader's system turns dark or light.
claimbench.themed = (draw) => matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
