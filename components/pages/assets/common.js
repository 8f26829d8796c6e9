"use strict";
// Functions of all other scripts. Text enters the document as text nodes only.
const bitext = (function () {
  const CONTROLS =
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
  const formats = new Map();
  let collator = null;
  let ids = 0;

  /**
   * Makes an element.
   * @param {string} tag its name
   * @param {Object<string, string>} attributes its attributes
   * @param {...(Node|string)} children its content; strings become text
   * @returns {HTMLElement}
   */
  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /**
   * Returns a text of the corpus, isolated from the direction of its surroundings, with visible controls.
   * @param {string} text
   * @returns {HTMLElement}
   */
  function isolated(text) {
    return element("bdi", { dir: "auto" }, ...visible(text));
  }

  /**
   * Returns a text as nodes in which controls are shown by their code.
   * @param {string} text
   * @returns {(Node|string)[]}
   */
  function visible(text) {
    const nodes = [];
    let end = 0;
    for (const match of text.matchAll(CONTROLS)) {
      nodes.push(text.slice(end, match.index));
      const code = match[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
      nodes.push(element("span", { class: "control" }, `U+${code}`));
      end = match.index + match[0].length;
    }
    nodes.push(text.slice(end));
    return nodes;
  }

  /**
   * Returns a text for an attribute or an option, which can have no elements: controls are replaced by their code.
   * @param {string} text
   * @returns {string}
   */
  function plain(text) {
    return visible(text).map((node) => (typeof node === "string" ? node : node.textContent)).join("");
  }

  /**
   * Returns a number as text, with at most `digits` significant digits after the integer part.
   * @param {number} value
   * @param {number} [digits]
   * @returns {string}
   */
  function figure(value, digits = 4) {
    const whole = Math.max(1, Math.ceil(Math.log10(Math.abs(value) + 1)));
    const most = Math.max(digits, whole);
    if (!formats.has(most)) formats.set(most, new Intl.NumberFormat("en-US", { maximumSignificantDigits: most }));
    return formats.get(most).format(value);
  }

  /**
   * Compares two sort keys, numbers or texts. Missing values (null) are last in both directions.
   * @param {number|string|null} a
   * @param {number|string|null} b
   * @param {number} sign 1 for ascending, -1 for descending
   * @returns {number}
   */
  function compare(a, b, sign) {
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    collator ??= new Intl.Collator("en", { numeric: true });
    return sign * collator.compare(String(a), String(b));
  }

  /**
   * Returns a count as text: `1,204`.
   * @param {number} value
   * @returns {string}
   */
  function count(value) {
    return figure(value, 15);
  }

  /**
   * Calls a function when no event has followed for a moment.
   * @param {function(): void} action
   * @returns {function(): void}
   */
  function settled(action) {
    let timer = 0;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(action, 120);
    };
  }

  /** @returns {string} an id that no other element has */
  function newId() {
    ids += 1;
    return `made-${ids}`;
  }

  return { element, isolated, visible, plain, figure, count, compare, settled, newId };
})();
