// The page that translates as you type. Text is inserted as text only; nothing is taken from another origin.
"use strict";

const DEBOUNCE_MS = 250;
const REFRESH_MS = 5000;
const LOOK_MS = 120;
const FAINTEST_LINK = 0.12;
const MOST_MARKED = 0.7;
const RIGHT_TO_LEFT =
  /^[^\p{L}]*[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;
const SERVED = "served";

const byId = (id) => document.getElementById(id);
const panes = new Map();
let catalog = { model: "", served: null, versions: [], beam_size: 0, limits: { text: 10000, nbest: 32, instances: 128 } };
let selected = [SERVED];
let active = null;
let shownState = "";
let typingTimer = 0;
let lookTimer = 0;

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

async function ask(url, body, signal) {
  const options = { signal, cache: "no-store" };
  if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  const response = await fetch(url, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function direction(text) {
  return RIGHT_TO_LEFT.test(text) ? "rtl" : "ltr";
}

function message(error) {
  if (error instanceof TypeError || error instanceof SyntaxError) return "The server does not answer.";
  const text = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/* ---- versions ---- */

function describe(version) {
  const facts = [];
  if (version.served) facts.push("served");
  if (version.candidate) facts.push("a rollback would serve it");
  if (version.copy_of !== null) facts.push(`copy of version ${version.copy_of}`);
  if (version.withdrawn) facts.push(`withdrawn: ${version.withdrawn.reason}`);
  if (version.bleu !== null) facts.push(`BLEU ${version.bleu.toFixed(2)}`);
  if (version.error) facts.push("cannot be loaded");
  return facts.join(", ");
}

function showVersions() {
  // Rows that did not change stay, so that a click is not lost.
  const state = JSON.stringify([catalog, selected]);
  if (state === shownState) return;
  shownState = state;
  const list = byId("versions");
  const legend = list.querySelector("legend");
  const rows = catalog.versions.map((version) => {
    const key = version.served ? SERVED : String(version.version);
    const box = element("input", { type: "checkbox", id: `version-${version.version}`, value: key });
    box.checked = selected.includes(key);
    box.disabled = !box.checked && (Boolean(version.error) || selected.length > catalog.extra_versions);
    box.addEventListener("change", () => choose(key, box.checked));
    const label = element("label", { htmlFor: box.id }, `Version ${version.version}`);
    const what = element("span", { className: "what", title: version.error, dir: "auto" }, describe(version));
    return element("div", { className: "version" }, box, element("span", {}, label, " ", what));
  });
  const focused = document.activeElement && document.activeElement.id;
  list.replaceChildren(legend, ...rows);
  if (focused && focused.startsWith("version-") && byId(focused)) byId(focused).focus();
  byId("model").textContent = catalog.model;
  document.title = `${catalog.model}: translate`;
  byId("served").textContent = servedText();
  byId("nbest-note").textContent = catalog.beam_size
    ? `With more than ${catalog.beam_size}, the model searches more widely, which may change the first one.`
    : "";
}

function servedText() {
  if (catalog.served === null) return "No version is served.";
  const language = catalog.source_language ? `from ${languageName(catalog.source_language)}, ` : "";
  return `${language}version ${catalog.served}`;
}

function languageName(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code);
  } catch {
    return code;
  }
}

function choose(key, wanted) {
  selected = wanted ? [...selected, key] : selected.filter((other) => other !== key);
  if (!selected.length) selected = [SERVED];
  showVersions();
  showPanes();
  translateAll();
}

async function refreshVersions() {
  const before = catalog.served;
  try {
    catalog = await ask("api/versions");
  } catch (error) {
    byId("status").textContent = message(error);
    return;
  }
  const known = new Set(catalog.versions.map((version) => String(version.version)));
  selected = selected.filter((key) => key === SERVED || (known.has(key) && key !== String(catalog.served)));
  if (!selected.length) selected = [SERVED];
  showVersions();
  showPanes();
  if (before !== null && before !== catalog.served) {
    byId("status").textContent = `Version ${catalog.served} is served now.`;
    translateAll();
  }
}

/* ---- panes ---- */

function showPanes() {
  for (const [key, pane] of panes) {
    if (!selected.includes(key)) {
      pane.controller.abort();
      pane.section.remove();
      panes.delete(key);
      if (active && active.pane === pane) closeDetails();
    }
  }
  for (const key of selected) {
    if (!panes.has(key)) panes.set(key, newPane(key));
    byId("panes").append(panes.get(key).section);
    panes.get(key).title.textContent = paneTitle(key);
  }
}

function paneTitle(key) {
  if (selected.length === 1 && key === SERVED) return "Translation";
  const number = key === SERVED ? catalog.served : key;
  return key === SERVED ? `Version ${number}, served` : `Version ${number}`;
}

function newPane(key) {
  const title = element("h2", { id: `pane-${key}` });
  const copy = element("button", { type: "button", className: "quiet", hidden: true }, "Copy");
  const output = element("div", { className: "output" });
  const seconds = element("span");
  const hint = element("span", {}, "Choose a sentence for more.");
  hint.hidden = true;
  const section = element(
    "section",
    { className: "pane" },
    element("div", { className: "bar" }, title, copy),
    output,
    element("div", { className: "foot" }, seconds, hint),
  );
  section.setAttribute("aria-labelledby", title.id);
  const pane = { key, title, copy, output, seconds, hint, section, answer: null, text: "", controller: new AbortController() };
  copy.addEventListener("click", () => copyText(plainText(pane.answer), copy));
  showAnswer(pane);
  return pane;
}

function plainText(answer) {
  const lines = Array.from({ length: answer.paragraphs }, () => []);
  for (const sentence of answer.sentences) lines[sentence.paragraph].push(sentence.translations[0].text);
  return lines.map((line) => line.join(" ")).join("\n");
}

async function copyText(text, button) {
  const name = button.textContent;
  await navigator.clipboard.writeText(text);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = name; }, 1500);
}

function showAnswer(pane) {
  const { answer, output } = pane;
  output.classList.remove("stale");
  pane.hint.hidden = !answer || !answer.sentences.length;
  pane.copy.hidden = pane.hint.hidden || !navigator.clipboard; // it needs localhost or HTTPS
  if (!answer || !answer.sentences.length) {
    output.replaceChildren(element("p", { className: "empty" }, "The translation appears here as you type."));
    pane.seconds.textContent = "";
    return;
  }
  const lines = Array.from({ length: answer.paragraphs }, () => element("p"));
  answer.sentences.forEach((sentence, index) => {
    const line = lines[sentence.paragraph];
    if (line.childNodes.length) line.append(" ");
    else line.dir = direction(sentence.translations[0].text);
    line.append(sentenceButton(pane, sentence, index));
  });
  output.replaceChildren(...lines);
  const count = answer.sentences.length;
  pane.seconds.textContent = `${count} ${count === 1 ? "sentence" : "sentences"}, ${Math.round(answer.milliseconds)} ms`;
}

function sentenceButton(pane, sentence, index) {
  // A button does not break across lines.
  const button = element("span", { className: "sentence", role: "button", tabIndex: 0 });
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", "details");
  const text = element("bdi");
  text.append(...marked(sentence.translations[0].text, servedSentence(pane, sentence, index)));
  button.append(text);
  button.addEventListener("click", () => {
    openDetails(pane, sentence, button);
    byId("details").scrollIntoView({ block: "nearest" });
  });
  button.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    button.click();
  });
  button.addEventListener("mouseenter", () => {
    clearTimeout(lookTimer);
    lookTimer = setTimeout(() => openDetails(pane, sentence, button), LOOK_MS);
  });
  button.addEventListener("mouseleave", () => clearTimeout(lookTimer));
  button.addEventListener("focus", () => {
    if (button.matches(":focus-visible")) openDetails(pane, sentence, button);
  });
  return button;
}

function servedSentence(pane, sentence, index) {
  const served = panes.get(SERVED);
  if (!served || served === pane || !served.answer) return null;
  const other = served.answer.sentences[index];
  return other && other.source === sentence.source ? other.translations[0].text : null;
}

/* Marks the words that another translation does not have, by a longest common subsequence. */
function marked(text, other) {
  if (other === null || other === text) return [text];
  const words = pieces(text);
  const others = pieces(other);
  const lengths = Array.from({ length: words.length + 1 }, () => new Uint16Array(others.length + 1));
  for (let i = words.length - 1; i >= 0; i--) {
    for (let j = others.length - 1; j >= 0; j--) {
      lengths[i][j] = words[i] === others[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const nodes = [];
  let j = 0;
  words.forEach((word, i) => {
    while (j < others.length && words[i] !== others[j] && lengths[i][j + 1] >= lengths[i + 1][j]) j++;
    if (j < others.length && word === others[j]) {
      nodes.push(word);
      j++;
    } else {
      nodes.push(word.trim() ? element("mark", {}, word) : word);
    }
  });
  const isMarked = nodes.filter((node) => node instanceof Element).length;
  return isMarked > MOST_MARKED * words.filter((word) => word.trim()).length ? [text] : nodes;
}

function pieces(text) {
  const parts = [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)];
  return parts.map((part) => part.segment).slice(0, 400);
}

/* ---- translation ---- */

function translateAll() {
  for (const pane of panes.values()) translate(pane);
  showCommand();
}

async function translate(pane) {
  pane.controller.abort();
  pane.controller = new AbortController();
  const { signal } = pane.controller;
  const text = byId("source").value;
  if (!text.trim()) {
    pane.answer = null;
    showAnswer(pane);
    closeDetails();
    byId("status").textContent = "";
    return;
  }
  pane.output.classList.add("stale");
  pane.section.setAttribute("aria-busy", "true");
  const version = pane.key === SERVED ? null : Number(pane.key);
  try {
    checkLength(text);
    const answer = await ask("api/translate", { text, version, nbest: nbestSize() }, signal);
    pane.answer = answer;
    pane.text = text;
    showAnswer(pane);
    showCommand();
    if (pane.key === SERVED) redrawOthers();
    if (active && active.pane === pane) keepDetails();
    byId("status").textContent = cutText(answer);
  } catch (error) {
    if (error.name === "AbortError") return;
    pane.answer = null;
    showAnswer(pane);
    pane.output.replaceChildren(element("p", { className: "problem", dir: "auto", role: "alert" }, message(error)));
    byId("status").textContent = "";
  } finally {
    if (!signal.aborted) pane.section.removeAttribute("aria-busy");
  }
}

function checkLength(text) {
  const length = [...text].length;
  if (length <= catalog.limits.text) return;
  throw new Error(`The text has ${length.toLocaleString("en")} characters, more than the limit of ${catalog.limits.text.toLocaleString("en")}; translate it in parts.`);
}

function cutText(answer) {
  const cut = answer.sentences.filter((sentence) => sentence.is_cut).length;
  if (!cut) return "";
  return cut === 1
    ? "One sentence is longer than the model reads; its end is not translated."
    : `${cut} sentences are longer than the model reads; their ends are not translated.`;
}

function redrawOthers() {
  for (const pane of panes.values()) if (pane.key !== SERVED && pane.answer) showAnswer(pane);
}

function nbestSize() {
  const size = Math.trunc(Number(byId("nbest-size").value)) || 1;
  return Math.min(Math.max(size, 1), catalog.limits.nbest);
}

/* The command asks for what the page shows: the model translates one sentence a row. */
function showCommand() {
  const text = byId("source").value.trim() ? byId("source").value : "Where is the station?";
  const shown = [...panes.values()].find((pane) => pane.answer && pane.text === text);
  const sentences = shown ? shown.answer.sentences.map((sentence) => sentence.source) : null;
  let path = "/api/translate";
  let body = { text };
  let note = "The server splits the text into sentences and translates each:";
  if (!byId("source").value.trim() || (sentences && sentences.length && sentences.length <= catalog.limits.instances)) {
    path = `/v1/models/${encodeURIComponent(catalog.model)}:predict`;
    body = { instances: (sentences || [text]).map((sentence) => ({ text: sentence })) };
    note = "The server speaks the REST protocol of TensorFlow Serving, one sentence a row:";
  }
  byId("command-note").textContent = note;
  byId("command").textContent = `curl -d ${quoted(JSON.stringify(body))} ${quoted(location.origin + path)}`;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/* ---- details of a sentence ---- */

function openDetails(pane, sentence, button) {
  clearTimeout(lookTimer);
  if (active && active.button === button) return;
  if (active) active.button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-expanded", "true");
  active = { pane, sentence, button, rank: 0, translations: sentence.translations, controller: new AbortController() };
  byId("details").hidden = false;
  byId("cut").hidden = !sentence.is_cut;
  byId("cut").textContent = "The sentence is longer than the model reads; its end is not translated.";
  showNbest();
  showAlignment();
  loadAlignment(active);
}

function keepDetails() {
  const { pane, sentence } = active;
  const index = pane.answer.sentences.findIndex((other) => other.source === sentence.source);
  if (index < 0) {
    closeDetails();
    return;
  }
  active.button = pane.output.querySelectorAll(".sentence")[index];
  active.button.setAttribute("aria-expanded", "true");
}

function closeDetails() {
  if (!active) return;
  active.controller.abort();
  active.button.setAttribute("aria-expanded", "false");
  active = null;
  byId("details").hidden = true;
}

async function loadAlignment(opened) {
  const version = opened.pane.key === SERVED ? null : Number(opened.pane.key);
  const body = { text: opened.sentence.source, version, nbest: nbestSize(), alignment: true };
  try {
    const answer = await ask("api/translate", body, opened.controller.signal);
    if (active !== opened || answer.sentences.length !== 1) return;
    opened.translations = answer.sentences[0].translations;
    opened.isAligned = true;
    showNbest();
    showAlignment();
  } catch (error) {
    if (error.name !== "AbortError" && active === opened) byId("alignment-note").textContent = message(error);
  }
}

function showNbest() {
  const rows = active.translations.map((translation, rank) => {
    const score = element("span", { className: "score" }, translation.score.toFixed(3));
    score.setAttribute("aria-label", `score ${translation.score.toFixed(3)}`);
    const button = element("button", { type: "button" }, element("bdi", {}, translation.text), score);
    button.setAttribute("aria-pressed", String(rank === active.rank));
    button.addEventListener("click", () => {
      active.rank = rank;
      for (const [index, other] of byId("nbest").querySelectorAll("button").entries()) {
        other.setAttribute("aria-pressed", String(index === rank));
      }
      showAlignment();
    });
    return element("li", {}, button);
  });
  byId("nbest").replaceChildren(...rows);
}

function showAlignment() {
  const alignment = (active.translations[active.rank] || {}).alignment;
  byId("alignment").hidden = !alignment;
  byId("alignment-note").textContent = alignment ? "" : active.isAligned ? "The model tells no alignment of this translation." : "…";
  if (!alignment) return;
  showWords("source-words", alignment.source, (unit) => highlight(alignment, unit, null));
  showWords("target-words", alignment.target, (unit) => highlight(alignment, null, unit));
  highlight(alignment, null, null);
}

function showWords(id, parts, onLook) {
  const words = parts.filter(([, unit]) => unit !== null).map(([text, unit]) => {
    const button = element("button", { type: "button" }, element("bdi", {}, text));
    button.dataset.unit = unit;
    for (const event of ["mouseenter", "focus", "click"]) button.addEventListener(event, () => onLook(unit));
    for (const event of ["mouseleave", "blur"]) button.addEventListener(event, () => onLook(null));
    return button;
  });
  byId(id).replaceChildren(...words);
  byId(id).dir = direction(parts.map(([text]) => text).join(""));
}

function unitText(parts, unit) {
  return parts.filter(([, other]) => other === unit).map(([text]) => text).join("");
}

function highlight(alignment, source, target) {
  const links = [];
  alignment.weights.forEach((row, to) => row.forEach((weight, from) => {
    if (weight < FAINTEST_LINK) return;
    const isChosen = source === from || target === to;
    if ((source === null && target === null) || isChosen) links.push({ from, to, weight, isChosen });
  }));
  const chosen = links.filter((link) => link.isChosen);
  for (const [id, own, side] of [["source-words", source, "from"], ["target-words", target, "to"]]) {
    for (const button of byId(id).children) {
      const unit = Number(button.dataset.unit);
      button.classList.toggle("from", unit === own);
      button.classList.toggle("to", unit !== own && chosen.some((link) => link[side] === unit));
    }
  }
  drawLinks(links);
  const lines = chosen.sort((a, b) => b.weight - a.weight).map((link) => {
    const other = source === null ? unitText(alignment.source, link.from) : unitText(alignment.target, link.to);
    return `\u2068${other}\u2069 ${Math.round(100 * link.weight)} %`;
  });
  byId("aligned").textContent = lines.length ? lines.join(", ") : "Choose a word to see what it is aligned to.";
}

function drawLinks(links) {
  const svg = byId("links");
  const origin = byId("alignment").getBoundingClientRect();
  const center = (id, unit) => {
    const box = byId(id).querySelector(`[data-unit="${unit}"]`).getBoundingClientRect();
    return { x: box.left + box.width / 2 - origin.left, top: box.top - origin.top, bottom: box.bottom - origin.top };
  };
  svg.replaceChildren(...links.map((link) => {
    const from = center("source-words", link.from);
    const to = center("target-words", link.to);
    const middle = (from.bottom + to.top) / 2;
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", `M${from.x} ${from.bottom}C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${to.top}`);
    path.setAttribute("stroke-width", (1 + 3 * link.weight).toFixed(1));
    path.setAttribute("stroke-opacity", (link.isChosen ? 1 : 0.15 + 0.6 * link.weight).toFixed(2));
    return path;
  }));
}

/* ---- start ---- */

function onInput() {
  const source = byId("source");
  source.rows = Math.max(6, source.value.split("\n").length);
  source.style.height = "auto";
  source.style.height = `${source.scrollHeight}px`;
  byId("clear").hidden = !source.value;
  const length = [...source.value].length;
  byId("count").textContent = `${length.toLocaleString("en")} of ${catalog.limits.text.toLocaleString("en")} characters`;
  clearTimeout(typingTimer);
  typingTimer = setTimeout(translateAll, DEBOUNCE_MS);
}

async function start() {
  byId("source").addEventListener("input", onInput);
  byId("nbest-size").addEventListener("change", translateAll);
  byId("close").addEventListener("click", () => {
    const { button } = active;
    closeDetails();
    button.focus({ focusVisible: false });
  });
  byId("clear").addEventListener("click", () => {
    byId("source").value = "";
    onInput();
    byId("source").focus();
  });
  byId("copy-command").addEventListener("click", () => copyText(byId("command").textContent, byId("copy-command")));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeDetails();
  });
  new ResizeObserver(() => { if (active) showAlignment(); }).observe(byId("panes"));
  byId("copy-command").hidden = !navigator.clipboard;
  await refreshVersions();
  onInput();
  showCommand();
  setInterval(() => { if (!document.hidden) refreshVersions(); }, REFRESH_MS);
}

start();
