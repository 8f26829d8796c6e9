/**
 * Runs the graphs of a folder for `bitext export`, which compares them with the SavedModel.
 *
 *   node run_graphs.mjs FOLDER BACKEND
 *
 * The first line of standard output is `{inputs}`, the names of the inputs of each graph, or `{error}`. After that,
 * each line of standard input is a request, `{graph, inputs}`, and each line of standard output its answer,
 * `{outputs}` or `{error}`. Inputs and outputs are `{dtype, shape, data}` by name, with the data in base64. An
 * input that is null has the value of the last request to the graph.
 */
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";

import { fileHandler, loadTensorFlow, readJson } from "./node.mjs";
import { Graph } from "./translator.mjs";

const ARRAYS = { float32: Float32Array, int32: Int32Array };

function decode(tf, { dtype, shape, data }) {
  const bytes = new Uint8Array(Buffer.from(data, "base64"));
  return tf.tensor(new ARRAYS[dtype](bytes.buffer), shape, dtype);
}

async function encode(tensor) {
  const values = await tensor.data();
  const data = Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");
  return { dtype: tensor.dtype, shape: tensor.shape, data };
}

async function answer(tf, { graph, held }, inputs) {
  for (const [name, input] of Object.entries(inputs)) {
    if (input !== null) {
      tf.dispose(held[name]);
      held[name] = decode(tf, input);
    }
  }
  const tensors = await graph.run(held);
  const outputs = {};
  for (const [name, tensor] of Object.entries(tensors)) outputs[name] = await encode(tensor);
  tf.dispose(tensors);
  return { outputs };
}

const [folder, backend] = process.argv.slice(2);
for (const method of ["log", "info", "warn"]) console[method] = console.error; // stdout has the answers only
const write = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
let tf;
const graphs = {};
try {
  tf = await loadTensorFlow(backend);
  for (const file of readdirSync(folder)) {
    if (file.endsWith(".json") && readJson(`${folder}/${file}`).format === "graph-model") {
      const graph = await Graph.load(tf, fileHandler(folder, file));
      graphs[file.replace(/\.json$/, "")] = { graph, held: {} };
    }
  }
  write({ inputs: Object.fromEntries(Object.entries(graphs).map(([name, { graph }]) => [name, graph.inputs])) });
} catch (error) {
  write({ error: error.message });
}
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  write(await answer(tf, graphs[request.graph], request.inputs).catch((error) => ({ error: error.message })));
}
