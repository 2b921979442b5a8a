// Tables: DataTables does the sorting, searching and paging; this file says what a cell holds and keeps the view in
// the address.
"use strict";

// Rows without a number stand last, whichever way they are sorted.
const blankLast = (sign) => (a, b) => {
  const blanks = [a, b].map((value) => value === null || value === "" || value === undefined);
  if (blanks[0] || blanks[1]) return blanks[0] - blanks[1];
  return sign * (a - b);
};
DataTable.type("blanks-last", { order: { asc: blankLast(1), desc: blankLast(-1) } });

// Columns are {key, title, numeric, hidden, text(row), node(row), sort(row)}; node, if given, makes what is shown, and
// text is what searching and exporting see.
claimbench.table = (element, columns, rows, options) => {
  const { el, state } = claimbench;
  const { name, label, size = 25, order = [], filter = () => true } = options;
  const key = (part) => (name === "t" ? part : `${name}.${part}`);

  // DataTables may read what it searches as HTML, so that gets no character that HTML knows.
  const plain = (text) => text.replace(/[<>&]/g, " ");
  const value = (column, row) => (column.sort ? column.sort(row) : column.text(row));

  const table = new DataTable(element, {
    data: rows,
    columns: columns.map((column) => ({
      title: claimbench.html(column.title),
      name: column.key,
      type: column.numeric ? "blanks-last" : "string",
      visible: !column.hidden,
      className: [`c-${column.key}`, column.numeric ? "numeric" : column.wide ? "wide" : column.short ? "short" : ""].join(" "),
      orderSequence: column.numeric ? ["desc", "asc"] : ["asc", "desc"],
      data: null,
      render: (_, type, row) => {
        if (type === "display") return column.node ? column.node(row) : document.createTextNode(column.text(row));
        if (type === "sort" || type === "type") return value(column, row);
        return plain(column.text(row));
      },
    })),
    order: readOrder(),
    search: { search: state.get(key("q")) },
    pageLength: size,
    autoWidth: false,
    deferRender: true,
    layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
    language: { info: "_START_ to _END_ of _TOTAL_", infoFiltered: "(of _MAX_)", infoEmpty: "none", emptyTable: "Nothing is stored.", zeroRecords: "Nothing fits the filters." },
  });

  function readOrder() {
    const chosen = state.get(key("sort"));
    const index = columns.findIndex((column) => column.key === chosen.replace(/^-/, ""));
    return index < 0 ? order : [[index, chosen.startsWith("-") ? "desc" : "asc"]];
  }

  // Each table's pages are a landmark of their own, so they need a name of their own.
  const namePages = () => {
    const pages = table.table().container().querySelector(".dt-paging nav");
    if (pages) pages.setAttribute("aria-label", `Pages: ${label}`);
  };
  table.on("draw", namePages);
  namePages();

  table.search.fixed("filters", (_, row) => filter(row));

  let reading = false;
  table.on("order", () => {
    if (reading) return;
    const [first] = table.order();
    const text = first && first[1] ? `${first[1] === "desc" ? "-" : ""}${columns[first[0]].key}` : "";
    const usual = order[0] ? `${order[0][1] === "desc" ? "-" : ""}${columns[order[0][0]].key}` : "";
    state.set(key("sort"), text, usual);
  });

  state.changed(() => {
    reading = true;
    table.search(state.get(key("q"))).order(readOrder()).draw();
    reading = false;
  });

  // All rows go on paper.
  addEventListener("beforeprint", () => table.page.len(-1).draw());
  addEventListener("afterprint", () => table.page.len(size).draw());

  const shown = () => {
    const visible = columns.filter((_, index) => table.column(index).visible());
    return {
      titles: visible.map((column) => column.title),
      numeric: visible.map((column) => Boolean(column.numeric)),
      rows: table.rows({ search: "applied", order: "applied" }).data().toArray().map((row) => visible.map((column) => column.text(row))),
    };
  };

  // A box to search in, kept in the address.
  const search = (label) => {
    const box = el("input", { type: "search", autocomplete: "off", oninput: () => {
      state.set(key("q"), box.value);
      table.search(box.value).draw();
    } });
    box.value = state.get(key("q"));
    state.changed(() => { box.value = state.get(key("q")); });
    return el("label", {}, el("span", {}, label), box);
  };

  return { table, shown, search, redraw: () => table.draw() };
};

// A menu of the values that rows have; kept in the address, and empty for all of them.
claimbench.menu = (name, label, rows, of, changed, { all = "all", titles = {}, initial = "" } = {}) => {
  const { el, state } = claimbench;
  const values = [...new Set(rows.map(of))].filter((value) => value !== "" && value !== null && value !== undefined);
  values.sort((a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));
  const select = el("select", { name, onchange: () => {
    state.set(name, select.value, initial);
    changed();
  } });
  const any = initial && all ? "*" : ""; // an empty value is not kept in the address
  if (all) select.append(el("option", { value: any }, all));
  values.forEach((value) => select.append(el("option", { value }, claimbench.own(titles, value) || String(value))));
  const read = () => {
    select.value = state.get(name, initial);
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  };
  read();
  state.changed(() => { read(); changed(); });
  const fits = (row) => (all && select.value === any) || select.value === "" || String(of(row)) === select.value;
  return { label: el("label", { hidden: values.length < 2 && Boolean(all) }, el("span", {}, label), select), fits, value: () => select.value, select };
};

// Make a table that is already in the page sortable.
claimbench.enhance = () => {
  document.querySelectorAll("table[data-sortable]").forEach((table) => {
    const rows = table.tBodies[0] ? table.tBodies[0].rows.length : 0;
    if (rows < 2) return;
    new DataTable(table, { paging: rows > 50 && !("whole" in table.dataset), pageLength: 50, searching: false, info: rows > 50 && !("whole" in table.dataset), autoWidth: false, order: [], layout: { topStart: null, topEnd: null } });
  });
};
document.addEventListener("DOMContentLoaded", claimbench.enhance);
