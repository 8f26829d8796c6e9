"use strict";
// The frame of the page: theme, table of contents, details on paper and behind links, copying, graphs.
(function () {
  const { element } = bitext;
  const root = document.documentElement;

  /** Makes the button change the theme: that of the system, light, dark. */
  function addTheme() {
    const button = document.querySelector(".theme");
    const name = button.querySelector("span");
    const themes = ["system", "light", "dark"];
    name.textContent = root.dataset.theme ?? "system";
    button.hidden = false;
    button.addEventListener("click", () => {
      const theme = themes[(themes.indexOf(name.textContent) + 1) % themes.length];
      name.textContent = theme;
      if (theme === "system") delete root.dataset.theme;
      else root.dataset.theme = theme;
      try {
        localStorage.setItem("bitext-theme", theme);
      } catch (error) {
        // The theme lasts until the page is closed.
      }
    });
  }

  /** Marks the section in the window in the table of contents. */
  function followSections() {
    const links = new Map();
    for (const link of document.querySelectorAll(".contents a")) {
      links.set(document.getElementById(decodeURIComponent(link.hash.slice(1))), link);
    }
    const sections = [...links.keys()].filter((section) => section !== null);
    let current = null;
    const update = () => {
      const line = window.innerHeight * 0.3;
      const atEnd = window.scrollY > 0 && window.innerHeight + window.scrollY >= root.scrollHeight - 4;
      const above = sections.filter((section) => atEnd || section.getBoundingClientRect().top <= line);
      const section = above.at(-1) ?? null;
      if (section === current) return;
      links.get(current)?.removeAttribute("aria-current");
      const link = links.get(section);
      link?.setAttribute("aria-current", "true");
      current = section;
      const list = link?.closest("nav");
      if (list && list.scrollWidth > list.clientWidth) list.scrollLeft = link.offsetLeft - list.clientWidth / 3;
    };
    let scheduled = false;
    const schedule = () => {
      if (scheduled) return;
      scheduled = true;
      requestAnimationFrame(() => {
        scheduled = false;
        update();
      });
    };
    window.addEventListener("scroll", schedule, { passive: true });
    window.addEventListener("resize", schedule, { passive: true });
    schedule();
  }

  /** Opens the details around the target of a link. */
  function openTarget() {
    const target = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    let details = target?.closest("details") ?? null;
    if (details === null) return;
    while (details !== null) {
      details.open = true;
      details = details.parentElement.closest("details");
    }
    target.scrollIntoView();
  }

  /** Opens all details on paper, and closes them afterwards. */
  function addPrinting() {
    let opened = [];
    window.addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("main details:not(.data):not([open])")];
      for (const details of opened) details.open = true;
    });
    window.addEventListener("afterprint", () => {
      for (const details of opened) details.open = false;
    });
  }

  /**
   * Copies a text. Browsers that forbid it to files select the text instead.
   * @param {HTMLElement} code
   * @returns {Promise<string>} what was done
   */
  async function copy(code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return "Copied";
    } catch (error) {
      window.getSelection().selectAllChildren(code);
      return "Selected";
    }
  }

  /** Gives each code block a button that copies it. */
  function addCopying() {
    for (const figure of document.querySelectorAll("figure.code")) {
      const label = `Copy: ${figure.querySelector("figcaption").textContent.trim()}`;
      const button = element("button", { type: "button", class: "tool", "aria-label": label }, "Copy");
      const status = element("span", { class: "hidden", role: "status" });
      button.addEventListener("click", async () => {
        const done = await copy(figure.querySelector("code"));
        button.textContent = status.textContent = done;
        setTimeout(() => {
          button.textContent = "Copy";
          status.textContent = "";
        }, 2000);
      });
      figure.append(button, status);
    }
  }

  /** Shows what a node of a graph was made from and what was made of it, when the pointer is on it. */
  function traceGraphs() {
    for (const svg of document.querySelectorAll(".graph svg[role]")) {
      const edges = [...svg.querySelectorAll(".edge")];
      const nodes = [...svg.querySelectorAll("g.node")];
      const reach = (start, from, to) => {
        const found = new Set([start]);
        const queue = [start];
        while (queue.length) {
          const node = queue.pop();
          for (const edge of edges) {
            if (edge.dataset[from] !== node || found.has(edge.dataset[to])) continue;
            found.add(edge.dataset[to]);
            queue.push(edge.dataset[to]);
          }
        }
        return found;
      };
      for (const node of nodes) {
        node.addEventListener("pointerenter", () => {
          const id = node.dataset.node;
          const above = reach(id, "to", "from");
          const below = reach(id, "from", "to");
          const isOn = (set, edge) => set.has(edge.dataset.from) && set.has(edge.dataset.to);
          svg.classList.add("traced");
          for (const edge of edges) edge.classList.toggle("on", isOn(above, edge) || isOn(below, edge));
          for (const one of nodes) one.classList.toggle("on", above.has(one.dataset.node) || below.has(one.dataset.node));
        });
        node.addEventListener("pointerleave", () => svg.classList.remove("traced"));
      }
    }
  }

  addTheme();
  followSections();
  addPrinting();
  addCopying();
  traceGraphs();
  openTarget();
  window.addEventListener("hashchange", openTarget);
})();
