// What a reader chose (filters, order, axes) lives in the address, behind "#", so that a view can be linked.
"use strict";

claimbench.state = (() => {
  const listeners = [];
  let values = new Map();

  function read() {
    values = new Map(new URLSearchParams(location.hash.slice(1)));
  }

  function write() {
    const kept = [...values].filter(([, value]) => value !== "");
    const text = new URLSearchParams(kept).toString();
    const address = text ? `#${text}` : location.pathname.split("/").pop() + location.search;
    history.replaceState(null, "", address);
  }

  read();
  addEventListener("hashchange", () => {
    read();
    listeners.forEach((listener) => listener());
  });

  return {
    get: (name, otherwise = "") => (values.has(name) ? values.get(name) : otherwise),

    // Set a value; one that is what it is anyway stays out of the address.
    set(name, value, otherwise = "") {
      if (value === otherwise) values.delete(name);
      else values.set(name, value);
      write();
    },

    clear(names) {
      names.forEach((name) => values.delete(name));
      write();
    },

    // Be told when the address was changed by hand or by a link.
    changed: (listener) => listeners.push(listener),
  };
})();
