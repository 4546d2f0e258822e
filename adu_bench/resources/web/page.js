"use strict";
// Everything is in the document already; this script sorts, hides and unfolds it.
(() => {
  const form = document.querySelector("form.controls");
  const panels = [...document.querySelectorAll("section.panel")];

  const byValue = (column, direction) => (one, other) => {
    const [a, b] = [one, other].map((row) => row.cells[column].dataset.value);
    if (a === "" || b === "") return (a === "") - (b === "");
    const numeric = !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
    return direction * (numeric ? Number(a) - Number(b) : a.localeCompare(b));
  };

  // References and unranked rows stay apart: each group of rows is sorted by itself, details follow their row.
  const sort = (table, head) => {
    const descending = head.ariaSort ? head.ariaSort === "ascending" : head.dataset.first === "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    for (const group of table.tBodies) {
      const rows = [...group.rows].filter((row) => row.classList.contains("method"));
      const pairs = rows.map((row) => [row, row.nextElementSibling]);
      const order = byValue(head.cellIndex, descending ? -1 : 1);
      pairs.sort((one, other) => order(one[0], other[0]));
      group.append(...pairs.flat());
    }
  };

  const addSorting = (table) => {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
  };

  // A row's details unfold from its name.
  const addUnfolding = (row) => {
    const detail = row.nextElementSibling;
    const name = row.querySelector(".name");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "more";
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-controls", detail.id);
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

  // A link to a row unfolds it.
  const follow = () => {
    const row = document.getElementById(location.hash.slice(1));
    if (!row?.classList.contains("method")) return;
    unfold(row, true);
    row.scrollIntoView({ block: "center" });
  };

  const show = () => {
    const chosen = new FormData(form);
    const suite = chosen.get("suite") ?? "";
    const size = chosen.get("size") || "all";
    const families = new Set(chosen.getAll("family"));
    const find = chosen.get("find").trim().toLowerCase();
    let shown = 0;
    let total = 0;
    for (const panel of panels) {
      panel.hidden = (suite !== "" && panel.dataset.suite !== suite) || !panel.dataset.views.split(" ").includes(size);
      const rows = [...panel.querySelectorAll("tr.method")];
      let left = 0;
      for (const row of rows) {
        const visible = families.has(row.dataset.family) && row.dataset.method.toLowerCase().includes(find);
        row.hidden = !visible;
        row.nextElementSibling.hidden = !visible || row.querySelector(".more").getAttribute("aria-expanded") !== "true";
        left += visible;
      }
      for (const group of panel.querySelector("table.board").tBodies) {
        group.hidden = ![...group.querySelectorAll("tr.method")].some((row) => !row.hidden);
      }
      panel.querySelector(".scroll").hidden = left === 0;
      panel.querySelector(".empty").hidden = left > 0;
      if (!panel.hidden) {
        shown += left;
        total += rows.length;
      }
    }
    document.querySelector(".nothing").hidden = panels.some((panel) => !panel.hidden);
    document.querySelector(".count").textContent = `${shown} of ${total} rows shown`;
  };

  document.documentElement.classList.add("scripted");
  document.querySelectorAll("table.board").forEach(addSorting);
  document.querySelectorAll("tr.method").forEach(addUnfolding);
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  addEventListener("hashchange", follow);
  show();
  follow();
})();
