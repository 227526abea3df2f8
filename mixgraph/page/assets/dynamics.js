// Nonlinear processors, sample by sample, with the dry/wet mix of paper eq. 2.
"use strict";

const parameter = (name, defaultValue) => ({ name, defaultValue, automationRate: "a-rate" });

// A parameter of one block: one value, or one a sample while it moves.
const reader = (values) => (values.length > 1 ? (i) => values[i] : () => values[0]);

const SILENCE = new Float32Array(128);

// Compressors and gates (paper eq. 16-23): energy, its envelope, the quadratic knee, the gain.
class MixgraphDynamics extends AudioWorkletProcessor {
  static get parameterDescriptors() {
    return [
      parameter("weight", 1),
      parameter("threshold", 0), // ln energy
      parameter("halfKnee", 1), // of the same unit
      parameter("slope", 0), // ln gain for every unit past the threshold
      parameter("makeup", 0), // ln gain
      parameter("attack", 1), // 1 - a where the energy is above the envelope
      parameter("release", 1), // 1 - a where it is not
    ];
  }

  constructor(options) {
    super();
    const { direction, mid, floor, keyed, taps } = options.processorOptions;
    Object.assign(this, { direction, mid, floor, keyed, envelope: 0 });
    this.past = taps ? new Float64Array(taps) : null; // envelopes, of a response that is cut after so many samples
    this.at = 0;
  }

  process(inputs, outputs, parameters) {
    const [left, right] = [inputs[0][0] || SILENCE, inputs[0][1] || inputs[0][0] || SILENCE];
    const key = this.keyed ? inputs[1] : inputs[0];
    const [keyLeft, keyRight] = [key[0] || SILENCE, key[1] || key[0] || SILENCE];
    const [outLeft, outRight] = outputs[0];
    const weight = reader(parameters.weight);
    const [threshold, halfKnee] = [reader(parameters.threshold), reader(parameters.halfKnee)];
    const [slope, makeup] = [reader(parameters.slope), reader(parameters.makeup)];
    const [attack, release] = [parameters.attack[0], parameters.release[0]];
    const { past } = this;
    const fade = past ? (1 - attack) ** past.length : 0;
    let envelope = this.envelope;
    for (let i = 0; i < outLeft.length; i++) {
      const [l, r] = [keyLeft[i], keyRight[i]];
      const energy = this.mid ? (l + r) * (l + r) : (l * l + r * r) / 2;
      envelope += (energy > envelope ? attack : release) * (energy - envelope);
      let heard = envelope;
      if (past) {
        heard = Math.max(envelope - fade * past[this.at], 0);
        past[this.at] = envelope;
        this.at = (this.at + 1) % past.length;
      }
      const half = halfKnee(i);
      const distance = this.direction * (Math.log(heard + this.floor) - threshold(i));
      const inside = Math.min(Math.max(distance + half, 0), 2 * half);
      const bent = (inside * inside) / (4 * half) + Math.max(distance - half, 0);
      const w = weight(i);
      const gain = 1 - w + w * Math.exp(slope(i) * bent + makeup(i));
      outLeft[i] = left[i] * gain;
      outRight[i] = right[i] * gain;
    }
    this.envelope = envelope < 1e-30 ? 0 : envelope;
    return true;
  }
}

// y = (tanh(d x + b) - tanh(b)) / (d (1 - tanh(b)^2)), by the sum of tanh, so that nothing cancels.
class MixgraphSaturator extends AudioWorkletProcessor {
  static get parameterDescriptors() {
    return [parameter("weight", 1), parameter("drive", 1), parameter("bias", 0)];
  }

  process(inputs, outputs, parameters) {
    const [weight, drive, bias] = ["weight", "drive", "bias"].map((name) => reader(parameters[name]));
    for (let channel = 0; channel < outputs[0].length; channel++) {
      const signal = inputs[0][channel] || inputs[0][0] || SILENCE;
      const out = outputs[0][channel];
      for (let i = 0; i < out.length; i++) {
        const [d, w] = [drive(i), weight(i)];
        const bent = Math.tanh(d * signal[i]);
        out[i] = (1 - w) * signal[i] + (w * bent) / (d * (1 + Math.tanh(bias(i)) * bent));
      }
    }
    return true;
  }
}

// A gain that moves: straight lines in dB between points of the song. The second input has the position.
class MixgraphFader extends AudioWorkletProcessor {
  static get parameterDescriptors() {
    return [parameter("weight", 1), parameter("gain", 0)];
  }

  constructor(options) {
    super();
    const { points, interval, latency } = options.processorOptions;
    Object.assign(this, { points, interval, latency, first: 0, position: null });
    this.port.onmessage = (event) => {
      this.first = event.data;
    };
  }

  // Without a source of the position, the song starts when the context does.
  place(position, i) {
    if (position) this.position = position[i];
    return this.position === null ? currentFrame + i - this.latency : this.first + this.position;
  }

  logGain(place) {
    const { points, interval } = this;
    const inside = Math.min(Math.max(place, 0), (points.length - 1) * interval);
    const before = Math.min(Math.floor(inside / interval), Math.max(0, points.length - 2));
    const share = inside / interval - before;
    const after = Math.min(before + 1, points.length - 1);
    return points[before] + share * (points[after] - points[before]);
  }

  process(inputs, outputs, parameters) {
    const [weight, gain] = [reader(parameters.weight), reader(parameters.gain)];
    const position = inputs[1][0];
    const [left, right] = [inputs[0][0] || SILENCE, inputs[0][1] || inputs[0][0] || SILENCE];
    for (let i = 0; i < outputs[0][0].length; i++) {
      const w = weight(i);
      const total = 1 - w + w * Math.exp(this.logGain(this.place(position, i)) + gain(i));
      outputs[0][0][i] = left[i] * total;
      outputs[0][1][i] = right[i] * total;
    }
    return true;
  }
}

registerProcessor("mixgraph-dynamics", MixgraphDynamics);
registerProcessor("mixgraph-saturator", MixgraphSaturator);
registerProcessor("mixgraph-fader", MixgraphFader);
