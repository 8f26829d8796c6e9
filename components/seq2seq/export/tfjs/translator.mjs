/**
 * Greedy search with a folder of `bitext export --format tfjs`, in a browser or in Node.js.
 *
 *   const translator = await Translator.fromUrl(tf, "tfjs/");
 *   const [tokens] = await translator.greedy([[285, 501, 3245, 3907, 2]]);
 *
 * `tf` is the module @tensorflow/tfjs. `signatures.json` describes the graphs.
 */

/** `max_length_factor` allows a translation this many tokens more than the factor times the source tokens. */
const LENGTH_SLACK = 10;

/** One graph, `encode_tokens` or `decode_step`. */
export class Graph {
  /** Loads a graph from an IOHandler of TensorFlow.js. */
  static async load(tf, handler) {
    const artifacts = await handler.load();
    return new Graph(await tf.loadGraphModel(tf.io.fromMemory(artifacts)), artifacts);
  }

  constructor(model, artifacts) {
    this.model = model;
    this.inputs = Object.keys(artifacts.signature.inputs);
    this.outputs = Object.keys(artifacts.signature.outputs);
    this.hasLoops = artifacts.modelTopology.node.some((node) => node.op === "Enter");
  }

  /**
   * Runs the graph.
   *
   * Takes tensors by name, and ignores those that the graph does not have. Returns tensors by name, which the
   * caller disposes.
   */
  async run(tensors) {
    const read = Object.fromEntries(this.inputs.map((name) => [name, tensors[name]]));
    const found = this.hasLoops
      ? await this.model.executeAsync(read, this.outputs)
      : this.model.execute(read, this.outputs);
    const used = new Set(Object.values(read));
    const owned = [found].flat().map((tensor) => {
      const own = used.has(tensor) ? tensor.clone() : tensor;
      used.add(own);
      return own;
    });
    return Object.fromEntries(this.outputs.map((name, index) => [name, owned[index]]));
  }
}

/** The graphs of a folder and their description. */
export class Translator {
  /** Loads a folder, whose URL ends in a slash. */
  static async fromUrl(tf, url) {
    const response = await fetch(`${url}signatures.json`);
    if (!response.ok) throw new Error(`${response.url}: ${response.status} ${response.statusText}`);
    return Translator.load(tf, await response.json(), (file) => tf.io.browserHTTPRequest(url + file));
  }

  /** Loads the graphs of a description. `open` returns an IOHandler for a file name. */
  static async load(tf, description, open) {
    const [encoder, decoder] = await Promise.all(
      ["encode_tokens", "decode_step"].map((name) => Graph.load(tf, open(description.graphs[name].file))),
    );
    return new Translator(tf, description, encoder, decoder);
  }

  constructor(tf, description, encoder, decoder) {
    Object.assign(this, { tf, description, encoder, decoder });
  }

  /**
   * Translates sentences by greedy search.
   *
   * Takes arrays of source tokens that end in `</s>`. Returns arrays of target tokens, which end in `</s>`
   * unless they are truncated at the maximum length. The translation of a sentence without words has no tokens.
   */
  async greedy(sentences, { minLength, maxLength, batchSize = 32 } = {}) {
    const { search } = this.description;
    if (!Array.isArray(sentences)) throw new Error("expected an array of sentences, each an array of tokens");
    sentences.forEach((tokens, index) => this.check(tokens, index));
    const translations = sentences.map(() => []);
    const withWords = [...sentences.keys()].filter((index) => sentences[index].length > 1);
    for (let first = 0; first < withWords.length; first += batchSize) {
      const batch = withWords.slice(first, first + batchSize);
      const found = await this.translateBatch(
        batch.map((index) => sentences[index]),
        minLength ?? search.min_length,
        maxLength ?? search.max_length,
      );
      batch.forEach((index, row) => (translations[index] = found[row]));
    }
    return translations;
  }

  /** Throws an Error if the tokens are not those of a sentence. */
  check(tokens, index) {
    const { source_max_length: most, source_vocabulary_size: size, special_tokens: special } = this.description;
    const isWord = (token) => Number.isInteger(token) && token >= special.unk && token < size;
    if (!Array.isArray(tokens) || tokens.at(-1) !== special.eos || !tokens.slice(0, -1).every(isWord)) {
      const rule = `tokens from ${special.unk} to ${size - 1}, and ${special.eos} (</s>) at its end`;
      throw new Error(`sentence ${index}: expected ${rule}; received ${JSON.stringify(tokens)}`);
    }
    if (tokens.length > most) {
      throw new Error(`sentence ${index}: expected at most ${most} tokens; received ${tokens.length}`);
    }
  }

  async translateBatch(rows, minLength, maxLength) {
    const { tf, description } = this;
    const { bos, eos } = description.special_tokens;
    const limits = rows.map((row) => this.lengthLimit(row.length, minLength, maxLength));
    const translations = rows.map(() => []);
    const isUnfinished = (translation, row) =>
      translation.at(-1) !== eos && translation.length < limits[row];
    let state = await this.encode(rows);
    while (translations.some(isUnfinished)) {
      const token = tf.tensor1d(translations.map((translation) => translation.at(-1) ?? bos), "int32");
      const { log_probs: logProbs, ...outputs } = await this.decoder.run({ ...state, token });
      const [values, size] = [await logProbs.data(), logProbs.shape[1]];
      translations.forEach((translation, row) => {
        if (isUnfinished(translation, row)) {
          const mayEnd = translation.length + 1 >= minLength;
          translation.push(this.best(values.subarray(row * size, (row + 1) * size), mayEnd));
        }
      });
      const next = Object.entries(description.state).map(([name, output]) => [name, outputs[output]]);
      const old = next.map(([name]) => state[name]);
      const kept = new Set(next.map(([, tensor]) => tensor));
      tf.dispose([token, logProbs, old, Object.values(outputs).filter((tensor) => !kept.has(tensor))]);
      state = { ...state, ...Object.fromEntries(next) };
    }
    tf.dispose(state);
    return translations;
  }

  /** Returns the memory and the first state. */
  async encode(rows) {
    const width = Math.max(...rows.map((row) => row.length));
    const { pad } = this.description.special_tokens;
    const padded = rows.flatMap((row) => [...row, ...Array(width - row.length).fill(pad)]);
    const tokens = this.tf.tensor2d(padded, [rows.length, width], "int32");
    const length = this.tf.tensor1d(rows.map((row) => row.length), "int32");
    const encoded = await this.encoder.run({ tokens, length });
    this.tf.dispose([tokens, length]);
    return encoded;
  }

  /** Returns the maximum number of tokens of a translation. */
  lengthLimit(sourceTokens, minLength, maxLength) {
    const factor = this.description.search.max_length_factor;
    const most = factor ? Math.min(maxLength, factor * sourceTokens + LENGTH_SLACK) : maxLength;
    return Math.max(minLength, most);
  }

  /** Returns the most probable token. `<pad>` and `<s>` are never chosen, `</s>` only if `mayEnd`. */
  best(logProbs, mayEnd) {
    const { pad, bos, eos } = this.description.special_tokens;
    let best = -1;
    for (let token = 0; token < logProbs.length; token++) {
      const isAllowed = token !== pad && token !== bos && (mayEnd || token !== eos);
      if (isAllowed && logProbs[token] > (best < 0 ? -Infinity : logProbs[best])) best = token;
    }
    if (best < 0) throw new Error("decode_step returned log probabilities that are not numbers");
    return best;
  }
}
