// A table as it is shown (its columns, filters and order) as CSV, Markdown and LaTeX.
"use strict";

claimbench.export = (() => {
  const LATEX = {
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "$": "\\$", "&": "\\&", "#": "\\#", "%": "\\%", "_": "\\_",
    "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}",
    "|": "\\textbar{}", "[": "{[}", "]": "{]}", "±": "\\ensuremath{\\pm}", "×": "\\ensuremath{\\times}", '"': "''",
    "≈": "\\ensuremath{\\approx}", "–": "--", "\u00a0": "~",
  };

  // A text that a spreadsheet would run as a formula begins with an apostrophe; numbers stay numbers.
  function csvCell(text) {
    const formula = /^\s*[=+\-@]/.test(text) && !/^\s*[+-]?[\d.,]+(e[+-]?\d+)?\s*$/i.test(text);
    const safe = formula ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  const markdownCell = (text) =>
    text.replace(/[\\`*_[\]|~#$]/g, "\\$&").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const latexCell = (text) => [...text].map((character) => LATEX[character] || character).join("");

  const formats = {
    csv: (table) => [table.titles, ...table.rows].map((row) => row.map(csvCell).join(",")).join("\n") + "\n",

    markdown(table) {
      const cells = [table.titles, ...table.rows].map((row) => row.map(markdownCell));
      const rule = table.titles.map((_, i) => (table.numeric[i] ? "---:" : "---"));
      return [cells[0], rule, ...cells.slice(1)].map((row) => `| ${row.join(" | ")} |`).join("\n") + "\n";
    },

    latex(table) {
      const line = (row) => `${row.map(latexCell).join(" & ")} \\\\`;
      return [
        "% needs \\usepackage{booktabs}",
        `\\begin{tabular}{${table.numeric.map((numeric) => (numeric ? "r" : "l")).join("")}}`,
        "\\toprule", line(table.titles), "\\midrule", ...table.rows.map(line), "\\bottomrule", "\\end{tabular}", "",
      ].join("\n");
    },
  };

  const FILES = { csv: ["CSV", "csv", "text/csv"], markdown: ["Markdown", "md", "text/markdown"], latex: ["LaTeX", "tex", "text/x-tex"] };

  // Show the text in a dialog, to copy or to save.
  function show(format, table, name) {
    const { el } = claimbench;
    const text = formats[format](table);
    const [title, ending, type] = FILES[format];
    const area = el("textarea", { readonly: true, rows: 14, spellcheck: "false", "aria-label": `The table as ${title}` });
    area.value = text;
    const copied = el("span", { role: "status" });
    const copy = el("button", { type: "button", onclick: () => {
      area.select();
      document.execCommand("copy"); // the newer interface is closed to pages from the file system
      copied.textContent = "Copied.";
    } }, "Copy");
    const address = URL.createObjectURL(new Blob([text], { type }));
    const save = el("a", { class: "button", href: address, download: `${name}.${ending}` }, `Save ${name}.${ending}`);
    const body = el("div", {}, el("p", {}, `${table.rows.length} rows, as they are shown now.`), area, el("p", { class: "actions" }, copy, save, copied));
    claimbench.dialog(`As ${title}`, body, () => URL.revokeObjectURL(address));
  }

  // Three buttons; table() gives {titles, numeric, rows} as shown.
  function buttons(table, name) {
    const { el } = claimbench;
    const all = Object.entries(FILES).map(([format, [title]]) =>
      el("button", { type: "button", "data-export": format, onclick: () => show(format, table(), name) }, title));
    return el("div", { class: "export", role: "group", "aria-label": "Export what is shown" }, el("span", {}, "Export"), ...all);
  }

  return { formats, buttons };
})();

// A dialog of the browser's own, which keeps the focus and closes with Escape.
claimbench.dialog = (title, body, closed) => {
  const { el } = claimbench;
  const heading = el("h2", { id: "dialog-title" }, title);
  const close = el("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close");
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, el("header", {}, heading, close), body);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (closed) closed();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
};
