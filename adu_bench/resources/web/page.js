"use strict";
// Everything is in the document already; this script sorts, hides, unfolds and compares it. What is chosen stands in
// the address after "#", as name=value pairs; without "=" the address names a row.
(() => {
  const form = document.querySelector("form.controls");
  const panels = [...document.querySelectorAll("section.panel")];
  const tables = [...document.querySelectorAll("table.board")];
  const columns = [...form.querySelectorAll("[name=column]")];
  const families = [...form.querySelectorAll("[name=family]")];
  const compared = [...form.querySelectorAll("[name=compare]")];
  const comparison = document.querySelector("section.compare");
  const narrow = matchMedia("(max-width: 60rem), (pointer: coarse)");
  let sorted = ""; // A column's name, after "-" if descending; empty as long as nothing was sorted.
  let chosen = false; // Whether columns were chosen; otherwise the width of the screen decides.

  const element = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const heads = (table) => [...table.tHead.rows[0].cells];
  const methodRows = (within) => [...within.querySelectorAll("tr.method")];

  // Sorting.
  const byValue = (column, direction) => (one, other) => {
    const [a, b] = [one, other].map((row) => row.cells[column].dataset.value);
    if (a === "" || b === "") return (a === "") - (b === "");
    const numeric = !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
    return direction * (numeric ? Number(a) - Number(b) : a.localeCompare(b));
  };

  // References and unranked rows stay apart: each group of rows is sorted by itself, details follow their row.
  const sort = (table, head, descending) => {
    for (const other of heads(table)) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    for (const group of table.tBodies) {
      const pairs = methodRows(group).map((row) => [row, row.nextElementSibling]);
      const order = byValue(head.cellIndex, descending ? -1 : 1);
      pairs.sort((one, other) => order(one[0], other[0]));
      group.append(...pairs.flat());
    }
  };

  // All tables that have the column are sorted by it; the others stay as they are.
  const sortAll = (order) => {
    sorted = order;
    const name = (order || "rank").replace(/^-/, "");
    for (const table of tables) {
      const head = heads(table).find((one) => one.dataset.column === name);
      if (head) sort(table, head, order.startsWith("-"));
    }
  };

  const addSorting = (table) => {
    for (const head of heads(table)) {
      const button = element("button", "", { type: "button" });
      button.append(...head.childNodes);
      button.addEventListener("click", () => {
        const descending = head.ariaSort ? head.ariaSort === "ascending" : head.dataset.first === "descending";
        sortAll((descending ? "-" : "") + head.dataset.column);
        write();
      });
      head.append(button);
    }
  };

  // A row's details unfold from its name.
  const addUnfolding = (row) => {
    const detail = row.nextElementSibling;
    const name = row.querySelector(".name");
    const button = element("button", "", {
      type: "button", class: "more", "aria-expanded": "false", "aria-controls": detail.id,
    });
    button.append(...name.childNodes);
    name.append(button);
    detail.hidden = true;
    detail.querySelector("details").open = true;
    button.addEventListener("click", () => unfold(row, button.getAttribute("aria-expanded") !== "true"));
  };

  const unfold = (row, open) => {
    row.querySelector(".more").setAttribute("aria-expanded", String(open));
    row.nextElementSibling.hidden = !open;
  };

  // The chart: a point and its entry in the legend tell the method's numbers.
  const addTelling = (chart) => {
    const tip = chart.querySelector(".tip");
    const plane = chart.querySelector(".plane");
    const all = [...chart.querySelectorAll("[data-method]")];
    const of = (method) => all.filter((one) => one.dataset.method === method);
    const clear = () => {
      tip.hidden = true;
      for (const one of all) one.classList.remove("current");
    };
    const tell = (method) => {
      clear();
      const spot = of(method).find((one) => one.classList.contains("spot"));
      for (const one of of(method)) one.classList.add("current");
      spot.parentNode.append(spot);
      tip.replaceChildren(element("b", method), spot.dataset.text);
      tip.hidden = false;
      const [around, at] = [plane.getBoundingClientRect(), spot.getBoundingClientRect()];
      const left = at.left - around.left + at.width / 2 - tip.offsetWidth / 2;
      const above = at.top - around.top - tip.offsetHeight - 8;
      tip.style.left = `${Math.max(0, Math.min(left, around.width - tip.offsetWidth))}px`;
      tip.style.top = `${above < 0 ? at.bottom - around.top + 8 : above}px`;
    };
    for (const one of all) {
      one.querySelector("title")?.remove();
      one.addEventListener("pointerenter", () => tell(one.dataset.method));
      one.addEventListener("pointerleave", clear);
      one.addEventListener("focusin", () => tell(one.dataset.method));
      one.addEventListener("focusout", clear);
    }
    for (const spot of chart.querySelectorAll(".spot")) {
      spot.addEventListener("click", () => tell(spot.dataset.method));
    }
    chart.addEventListener("keydown", (event) => event.key === "Escape" && clear());
  };

  // Two methods side by side, for each visible table that has both.
  const cellOf = (row, head) => row.cells[head.cellIndex];
  const shownText = (cell) => (cell.querySelector(".number") ?? cell.querySelector("span[title]")?.firstChild ?? cell).textContent.trim();

  const difference = (head, cells) => {
    const values = cells.map((cell) => cell.dataset.value);
    if (!head.matches(".number, .headline") || values.includes("") || values.some((value) => Number.isNaN(Number(value)))) return "";
    if (cells.some((cell) => /\d\u2013\d/.test(cell.textContent) && !cell.matches(".headline"))) return "";
    const texts = cells.map((cell) => shownText(cell).replace(/,/g, "").replace(/ \+$/, ""));
    const digits = texts.some((text) => text.includes(".")) ? 1 : 0;
    const value = Number(texts[1]) - Number(texts[0]);
    const format = { signDisplay: "exceptZero", minimumFractionDigits: digits, maximumFractionDigits: digits };
    return Number.isNaN(value) ? "" : value.toLocaleString("en", format).replace("-", "\u2212");
  };

  const apart = (rows, table) => {
    const head = heads(table).find((one) => one.dataset.column === "letters");
    const letters = head ? rows.map((row) => cellOf(row, head).dataset.value) : ["", ""];
    if (letters.includes("")) return "";
    const shared = [...letters[0]].some((letter) => letters[1].includes(letter));
    return shared ? "They share a letter: their H cannot be told apart." : "They share no letter: their H can be told apart.";
  };

  const sideBySide = (panel, names) => {
    const table = panel.querySelector("table.board");
    const rows = names.map((name) => methodRows(table).find((row) => row.dataset.method === name));
    if (rows.includes(undefined)) return [];
    const pair = element("table", "", { class: "pair" });
    const top = pair.createTHead().insertRow();
    for (const name of ["", ...names, "second \u2212 first"]) top.append(name ? element("th", name, { scope: "col" }) : element("td"));
    const body = pair.createTBody();
    for (const head of heads(table)) {
      if (head.dataset.column === "method" || head.classList.contains("off")) continue;
      const cells = rows.map((row) => cellOf(row, head));
      const line = body.insertRow();
      const title = head.querySelector("button").firstChild.textContent;
      line.append(element("th", title, { scope: "row" }));
      for (const text of [...cells.map(shownText), difference(head, cells)]) line.append(element("td", text));
    }
    const heading = panel.querySelector("h2").textContent;
    const label = `${heading}, ${names.join(" and ")}: numbers`;
    const box = element("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": label });
    box.append(pair);
    const sides = element("div", "", { class: "sides" });
    rows.forEach((row, number) => {
      const heat = row.nextElementSibling.querySelector(".domains")?.cloneNode(true);
      if (!heat) return;
      heat.setAttribute("aria-label", `${heading}, ${names[number]}, side by side: accuracy by domain`);
      heat.querySelector("caption").prepend(`${names[number]}: `);
      sides.append(heat);
    });
    const said = apart(rows, table);
    return [element("h3", heading), ...(said ? [element("p", said, { class: "block" })] : []), box, sides];
  };

  const compare = () => {
    const names = compared.map((select) => select.value);
    comparison.hidden = names.includes("") || names[0] === names[1];
    if (comparison.hidden) return;
    const found = panels.filter((panel) => !panel.hidden).flatMap((panel) => sideBySide(panel, names));
    if (!found.length) found.push(element("p", "No table that is shown has both methods.", { class: "block" }));
    comparison.lastElementChild.replaceChildren(...found);
  };

  const showColumns = () => {
    document.documentElement.classList.toggle("chosen", chosen);
    if (!chosen) for (const box of columns) box.checked = !(narrow.matches && box.dataset.wide === "1");
    const off = new Set(columns.filter((box) => chosen && !box.checked).map((box) => box.value));
    for (const table of tables) {
      for (const head of heads(table)) {
        const hide = off.has(head.dataset.column);
        head.classList.toggle("off", hide);
        for (const row of methodRows(table)) cellOf(row, head).classList.toggle("off", hide);
      }
    }
  };

  // Headings stay in view in tables that need no box to scroll sideways.
  const fit = () => {
    for (const table of tables) {
      const box = table.parentElement;
      box.classList.remove("fits");
      const fits = table.scrollWidth <= box.clientWidth;
      box.classList.toggle("fits", fits);
      box.nextElementSibling.hidden = fits || box.hidden;
    }
  };

  const show = () => {
    const data = new FormData(form);
    const suite = data.get("suite") ?? "";
    const size = data.get("size") || "all";
    const kept = new Set(data.getAll("family"));
    const find = data.get("find").trim().toLowerCase();
    const matches = (one) => kept.has(one.dataset.family) && one.dataset.method.toLowerCase().includes(find);
    let shown = 0;
    let total = 0;
    for (const panel of panels) {
      panel.hidden = (suite !== "" && panel.dataset.suite !== suite) || !panel.dataset.views.split(" ").includes(size);
      const rows = methodRows(panel);
      let left = 0;
      for (const row of rows) {
        const visible = matches(row);
        row.hidden = !visible;
        row.nextElementSibling.hidden = !visible || row.querySelector(".more").getAttribute("aria-expanded") !== "true";
        left += visible;
      }
      for (const group of panel.querySelector("table.board").tBodies) {
        group.hidden = !methodRows(group).some((row) => !row.hidden);
      }
      for (const one of panel.querySelectorAll(".chart [data-method]")) one.classList.toggle("off", !matches(one));
      panel.querySelector(".scroll").hidden = left === 0;
      panel.querySelector(".empty").hidden = left > 0;
      panel.querySelector(".chart")?.toggleAttribute("hidden", left === 0);
      if (!panel.hidden) {
        shown += left;
        total += rows.length;
      }
    }
    document.querySelector(".nothing").hidden = panels.some((panel) => !panel.hidden);
    document.querySelector(".count").textContent = `${shown} of ${total} rows shown`;
    showColumns();
    compare();
    fit();
  };

  // The address says what differs from the page as it opens.
  const write = () => {
    const said = new URLSearchParams();
    const data = new FormData(form);
    for (const name of ["suite", "size", "find"]) if (data.get(name)) said.set(name, data.get(name));
    if (families.some((box) => !box.checked)) said.set("families", JSON.stringify(data.getAll("family")));
    if (sorted) said.set("sort", sorted);
    if (chosen) said.set("columns", JSON.stringify(data.getAll("column")));
    for (const name of data.getAll("compare")) if (name) said.append("compare", name);
    history.replaceState(null, "", said.size ? `#${said}` : location.pathname + location.search);
  };

  const list = (text) => {
    try {
      const found = JSON.parse(text);
      return Array.isArray(found) ? found : null;
    } catch {
      return null; // A list that was cut off in the address is as if it were not there.
    }
  };

  const read = () => {
    const fragment = location.hash.slice(1);
    const row = document.getElementById(fragment);
    if (row?.classList.contains("method")) return follow(row);
    if (fragment !== "" && !fragment.includes("=")) return;
    const said = new URLSearchParams(fragment);
    form.reset();
    for (const name of ["suite", "size"]) {
      const own = [...form.querySelectorAll(`[name=${name}]`)].find((box) => box.value === said.get(name));
      if (own) own.checked = true;
    }
    form.elements.find.value = said.get("find") ?? "";
    const kept = list(said.get("families"));
    if (kept) for (const box of families) box.checked = kept.includes(box.value);
    const wanted = list(said.get("columns"));
    chosen = wanted !== null;
    if (chosen) for (const box of columns) box.checked = wanted.includes(box.value);
    said.getAll("compare").slice(0, 2).forEach((name, number) => {
      if ([...compared[number].options].some((option) => option.value === name)) compared[number].value = name;
    });
    sortAll(said.get("sort") ?? "");
    show();
  };

  // A link to a row shows its table if that is hidden, and unfolds the row.
  const follow = (row) => {
    const panel = row.closest("section.panel");
    if (panel.hidden || row.hidden) {
      form.reset();
      const size = panel.dataset.views.split(" ")[0];
      const own = [...form.querySelectorAll("[name=size]")].find((box) => box.value === size);
      if (own) own.checked = true;
    }
    unfold(row, true);
    show();
    row.scrollIntoView({ block: "center" });
  };

  document.documentElement.classList.add("scripted");
  tables.forEach(addSorting);
  methodRows(document).forEach(addUnfolding);
  document.querySelectorAll(".chart").forEach(addTelling);
  form.addEventListener("input", (event) => {
    chosen ||= event.target.name === "column";
    show();
    write();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  addEventListener("hashchange", read);
  addEventListener("resize", () => { showColumns(); fit(); });
  show();
  read();
})();
