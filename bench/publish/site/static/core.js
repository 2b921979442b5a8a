// What every script shares. Texts go into pages as text nodes only: nothing here parses HTML.
"use strict";

const claimbench = {
  data: {},

  // Take the data of a page; see bench/publish/site/sanitising.py.
  put(name, text) {
    claimbench.data[name] = JSON.parse(text);
  },

  // Make an element: el("a", {href: "x"}, "text", child). Attributes that are null, undefined or false are left out.
  el(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "onclick" || name === "onchange" || name === "oninput") element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
  },

  // A number with about four digits, as tables print it.
  number(value, digits = 4) {
    if (value === null || value === undefined) return "";
    if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7)) return value.toExponential(2);
    return Number(value.toPrecision(digits)).toLocaleString("en", { maximumFractionDigits: 6, useGrouping: Math.abs(value) >= 1e4 });
  },

  // Half of an interval as a per cent of the value: its spread.
  spread(value, low, high) {
    if (low === null || high === null || low === undefined || high === undefined || !value) return "";
    const width = (100 * Math.max(high - value, value - low)) / Math.abs(value);
    return `± ${Number(width.toPrecision(2))} %`;
  },

  // What an object holds under a name that came from outside, or undefined: never what all objects inherit.
  own: (object, name) => (object && Object.hasOwn(object, name) ? object[name] : undefined),

  // A text as HTML, for the few places of a library that take nothing else.
  html: (text) => String(text).replace(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`),

  root: document.documentElement.dataset.root || "",
};

claimbench.marks = {
  exact: ["✔", "good"], "within rounding": ["✔", "good"], "within interval": ["✔", "good"], better: ["▲", "good"],
  explained: ["≈", "known"], off: ["✖", "bad"], "not comparable": ["○", "quiet"], "not measured": ["○", "quiet"],
  "not reported": ["–", "quiet"], faster: ["▲", "good"], slower: ["▼", "bad"], same: ["=", "quiet"], ambiguous: ["?", "mixed"],
};

// The word for a row's verdict: a difference is either explained or off.
claimbench.degree = (row) => (row.verdict === "differs" ? row.degree : row.verdict);

// A verdict with its mark; the words are always there, so neither colour nor shape is needed to read it.
claimbench.verdict = (text, detail) => {
  const [mark, tone] = claimbench.own(claimbench.marks, text) || ["·", "quiet"];
  const by = detail ? claimbench.el("span", { class: "by" }, ` ${detail}`) : null;
  return claimbench.el("span", { class: `verdict ${tone}` }, claimbench.el("span", { "aria-hidden": "true" }, `${mark} `), text, by);
};
