// The papers of the first page: searched and filtered in place; the choice is kept in the address.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("paper-filters");
  const rows = [...document.querySelectorAll("#paper-table tbody tr")];
  if (!form || !rows.length) return;
  const { state } = claimbench;
  const fields = ["q", "task", "degree"].map((name) => form.elements.namedItem(name));
  const [search, task, degree] = fields;

  function apply() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(words.every((word) => text.includes(word)) && (!task.value || row.dataset.task === task.value)
        && (!degree.value || row.dataset.degrees.split(" ").includes(degree.value)));
    }
    document.getElementById("paper-count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} papers`;
  }
  function read() {
    fields.forEach((field) => {
      field.value = state.get(field.name);
      if (field.selectedIndex < 0) field.selectedIndex = 0;
    });
    apply();
  }
  fields.forEach((field) => field.addEventListener("input", () => { state.set(field.name, field.value); apply(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  state.changed(read);
  form.hidden = false;
  read();
});
