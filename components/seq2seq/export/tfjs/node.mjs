/** TensorFlow.js and exported folders in Node.js. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const SCRIPT_FOLDER = dirname(fileURLToPath(import.meta.url));

/** The version of TensorFlow.js that bitext is tested with. */
const VERSION = "4.22.0";

/**
 * Returns TensorFlow.js with a backend: `cpu`, or `wasm`, which is several times as fast.
 *
 * The packages are searched for in `node_modules` of the current folder, of the script's folder and of the
 * folders above them, and in the folders of the variable NODE_PATH.
 */
export async function loadTensorFlow(backend) {
  const tf = load("@tensorflow/tfjs");
  tf.enableProdMode(); // no advertisement of tfjs-node
  if (backend === "wasm") load("@tensorflow/tfjs-backend-wasm");
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js cannot use the backend ${backend}`);
  return tf;
}

function load(name) {
  let path;
  try {
    path = require.resolve(name, { paths: [process.cwd(), SCRIPT_FOLDER] });
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    throw new Error(`${name} is not installed; run: npm install ${name}@${VERSION}`);
  }
  return require(path);
}

/** Returns the content of a JSON file. */
export function readJson(path) {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** Returns an IOHandler that reads a graph from a file, and its weights from the files beside it. */
export function fileHandler(folder, file) {
  return {
    async load() {
      const { weightsManifest, ...model } = readJson(join(folder, file));
      const parts = weightsManifest.flatMap((group) => group.paths.map((path) => readFileSync(join(folder, path))));
      const weightData = new Uint8Array(Buffer.concat(parts)).buffer;
      return { ...model, weightSpecs: weightsManifest.flatMap((group) => group.weights), weightData };
    },
  };
}
