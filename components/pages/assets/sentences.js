"use strict";
// Lists of sentences: filtered by label, property and text, sorted by scores, with alignments on demand.
(function () {
  const { element, figure, isolated, visible, plain, settled, newId, compare, count: countText } = bitext;
  const STEP = 20;
  const MOST_CHOICES = 20;

  /**
   * Returns a number of sentences as text.
   * @param {number} count
   * @returns {string}
   */
  function sentencesText(count) {
    return `${countText(count)} ${count === 1 ? "sentence" : "sentences"}`;
  }

  /**
   * Returns a score as text: `39.5`, `0.26`.
   * @param {number} score
   * @returns {string}
   */
  function scoreText(score) {
    return score.toFixed(Math.abs(score) < 9.995 ? 2 : 1).replace("-", "−");
  }

  /**
   * Makes a field of choice with its label.
   * @param {string} label
   * @param {string[]} choices their texts
   * @param {function(number): void} action called with the position of the choice
   * @returns {HTMLElement}
   */
  function chooser(label, choices, action) {
    const select = element("select", { id: newId() });
    choices.forEach((choice, number) => select.append(element("option", { value: String(number) }, plain(choice))));
    select.addEventListener("change", () => action(Number(select.value)));
    return element("span", { class: "choice" }, element("label", { for: select.id }, ...visible(label)), select);
  }

  /** The heat map of an alignment. */
  class Heat {
    /**
     * @param {Object} alignment target tokens, source tokens and rows of weights
     * @param {string[]} source the source tokens
     * @param {string} weights the character of each weight
     */
    constructor(alignment, source, weights) {
      this.source = source;
      this.target = alignment.target;
      this.rows = alignment.rows.map((row) => [...row].map((character) => weights.indexOf(character)));
    }

    /**
     * Returns the heat map as a table: a row for each target token, a column for each source token.
     * @param {string} title
     * @returns {HTMLElement}
     */
    table(title) {
      const head = element("tr", {}, element("td", {}));
      for (const token of this.source) head.append(element("th", { scope: "col" }, isolated(token)));
      const body = element("tbody", {});
      this.target.forEach((token, row) => {
        const line = element("tr", {}, element("th", { scope: "row" }, isolated(token)));
        this.source.forEach((other, column) => line.append(this.cell(token, other, this.rows[row]?.[column] ?? 0)));
        body.append(line);
      });
      const caption = element("caption", {}, ...visible(`${title}: percent of each target token's attention (rows) on each source token (columns)`));
      const table = element("table", {}, caption, element("thead", {}, head), body);
      return element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": title }, table);
    }

    /**
     * @param {string} target
     * @param {string} source
     * @param {number} weight
     * @returns {HTMLElement}
     */
    cell(target, source, weight) {
      const isolate = (text) => `\u2068${plain(text)}\u2069`;
      const attributes = { class: `w${Math.round(weight / 10)}`, title: `${isolate(target)} ← ${isolate(source)}: ${weight} %` };
      return element("td", attributes, weight >= 5 ? String(weight) : "");
    }
  }

  /** A list of sentences in the page. */
  class List {
    /** @param {HTMLElement} box the element around the list */
    constructor(box) {
      this.box = box;
      this.data = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
      this.title = box.querySelector("h2, h3").textContent.trim();
      this.label = null;
      this.query = "";
      this.facts = new Map();
      this.key = null;
      this.ascending = true;
      this.shown = STEP;
      this.count = element("p", { class: "count", role: "status" });
      this.cards = element("ol", { class: "cards" });
      this.more = element("button", { type: "button", class: "more" });
      this.more.addEventListener("click", () => this.showMore());
      box.append(...this.controls(), this.count, this.cards, this.more);
      this.update();
    }

    /** @returns {HTMLElement[]} the elements that filter and sort */
    controls() {
      const { data } = this;
      const tools = element("div", { class: "tools" });
      const input = element("input", { type: "search", placeholder: "Search the texts", "aria-label": `Search the texts: ${this.title}` });
      input.addEventListener("input", settled(() => {
        this.query = input.value.trim().toLowerCase();
        this.update();
      }));
      tools.append(input);
      data.facts.forEach((name, fact) => this.addFactFilter(tools, name, fact));
      this.addSorting(tools);
      return data.labels.length === 0 ? [tools] : [...this.chips(), tools];
    }

    /** @returns {HTMLElement[]} a button for each label, and the meaning of the chosen one */
    chips() {
      const chips = element("div", { class: "chips", role: "group", "aria-label": `Labels: ${this.title}` });
      const meaning = element("p", { class: "note meaning" });
      const buttons = [];
      const add = (label, name, count, text) => {
        const attributes = { type: "button", class: "chip", "aria-pressed": String(label === null) };
        const button = element("button", attributes, ...visible(name), element("b", {}, countText(count)));
        button.addEventListener("click", () => {
          this.label = this.label === label ? null : label;
          buttons.forEach(([other, one]) => one.setAttribute("aria-pressed", String(other === this.label)));
          meaning.replaceChildren(...visible(this.label === null ? "" : text));
          this.update();
        });
        buttons.push([label, button]);
        chips.append(button);
      };
      add(null, "all", this.data.rows.length, "");
      this.data.labels.forEach(([name, text], label) => {
        const count = this.data.rows.filter((row) => row.labels.includes(label)).length;
        if (count > 0) add(label, name, count, text);
      });
      return [chips, meaning];
    }

    /**
     * Adds a choice of the values of a property, if it is a text with few values.
     * @param {HTMLElement} tools
     * @param {string} name
     * @param {number} fact
     */
    addFactFilter(tools, name, fact) {
      const values = [...new Set(this.data.rows.map((row) => row.facts[fact]))].filter((value) => typeof value === "string");
      if (values.length < 2 || values.length > MOST_CHOICES) return;
      values.sort((a, b) => compare(a, b, 1));
      tools.append(chooser(name, ["all", ...values], (choice) => {
        if (choice === 0) this.facts.delete(fact);
        else this.facts.set(fact, values[choice - 1]);
        this.update();
      }));
    }

    /** @param {HTMLElement} tools the element that gets the choice of the order */
    addSorting(tools) {
      const { data } = this;
      const keys = [null];
      const choices = ["as listed"];
      const score = (metric, candidate) => (row) => row.candidates[candidate]?.scores[metric] ?? null;
      data.metrics.forEach((metric, number) => {
        keys.push(score(number, 0));
        choices.push(metric);
      });
      if (data.rows.some((row) => row.candidates.length > 1)) {
        data.metrics.forEach((metric, number) => {
          const difference = (row) => {
            const [a, b] = [score(number, 0)(row), score(number, 1)(row)];
            return a === null || b === null ? null : a - b;
          };
          keys.push(difference);
          choices.push(`${metric}: difference`);
        });
      }
      data.facts.forEach((fact, number) => {
        keys.push((row) => row.facts[number]);
        choices.push(fact);
      });
      const direction = element("button", { type: "button", class: "tool", hidden: "" }, "lowest first");
      direction.addEventListener("click", () => {
        this.ascending = !this.ascending;
        direction.textContent = this.ascending ? "lowest first" : "highest first";
        this.update();
      });
      tools.append(chooser("sort by", choices, (choice) => {
        this.key = keys[choice];
        direction.hidden = this.key === null;
        this.update();
      }), direction);
    }

    /**
     * Whether a sentence passes the filters.
     * @param {Object} row
     * @returns {boolean}
     */
    matches(row) {
      if (this.label !== null && !row.labels.includes(this.label)) return false;
      for (const [fact, value] of this.facts) if (row.facts[fact] !== value) return false;
      if (this.query === "") return true;
      row.haystack ??= [row.id, row.source, ...row.references, ...row.candidates.map((one) => one.text.join(""))].join("\n").toLowerCase();
      return row.haystack.includes(this.query);
    }

    /** Shows the sentences that pass the filters, in the chosen order. */
    update() {
      this.found = this.data.rows.filter((row) => this.matches(row));
      if (this.key !== null) {
        const keys = new Map(this.found.map((row) => [row, this.key(row) ?? null]));
        const sign = this.ascending ? 1 : -1;
        this.found.sort((one, other) => compare(keys.get(one), keys.get(other), sign));
      }
      this.shown = STEP;
      this.cards.replaceChildren();
      this.draw();
    }

    /** Draws the sentences that are shown and not drawn yet. */
    draw() {
      for (const row of this.found.slice(this.cards.children.length, this.shown)) this.cards.append(this.card(row));
      const shown = Math.min(this.shown, this.found.length);
      const chosen = this.data.rows.length < this.data.total ? `, chosen from ${countText(this.data.total)}` : "";
      this.count.textContent = this.found.length === this.data.rows.length
        ? `${countText(shown)} of ${sentencesText(this.found.length)} shown${chosen}`
        : `${countText(shown)} of ${sentencesText(this.found.length)} found shown; the list has ${countText(this.data.rows.length)}${chosen}`;
      this.more.hidden = shown === this.found.length;
      this.more.textContent = `Show ${Math.min(STEP, this.found.length - shown)} more`;
    }

    /** Shows further sentences, and moves the focus to the first of them. */
    showMore() {
      const first = this.cards.children.length;
      this.shown += STEP;
      this.draw();
      const card = this.cards.children[first];
      card?.setAttribute("tabindex", "-1");
      card?.focus({ preventScroll: true });
    }

    /**
     * Returns a sentence with its translations.
     * @param {Object} row
     * @returns {HTMLElement}
     */
    card(row) {
      const about = element("p", { class: "about" }, element("span", { class: "id" }, isolated(row.id)));
      for (const label of row.labels) about.append(element("span", { class: "label" }, ...visible(this.data.labels[label][0])));
      row.facts.forEach((value, fact) => {
        if (value === null) return;
        const text = typeof value === "number" ? figure(value) : value;
        about.append(element("span", {}, ...visible(`${this.data.facts[fact]} `), isolated(String(text))));
      });
      const versions = element("dl", { class: "versions" });
      const add = (kind, name, ...content) =>
        versions.append(element("div", { class: `version ${kind}` }, element("dt", {}, ...visible(name)), element("dd", {}, ...content)));
      add("source", "source", isolated(row.source));
      row.references.forEach((text, number) => add("reference", row.references.length > 1 ? `reference ${number + 1}` : "reference", isolated(text)));
      row.candidates.forEach((candidate, number) => {
        add("candidate", this.data.candidates[candidate.name], this.marked(candidate.text), ...this.below(row, candidate, number));
      });
      return element("li", { class: "card" }, about, versions);
    }

    /**
     * Returns a translation whose differing parts are marked.
     * @param {string[]} parts equal, differing, equal, ...
     * @returns {HTMLElement}
     */
    marked(parts) {
      const text = element("bdi", { dir: "auto" });
      parts.forEach((part, number) => {
        if (part === "") return;
        if (number % 2 === 0) text.append(...visible(part));
        else text.append(element("mark", {}, ...visible(part)));
      });
      if (parts.join("") === "") text.append(element("span", { class: "control" }, "empty"));
      return text;
    }

    /**
     * Returns the scores of a translation and the button for its alignment.
     * @param {Object} row
     * @param {Object} candidate
     * @param {number} number
     * @returns {HTMLElement[]}
     */
    below(row, candidate, number) {
      const line = element("p", { class: "scores" });
      candidate.scores.forEach((score, metric) => {
        if (score === null) return;
        const shown = element("span", {}, ...visible(`${this.data.metrics[metric]} `), element("b", {}, scoreText(score)));
        const first = row.candidates[0].scores[metric];
        if (number > 0 && first !== null) shown.append(" ", this.difference(score - first, this.data.lower[metric]));
        line.append(shown);
      });
      if (!candidate.alignment) return [line];
      const area = element("div", { class: "heat", id: newId(), hidden: "" });
      const name = this.data.candidates[candidate.name];
      const button = element("button", { type: "button", class: "align", "aria-expanded": "false", "aria-controls": area.id }, "alignment");
      button.addEventListener("click", () => {
        if (area.childNodes.length === 0) {
          const source = candidate.alignment.source ?? row.candidates.find((one) => one.alignment).alignment.source;
          area.append(new Heat(candidate.alignment, source, this.data.weights).table(`Alignment of ${name}`));
        }
        area.hidden = !area.hidden;
        button.setAttribute("aria-expanded", String(!area.hidden));
      });
      line.append(button);
      return [line, area];
    }

    /**
     * Returns a difference of scores with its sign.
     * @param {number} difference
     * @param {boolean} lowerIsBetter
     * @returns {HTMLElement|string}
     */
    difference(difference, lowerIsBetter) {
      if (Math.abs(difference) < 0.005) return "±0";
      const isBetter = difference > 0 !== lowerIsBetter;
      const sign = difference > 0 ? "+" : "−";
      return element("span", { class: `delta ${isBetter ? "up" : "down"}` }, `${sign}${scoreText(Math.abs(difference))} ${isBetter ? "better" : "worse"}`);
    }
  }

  /** Makes the lists. They are long, so the page is shown first. */
  function makeLists() {
    for (const box of document.querySelectorAll(".sentences")) new List(box);
  }

  window.addEventListener("load", () => setTimeout(makeLists));
})();
