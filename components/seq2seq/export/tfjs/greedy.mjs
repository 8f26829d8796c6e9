/**
 * Translates tokens by greedy search in Node.js.
 *
 *   echo '[[285, 501, 3245, 3907, 2]]' | node tfjs/greedy.mjs [--backend wasm] [--folder FOLDER]
 *
 * Reads a JSON array of sentences from standard input, each an array of source tokens that ends in `</s>`, and
 * writes a JSON array of arrays of target tokens. The model is in the script's folder, unless FOLDER is given.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { fileHandler, loadTensorFlow, readJson } from "./node.mjs";
import { Translator } from "./translator.mjs";

const OPTIONS = {
  backend: { type: "string", default: "cpu" },
  folder: { type: "string", default: dirname(fileURLToPath(import.meta.url)) },
};

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`standard input is not JSON: ${error.message}`);
  }
}

try {
  const { backend, folder } = parseArgs({ options: OPTIONS }).values;
  const sentences = parse(readFileSync(0, "utf8"));
  const tf = await loadTensorFlow(backend);
  const description = readJson(join(folder, "signatures.json"));
  const translator = await Translator.load(tf, description, (file) => fileHandler(folder, file));
  const translations = await translator.greedy(sentences);
  console.log(JSON.stringify(translations));
} catch (error) {
  console.error(`greedy.mjs: ${error.message}`);
  process.exitCode = 1;
}
