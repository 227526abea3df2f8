// One unit a processor: Web Audio nodes with an input (and a key), one output an outlet, and `act`, which sets them.

const RAMP = 0.01; // seconds
const LONGEST_WAIT = 0.25; // seconds until a new response is faded in

const fromDb = (db) => 10 ** (db / 20);
const isOffline = (context) => typeof OfflineAudioContext !== "undefined" && context instanceof OfflineAudioContext;

function stereoGain(context, value = 1) {
  return new GainNode(context, { gain: value, channelCount: 2, channelCountMode: "explicit" });
}

function move(context, param, value) {
  if (isOffline(context) || context.state !== "running") {
    param.cancelScheduledValues(0);
    param.value = value;
    return;
  }
  const now = context.currentTime;
  param.cancelScheduledValues(now);
  param.setValueAtTime(param.value, now);
  param.linearRampToValueAtTime(value, now + RAMP);
}

// Single-precision seconds whose product with the rate is whole: one number, or two where no one number has it.
function wholeTimes(samples, rate) {
  const single = (whole) => {
    const near = Math.fround(whole / rate);
    const tries = [0, 1, -1, 2, -2].map((n) => Math.fround(near + n * near * 2 ** -24));
    return tries.find((time) => Math.fround(time * rate) === whole);
  };
  for (let first = 0; first <= samples / 2; first++) {
    const times = [first, samples - first].filter((part) => part > 0).map(single);
    if (!times.includes(undefined)) return times;
  }
  throw new RangeError(`No delay of ${samples} samples can be had at ${rate} Hz.`);
}

// The source, late by whole samples.
function delayed(source, samples) {
  const { context } = source;
  const stereo = { channelCount: 2, channelCountMode: "explicit" }; // when a source ends, what is under way stays stereo
  return wholeTimes(samples, context.sampleRate).reduce((late, time) => {
    const maxDelayTime = time + 2 / context.sampleRate;
    return late.connect(new DelayNode(context, { delayTime: time, maxDelayTime, ...stereo }));
  }, source);
}

// left' = a left + b right, right' = c left + d right.
class Matrix {
  constructor(context) {
    this.context = context;
    this.input = stereoGain(context);
    const [splitter, merger] = [new ChannelSplitterNode(context, { numberOfOutputs: 2 }), new ChannelMergerNode(context, { numberOfInputs: 2 })];
    this.input.connect(splitter);
    this.gains = [0, 1, 2, 3].map((n) => {
      const gain = new GainNode(context, { gain: 0 });
      splitter.connect(gain, n % 2).connect(merger, 0, n >> 1);
      return gain;
    });
    this.output = merger;
  }

  set(values) {
    values.forEach((value, n) => move(this.context, this.gains[n].gain, value));
  }
}

// (1 - w) dry + w wet (paper eq. 2) for gains (eq. 10-11), on the matrix of both channels.
function gainMatrices(type, s, w) {
  const dry = 1 - w;
  if (type === "gain_panning") {
    return [[dry + w * fromDb(s.gain_left_db), 0, 0, dry + w * fromDb(s.gain_right_db)]];
  }
  if (type === "send") return [[w * fromDb(s.gain_db), 0, 0, w * fromDb(s.gain_db)]];
  if (type === "stereo_imager") {
    const [same, other] = [(1 + fromDb(s.side_db)) / 2, (1 - fromDb(s.side_db)) / 2];
    return [[dry + w * same, w * other, w * other, dry + w * same]];
  }
  const [mid, side] = [(w * fromDb(s.mid_db)) / 2, (w * fromDb(s.side_db)) / 2];
  return [[dry + mid, mid, mid, dry + mid], [side, -side, -side, side]];
}

class GainsUnit {
  constructor(context, processor) {
    this.type = processor.type;
    this.input = stereoGain(context);
    this.matrices = Array.from({ length: processor.outlets }, () => new Matrix(context));
    this.matrices.forEach((matrix) => this.input.connect(matrix.input));
    this.outputs = this.matrices.map((matrix) => matrix.output);
  }

  act(settings, weight) {
    gainMatrices(this.type, settings, weight).forEach((values, n) => this.matrices[n].set(values));
  }
}

// A convolution whose response is replaced while it plays.
class Convolution {
  constructor(context) {
    this.context = context;
    this.input = stereoGain(context);
    this.output = stereoGain(context);
    this.playing = null;
    this.next = null;
    this.timer = 0;
  }

  set(channels) {
    const fresh = this.make(channels);
    if (!this.playing || isOffline(this.context) || this.context.state !== "running") {
      [this.playing, this.next].forEach((old) => old && this.remove(old));
      [this.playing, this.next] = [fresh, null];
      fresh.gain.gain.value = 1;
      return;
    }
    if (this.next) this.remove(this.next);
    this.next = fresh;
    clearTimeout(this.timer);
    const wait = Math.min(channels[0].length / this.context.sampleRate, LONGEST_WAIT);
    this.timer = setTimeout(() => this.fade(), 1000 * wait);
  }

  // Two channels always: a source that ends turns to mono, and so would the tail of a mono response.
  make(response) {
    const { context } = this;
    const channels = [response[0], response[response.length - 1]];
    const buffer = new AudioBuffer({ length: channels[0].length, numberOfChannels: channels.length, sampleRate: context.sampleRate });
    channels.forEach((channel, n) => buffer.copyToChannel(Float32Array.from(channel), n));
    const convolver = new ConvolverNode(context, { disableNormalization: true, buffer, channelCount: 2, channelCountMode: "explicit" });
    const gain = stereoGain(context, 0);
    this.input.connect(convolver).connect(gain).connect(this.output);
    return { convolver, gain };
  }

  fade() {
    const [old, fresh] = [this.playing, this.next];
    [this.playing, this.next] = [fresh, null];
    move(this.context, old.gain.gain, 0);
    move(this.context, fresh.gain.gain, 1);
    setTimeout(() => this.remove(old), 1000 * (RAMP + 0.1));
  }

  remove({ convolver, gain }) {
    this.input.disconnect(convolver);
    convolver.disconnect();
    gain.disconnect();
  }
}

// A linear processor with memory; its dry sound waits for the look-ahead of its response.
class ResponseUnit {
  constructor(context, processor, model, before) {
    Object.assign(this, { context, processor, model, before, shape: null });
    this.input = stereoGain(context);
    this.dry = delayed(this.input, before);
    this.outputs = Array.from({ length: processor.outlets }, () => stereoGain(context));
    this.convolutions = [];
    this.cables = new Map();
    this.build();
  }

  build() {
    const { sound, outlets } = this.processor;
    this.connect("dry 0", this.dry, 0);
    const baked = sound.kind === "response";
    for (let n = 0; n < (baked ? outlets : 1); n++) {
      const convolution = new Convolution(this.context);
      this.convolutions.push(convolution);
      const wet = sound.mid_side ? this.inMidSide(convolution) : (this.input.connect(convolution.input), convolution.output);
      this.connect(`wet ${n}`, wet, n);
      if (sound.kind === "band_splitter") {
        this.connect("dry 1", this.dry, 1);
        this.connect("wet 1", wet, 1);
      }
    }
  }

  connect(name, source, outlet) {
    const gain = stereoGain(this.context, 0);
    source.connect(gain).connect(this.outputs[outlet]);
    this.cables.set(name, gain);
  }

  inMidSide(convolution) {
    const [to, from] = [new Matrix(this.context), new Matrix(this.context)];
    to.set([0.5, 0.5, 0.5, -0.5]);
    from.set([1, 1, 1, -1]);
    this.input.connect(to.input);
    to.output.connect(convolution.input);
    convolution.output.connect(from.input);
    return from.output;
  }

  responses(settings) {
    const { sound } = this.processor;
    if (sound.kind === "response") return sound.responses.map((channels) => channels.map(unpack));
    return [RESPONSES[sound.kind](sound, settings, this.model)];
  }

  act(settings, weight) {
    const shape = JSON.stringify(Object.entries(settings).filter(([name]) => isShaping(name)));
    if (shape !== this.shape) {
      this.shape = shape;
      this.responses(settings).forEach((response, n) => this.convolutions[n].set(response));
    }
    for (const [name, value] of Object.entries(this.shares(settings, weight))) {
      if (this.cables.has(name)) move(this.context, this.cables.get(name).gain, value);
    }
  }

  shares(settings, w) {
    const dry = this.processor.cuts ? 0 : 1 - w;
    if (this.processor.sound.kind === "band_splitter") {
      const [low, high] = [w * fromDb(settings.low_db), w * fromDb(settings.high_db)];
      return { "dry 0": dry, "wet 0": low, "dry 1": high, "wet 1": -high };
    }
    const wet = w * fromDb(settings.level_db ?? 0);
    return { "dry 0": dry, "wet 0": wet, "wet 1": wet, "wet 2": wet };
  }
}

class WorkletUnit {
  constructor(context, name, processor, options = {}, inputs = 1) {
    Object.assign(this, { context, processor });
    const stereo = { channelCount: 2, channelCountMode: "explicit", outputChannelCount: [2] };
    this.node = new AudioWorkletNode(context, name, { numberOfInputs: inputs, processorOptions: options, ...stereo });
    this.input = stereoGain(context);
    this.input.connect(this.node);
    this.outputs = [this.node];
  }

  move(values) {
    for (const [name, value] of Object.entries(values)) move(this.context, this.node.parameters.get(name), value);
  }
}

// The envelope's numbers (paper eq. 16-23) from settings in dB and ms.
function dynamicsValues({ sound, settings: found }, settings, rate) {
  const perNeper = 10 / Math.log(10);
  const untouched = found.find(({ name }) => name === "threshold_db").value === settings.threshold_db;
  const blind = sound.mid ? 20 * Math.log10(2) : 0;
  const energy = 10 ** ((settings.threshold_db - sound.offset_db + blind) / 10) + sound.floor;
  const share = (ms) => -Math.expm1(-1000 / (ms * rate));
  const one = settings.time_constant_ms;
  return {
    threshold: untouched ? sound.log_threshold / perNeper : Math.log(energy),
    halfKnee: settings.knee_db / perNeper / 2,
    slope: sound.exponent * (sound.direction > 0 ? 1 / settings.ratio - 1 : 1 - settings.ratio),
    makeup: (settings.make_up_db ?? 0) / NEPER,
    attack: share(one ?? settings.attack_ms),
    release: share(one ?? settings.release_ms),
  };
}

class DynamicsUnit extends WorkletUnit {
  constructor(context, processor) {
    super(context, "mixgraph-dynamics", processor, processor.sound, processor.sound.keyed ? 2 : 1);
    if (processor.sound.keyed) {
      this.key = stereoGain(context);
      this.key.connect(this.node, 0, 1);
    }
  }

  act(settings, weight) {
    this.move({ weight, ...dynamicsValues(this.processor, settings, this.context.sampleRate) });
  }
}

class SaturatorUnit extends WorkletUnit {
  constructor(context, processor) {
    super(context, "mixgraph-saturator", processor);
  }

  act(settings, weight) {
    const drive = fromDb(settings.drive_db + this.processor.sound.offset_db);
    this.move({ weight, drive, bias: settings.bias });
  }
}

class FaderUnit extends WorkletUnit {
  constructor(context, processor, model, before, latency) {
    const { points, interval } = processor.sound;
    super(context, "mixgraph-fader", processor, { points: unpack(points), interval, latency }, 2);
    this.latency = latency;
  }

  act(settings, weight) {
    this.move({ weight, gain: settings.gain_db / NEPER });
  }
}

class PassUnit {
  constructor(context, processor) {
    this.input = stereoGain(context);
    this.outputs = Array.from({ length: processor.outlets }, (_, n) => (n ? stereoGain(context) : this.input));
  }

  act() {}
}

const UNITS = { gains: GainsUnit, dynamics: DynamicsUnit, saturator: SaturatorUnit, fader: FaderUnit, none: PassUnit };
