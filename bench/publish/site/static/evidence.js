// How a figure was measured, or where it is reported: one click away from every row, and linkable (#row=...).
"use strict";

claimbench.evidence = (() => {
  const { el } = claimbench;

  function facts(pairs) {
    const list = el("dl", { class: "facts" });
    for (const [name, value] of pairs) {
      if (value === "" || value === null || value === undefined) continue;
      list.append(el("div", {}, el("dt", {}, name), el("dd", {}, value instanceof Node ? value : String(value))));
    }
    return list;
  }

  function environment(digest) {
    const known = claimbench.own(claimbench.data.environments, digest);
    if (!known) return digest || "";
    return el("details", {}, el("summary", {}, `${known.length} facts (${digest})`), facts(known));
  }

  const settings = (row) => Object.entries(row.settings || {}).map(([name, value]) => `${name.replaceAll("_", " ")} ${value === true ? "yes" : value}`).join(", ");
  const interval = (row) => (row.low === null || row.low === undefined ? "" : `${claimbench.number(row.low, 5)} to ${claimbench.number(row.high, 5)} ${row.unit}`);

  function taken(row) {
    if (!row.rounds) return "";
    const times = row.samples ? `, ${row.samples} samples` : "";
    return `${row.rounds} ${row.rounds === 1 ? "process" : "processes"}${times}`;
  }

  function notes(row) {
    return row.notes && row.notes.length ? el("ul", {}, ...row.notes.map((note) => el("li", {}, note))) : "";
  }

  const code = (text) => (text ? el("code", { class: "command", tabindex: 0 }, text) : "");

  // The evidence of a row of a paper.
  function figure(row) {
    const body = el("div", {}, facts([
      ["Verdict", claimbench.verdict(claimbench.degree(row), row.detail)],
      ["Reported", row.reported || "nothing"],
      ["Where", row.source],
      ["Measured", row.measured || "nothing"],
      ["95 % interval", interval(row)],
      ["Taken in", taken(row)],
      ["Method", row.method],
      ["Conditions", row.conditions],
      ["Settings", settings(row)],
      ["Notes", notes(row)],
      ["Machine", row.device],
      ["Environment", environment(row.environment)],
      ["Run", row.run],
      ["Time", row.time],
      ["Commit", row.commit],
      ["Measure it again", code(row.command)],
    ]));
    open(row, `${row.model}${row.form ? ` (${row.form})` : ""}: ${row.metric}`, body);
  }

  // The evidence of a timing of an operator.
  function timing(row) {
    const speed = (found) => (found ? `${claimbench.number(found.ratio, 3)}× (${found.verdict}; ${found.reason})` : "");
    const body = el("div", {}, facts([
      ["Problem", `${row.case}, ${row.dtype}, ${row.direction}`],
      ["Time", row.ms === null ? `${row.status}: ${row.reason}` : `${claimbench.number(row.ms)} ms`],
      ["95 % interval", row.low === null ? "" : `${claimbench.number(row.low, 5)} to ${claimbench.number(row.high, 5)} ms`],
      ["Against plain PyTorch", speed(row.plain)],
      ["Against torch.compile", speed(row.compiled)],
      ["Against the fastest", row.strongest && row.strongest.ratio ? `${row.strongest.name}: ${speed(row.strongest)}` : ""],
      ["Of the roofline", row.roofline === null ? "" : `${claimbench.number(100 * row.roofline, 3)} %, bound by ${row.bound}`],
      ["Ceilings", row.ceiling],
      ["Peak memory", row.memory_mib === null ? row.memory_reason : `${claimbench.number(row.memory_mib)} MiB`],
      ["Method", row.method],
      ["Threads", row.threads],
      ["Machine", row.device],
      ["Environment", environment(row.environment)],
      ["Time stamp", row.time],
      ["Commit", row.commit],
      ["Measure it again", code(row.command)],
    ]));
    open(row, `${row.implementation}: ${row.case}`, body);
  }

  function open(row, title, body) {
    claimbench.state.set("row", row.id);
    claimbench.dialog(title, body, () => claimbench.state.set("row", ""));
  }

  // Open the row that the address names.
  function linked(rows, show) {
    const open = () => {
      const wanted = claimbench.state.get("row");
      const row = wanted && rows.find((one) => one.id === wanted);
      if (row && !document.querySelector("dialog[open]")) show(row);
    };
    open();
    claimbench.state.changed(open);
  }

  const button = (row, show, name) => el("button", { type: "button", class: "evidence", "aria-label": `Evidence: ${name}`, onclick: () => show(row) }, "evidence");

  return { figure, timing, linked, button };
})();
