"use strict";
// Without this script the contents are open, and a figure is a link to its file.
(() => {
  const dialog = document.querySelector("dialog");
  const large = dialog.querySelector("img");
  for (const link of document.querySelectorAll("a.enlarge")) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      large.src = link.href;
      large.alt = link.querySelector("img").alt;
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", (event) => event.target === large || dialog.close());

  // On narrow screens the contents are folded, above whatever is read.
  const contents = document.querySelector(".contents");
  const wide = matchMedia("(min-width: 64rem)");
  const fold = () => { contents.open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();
  const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  contents.addEventListener("click", (event) => {
    if (event.target.closest("a") && !wide.matches) contents.open = false;
  });
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "location");
    }
  }, { rootMargin: "-15% 0px -75%" });
  for (const section of document.querySelectorAll("section[id]")) observer.observe(section);

  // A table that is wider than its box says so.
  const hint = () => {
    for (const box of document.querySelectorAll(".scroll")) box.nextElementSibling.hidden = box.scrollWidth <= box.clientWidth;
  };
  addEventListener("resize", hint);
  hint();
})();
