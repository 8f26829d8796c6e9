"use strict";
// Charts: drawn by Vega when they come near the window, with a legend that hides series and a tip of values.
(function () {
  const { element, figure, visible } = bitext;
  const NEAR_POINT = 28;
  const NEAR_LINE = 16;
  const ERRORS = 1; // vega.Error: no warnings of empty layers, which come of hiding series
  const DAY = 86_400_000;
  const LETTER = 6.5; // mean width of a letter of an axis label
  const LINE = 20; // least distance of slanted labels
  const BESIDE_AXIS = 60; // width of the labels of the other axis
  const NUMBERS = [1, 2, 3, 4, 5, 6];
  const COLORS = [
    "var(--earlier)",
    ...NUMBERS.map((number) => `var(--series-${number})`),
    ...NUMBERS.map((number) => `var(--earlier-${number})`),
  ];

  /** Runs Vega's bundle, which the policy allows by its hash, when the first chart needs it. */
  function loadVega() {
    if (window.vegaEmbed) return;
    document.head.append(element("script", {}, document.getElementById("vega").textContent));
  }

  /**
   * Returns the data of the shown series as Vega has it.
   * @param {Object} chart
   * @param {Set<number>} hidden
   * @returns {Object[]}
   */
  function rowsOf(chart, hidden) {
    const rows = [];
    chart.series.forEach((series, number) => {
      if (hidden.has(number)) return;
      const marked = new Set(series.marked);
      series.x.forEach((x, index) => {
        const row = { series: series.name, x, y: series.y[index], marked: marked.has(index) };
        if (series.low.length) Object.assign(row, { low: series.low[index], high: series.high[index] });
        rows.push(row);
      });
      const last = series.x.length - 1;
      if (chart.form === "histogram" && last >= 0 && typeof series.x[last] === "number") {
        rows.push({ series: series.name, x: endOfBin(series, last), y: series.y[last], marked: false });
      }
    });
    return rows;
  }

  /**
   * Returns the upper end of a bin: the lower end of the next, or as far as the bin before is wide.
   * @param {Object} series
   * @param {number} index
   * @returns {number}
   */
  function endOfBin(series, index) {
    if (index + 1 < series.x.length) return series.x[index + 1];
    return index > 0 ? 2 * series.x[index] - series.x[index - 1] : series.x[index] + 1;
  }

  /**
   * Returns a position or value as text.
   * @param {number|string} value
   * @param {string} scale
   * @param {number} range the length of the axis, which decides how exact times are
   * @returns {string}
   */
  function valueText(value, scale, range) {
    if (typeof value === "string") return value;
    if (scale !== "time") return figure(value, 5);
    const iso = new Date(value).toISOString();
    return range > 3 * DAY ? iso.slice(0, 10) : `${iso.slice(0, 16).replace("T", " ")} UTC`;
  }

  /**
   * Returns the specification of a chart; names on its axis are slanted if they do not fit side by side.
   * @param {Object} chart
   * @param {number} width the width of the plot
   * @returns {Object}
   */
  function fitted(chart, width) {
    if (chart.x.scale !== "ordinal" || chart.horizontal) return chart.spec;
    const names = [...new Set(chart.series.flatMap((series) => series.x))];
    const longest = Math.max(0, ...names.map((name) => [...name].length));
    if (names.length * (longest + 1) * LETTER <= width - BESIDE_AXIS) return chart.spec;
    const spec = structuredClone(chart.spec);
    // Vega compares the boxes around slanted labels, which overlap where the labels do not.
    const labelOverlap = (width - BESIDE_AXIS) / names.length < LINE ? "greedy" : false;
    for (const { encoding } of spec.layer) {
      Object.assign(encoding.x.axis, { labelAngle: -40, labelAlign: "right", labelBaseline: "middle", labelOverlap });
    }
    return spec;
  }

  /** A chart in the page. */
  class Drawing {
    /** @param {HTMLElement} box the element `figure` */
    constructor(box) {
      this.plot = box.querySelector(".plot");
      this.chart = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
      this.hidden = new Set();
      this.canvas = element("div", {});
      this.cursor = element("div", { class: "cursor", hidden: "" });
      this.spot = element("div", { class: "spot", hidden: "" });
      this.tip = element("div", { class: "tip", hidden: "" });
      this.view = null;
      this.plot.append(this.canvas, this.cursor, this.spot, this.tip);
      this.plot.addEventListener("pointermove", (event) => this.point(event));
      this.plot.addEventListener("pointerdown", (event) => this.point(event));
      this.plot.addEventListener("pointerleave", () => this.leave());
      for (const item of box.querySelectorAll(".legend li")) this.addToggle(item);
    }

    /** @param {HTMLElement} item an entry of the legend, which becomes a button */
    addToggle(item) {
      const number = Number(item.dataset.series);
      const button = element("button", { type: "button", "aria-pressed": "true", title: "Hide or show" });
      button.append(...item.childNodes);
      item.append(button);
      button.addEventListener("click", () => {
        const isShown = this.hidden.has(number);
        if (!isShown && this.hidden.size === this.chart.series.length - 1) return;
        if (isShown) this.hidden.delete(number);
        else this.hidden.add(number);
        button.setAttribute("aria-pressed", String(isShown));
        this.draw();
      });
    }

    /** Draws the chart, with what the legend shows. */
    draw() {
      loadVega();
      const spec = { ...fitted(this.chart, this.plot.clientWidth), data: { name: "points", values: rowsOf(this.chart, this.hidden) } };
      const options = { mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false, tooltip: false, hover: false, logLevel: ERRORS };
      const previous = this.result;
      return window.vegaEmbed(this.canvas, spec, options).then(
        (result) => {
          previous?.finalize();
          this.result = result;
          this.view = result.view;
          this.plot.dataset.drawn = "";
          this.plot.querySelector("svg")?.setAttribute("aria-hidden", "true");
        },
        (error) => {
          this.canvas.replaceChildren(element("p", { class: "note" }, "The chart could not be drawn. Its data are below."));
          console.error(error);
        },
      );
    }

    /** Hides the tip. */
    leave() {
      this.cursor.hidden = this.spot.hidden = this.tip.hidden = true;
    }

    /** @param {PointerEvent} event where the pointer is */
    point(event) {
      const svg = this.canvas.querySelector("svg");
      if (!this.view || !svg) return;
      const box = svg.getBoundingClientRect();
      const origin = this.view.origin();
      const place = { x: event.clientX - box.left - origin[0], y: event.clientY - box.top - origin[1] };
      const hits = this.hits(place);
      if (hits.length === 0) {
        this.leave();
        return;
      }
      this.show(hits, origin, place);
    }

    /**
     * Returns the points that the pointer is on: at most one of each series.
     * @param {{x: number, y: number}} place
     * @returns {{series: Object, index: number, x: number, y: number}[]}
     */
    hits(place) {
      const { form, horizontal } = this.chart;
      const [across, along] = horizontal ? [this.view.scale("x"), this.view.scale("y")] : [this.view.scale("y"), this.view.scale("x")];
      const shift = along.bandwidth ? along.bandwidth() / 2 : 0;
      const pointer = horizontal ? place.y : place.x;
      const found = [];
      this.chart.series.forEach((series, number) => {
        if (this.hidden.has(number)) return;
        let best = null;
        series.x.forEach((x, index) => {
          if (x === null || series.y[index] === null || series.y[index] === undefined) return;
          const first = along(x) + shift;
          const second = across(series.y[index]);
          const [px, py] = horizontal ? [second, first] : [first, second];
          let distance = Math.abs(first - pointer);
          if (form === "scatter") distance = Math.hypot(px - place.x, py - place.y);
          if (form === "histogram") {
            const end = along(endOfBin(series, index));
            distance = pointer >= first && pointer < end ? 0 : Infinity;
          }
          if (best === null || distance < best.distance) best = { series, index, x: px, y: py, distance };
        });
        if (best !== null && best.distance < Infinity) found.push(best);
      });
      const least = Math.min(...found.map((hit) => hit.distance));
      if (form === "scatter") return least <= NEAR_POINT ? [found.find((hit) => hit.distance === least)] : [];
      const limit = along.bandwidth ? Math.max(NEAR_LINE, along.bandwidth()) : NEAR_LINE;
      return found.filter((hit) => hit.distance <= least + limit / 2);
    }

    /**
     * Shows the values of points beside them.
     * @param {{series: Object, index: number, x: number, y: number}[]} hits
     * @param {number[]} origin the place of the axes' corner
     * @param {{x: number, y: number}} place where the pointer is
     */
    show(hits, origin, place) {
      const { x, y, form, horizontal } = this.chart;
      const first = hits[0];
      const domain = x.scale === "time" ? this.view.scale("x").domain() : [0, 0];
      const range = Number(domain[1]) - Number(domain[0]);
      let position = valueText(first.series.x[first.index], x.scale, range);
      if (form === "histogram") position += ` to ${valueText(endOfBin(first.series, first.index), x.scale, range)}`;
      const lines = [element("p", {}, ...visible(x.scale === "ordinal" ? position : `${x.title}: ${position}`))];
      for (const { series, index } of hits) {
        const interval = series.low.length && series.low[index] !== null
          ? ` [${figure(series.low[index])}, ${figure(series.high[index])}]` : "";
        const swatch = element("i", {});
        swatch.style.setProperty("--color", COLORS[series.style]);
        const name = this.chart.series.length > 1 ? series.name : y.title;
        const value = element("b", {}, valueText(series.y[index], y.scale, 0));
        lines.push(element("p", {}, swatch, ...visible(`${name}: `), value, interval));
        if (series.labels[index]) lines.push(element("p", {}, bitext.isolated(series.labels[index])));
      }
      this.tip.replaceChildren(...lines);
      this.tip.hidden = false;
      this.cursor.hidden = form === "scatter" || form === "bar";
      this.spot.hidden = form !== "scatter";
      this.place(first, origin, horizontal ? first.x : place.y, form);
    }

    /**
     * Moves the tip beside the points, within the plot.
     * @param {{x: number, y: number}} hit
     * @param {number[]} origin
     * @param {number} pointer
     * @param {string} form
     */
    place(hit, origin, pointer, form) {
      const left = hit.x + origin[0];
      const top = (form === "scatter" || this.chart.horizontal ? hit.y : pointer) + origin[1];
      this.cursor.style.left = `${left}px`;
      this.cursor.style.height = `${this.view.height() + origin[1]}px`;
      this.spot.style.left = `${left}px`;
      this.spot.style.top = `${hit.y + origin[1]}px`;
      const width = this.tip.offsetWidth;
      const right = left + 14 + width <= this.plot.clientWidth ? left + 14 : Math.max(0, left - 14 - width);
      this.tip.style.left = `${right}px`;
      this.tip.style.top = `${Math.max(0, Math.min(top - 20, this.plot.clientHeight - this.tip.offsetHeight))}px`;
    }
  }

  const waiting = new Map();

  /** @param {HTMLElement} box the element `figure` of a chart that is not drawn yet */
  function draw(box) {
    waiting.delete(box);
    observer.unobserve(box);
    new Drawing(box).draw();
  }

  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) if (entry.isIntersecting && waiting.has(entry.target)) draw(entry.target);
    },
    { rootMargin: "400px" },
  );
  for (const box of document.querySelectorAll("figure.chart:has(.plot)")) {
    waiting.set(box, true);
    observer.observe(box);
  }
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("main details:not(.data)")) details.open = true;
    for (const box of [...waiting.keys()]) draw(box);
  });
})();
