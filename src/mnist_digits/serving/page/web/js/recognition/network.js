// A trained network, run in the page: convolutions, pooling and dense layers, forwards and backwards.
//
// Values are stored pixel by pixel, all channels of one together, so that the innermost loops run through memory.

/** Number of the network's answers that are digits; one more, where it has it, is "no digit". */
const DIGITS = 10;

export class Network {
  /** bytes: an ArrayBuffer, as browser_network.py packs a network: the length of the head, the head in JSON, the weights. */
  constructor(bytes) {
    const length = new DataView(bytes).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
    let at = 4 + length;
    const take = (Kind, count) => {
      const values = new Kind(bytes, at, count);
      at += 4 * Math.ceil(values.byteLength / 4);
      return values;
    };
    this.facts = head;
    this.layers = head.layers.map((layer) => {
      if (layer.kind === "pool") return layer;
      const { inputs, outputs } = layer;
      const count = (layer.kernel ?? 1) ** 2 * inputs * outputs;
      const [scales, bias, whole] = [take(Float32Array, outputs), take(Float32Array, outputs), take(Int16Array, count)];
      return { ...layer, bias, weights: Float32Array.from(whole, (value, i) => value * scales[i % outputs]) };
    });
  }

  /**
   * What the network makes of an image, 784 numbers from 0 to 255. `outputs`: of each layer, pixel by pixel; `scores`: of
   * the answers before softmax; `probabilities`: of the ten digits, given that it is one; `isDigit`: that it is one.
   */
  run(image) {
    const input = Float32Array.from(image, (value) => value / 255);
    const outputs = [];
    let [values, side] = [input, 28];
    for (const layer of this.layers) {
      [values, side] = FORWARD[layer.kind](layer, values, side);
      outputs.push({ values, side, channels: values.length / side ** 2 });
    }
    const all = softmax(values);
    const isDigit = Math.min(1, all.slice(0, DIGITS).reduce((sum, value) => sum + value, 0));
    const probabilities = all.slice(0, DIGITS).map((value) => value / Math.max(isDigit, 1e-30));
    return { input, outputs, scores: values, probabilities, isDigit };
  }

  /** The gradient by each of the 784 inputs, from 0 to 1, of what has the gradient `ofScores` by the scores. */
  gradient({ input, outputs }, ofScores) {
    let change = Float32Array.from(ofScores);
    for (let number = this.layers.length - 1; number >= 0; number -= 1) {
      const layer = this.layers[number];
      const before = number ? outputs[number - 1] : { values: input, side: 28 };
      if (layer.relu) change = change.map((value, i) => (outputs[number].values[i] > 0 ? value : 0));
      change = BACKWARD[layer.kind](layer, change, before, outputs[number]);
    }
    return change;
  }
}

/** Numbers above 0 that sum to 1, in the proportions of e to the power of each. */
export function softmax(scores) {
  const most = Math.max(...scores);
  const raised = Array.from(scores, (score) => Math.exp(score - most));
  const sum = raised.reduce((all, value) => all + value, 0);
  return raised.map((value) => value / sum);
}

/** The gradient by the scores of the logarithm of an answer's odds against all others. */
export function oddsGradient(scores, target) {
  const others = softmax(Array.from(scores, (score, answer) => (answer === target ? -Infinity : score)));
  return others.map((share, answer) => (answer === target ? 1 : -share));
}

const FORWARD = {
  convolution(layer, values, side) {
    const { kernel, stride, inputs, outputs, weights, bias } = layer;
    const size = Math.floor((side - kernel) / stride) + 1;
    const result = new Float32Array(size * size * outputs);
    const sums = new Float32Array(outputs);
    for (let y = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1) {
        sums.set(bias);
        for (let ky = 0; ky < kernel; ky += 1) {
          let from = ((y * stride + ky) * side + x * stride) * inputs;
          let row = ky * kernel * inputs * outputs;
          // A row of the window: so many neighbouring pixels with all of their channels.
          for (const end = from + kernel * inputs; from < end; from += 1, row += outputs) {
            const value = values[from];
            // After a ReLU, and on blank paper, most values are 0.
            if (value !== 0) for (let i = 0; i < outputs; i += 1) sums[i] += value * weights[row + i];
          }
        }
        result.set(sums, (y * size + x) * outputs);
      }
    }
    return [rectified(layer, result), size];
  },
  dense(layer, values) {
    const { outputs, weights } = layer;
    const result = Float32Array.from(layer.bias);
    for (let from = 0; from < values.length; from += 1) {
      const value = values[from];
      if (value !== 0) for (let i = 0; i < outputs; i += 1) result[i] += value * weights[from * outputs + i];
    }
    return [rectified(layer, result), 1];
  },
  pool({ kernel, channels }, values, side) {
    const size = Math.floor(side / kernel);
    const result = new Float32Array(size * size * channels).fill(-Infinity);
    eachPooled(kernel, channels, side, (from, to) => { result[to] = Math.max(result[to], values[from]); });
    return [result, size];
  },
};

const BACKWARD = {
  convolution({ kernel, stride, inputs, outputs, weights }, change, { values, side }) {
    const result = new Float32Array(values.length);
    const size = Math.floor((side - kernel) / stride) + 1;
    for (let y = 0, at = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1, at += outputs) {
        for (let ky = 0; ky < kernel; ky += 1) {
          let to = ((y * stride + ky) * side + x * stride) * inputs;
          let row = ky * kernel * inputs * outputs;
          for (const end = to + kernel * inputs; to < end; to += 1, row += outputs) {
            let sum = 0;
            for (let i = 0; i < outputs; i += 1) sum += change[at + i] * weights[row + i];
            result[to] += sum;
          }
        }
      }
    }
    return result;
  },
  dense({ outputs, weights }, change, { values }) {
    return Float32Array.from(values, (_, from) => {
      let sum = 0;
      for (let i = 0; i < outputs; i += 1) sum += change[i] * weights[from * outputs + i];
      return sum;
    });
  },
  pool({ kernel, channels }, change, { values, side }, after) {
    const result = new Float32Array(values.length);
    eachPooled(kernel, channels, side, (from, to) => { if (values[from] === after.values[to]) result[from] = change[to]; });
    return result;
  },
};

function rectified(layer, values) {
  if (layer.relu) for (let i = 0; i < values.length; i += 1) if (values[i] < 0) values[i] = 0;
  return values;
}

/** Calls `visit` with the place of each value and that of the maximum over its square of kernel × kernel pixels. */
function eachPooled(kernel, channels, side, visit) {
  const size = Math.floor(side / kernel);
  for (let y = 0; y < size * kernel; y += 1) {
    for (let x = 0; x < size * kernel; x += 1) {
      const [from, to] = [y * side + x, Math.floor(y / kernel) * size + Math.floor(x / kernel)];
      for (let i = 0; i < channels; i += 1) visit(from * channels + i, to * channels + i);
    }
  }
}
