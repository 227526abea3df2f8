// Impulse responses from settings, in double precision, as mixgraph/processors makes them.

const NEPER = 20 / Math.log(10); // dB of a natural-log amplitude of 1

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

const tables = new Map();

// cos(2 pi n / N), n = 0 ... N - 1.
function cosines(size) {
  if (!tables.has(size)) {
    tables.set(size, Float64Array.from({ length: size }, (_, n) => Math.cos((2 * Math.PI * n) / size)));
  }
  return tables.get(size);
}

// Windowed inverse transform of a zero-phase magnitude (paper eq. 12): 2 bins - 1 taps, time zero in the middle.
function zeroPhase(magnitude, window) {
  const bins = magnitude.length;
  const taps = 2 * bins - 1;
  const cosine = cosines(taps);
  const fir = new Float64Array(taps);
  for (let n = 0; n < bins; n++) {
    let sum = magnitude[0];
    for (let k = 1, place = n; k < bins; k++) {
      sum += 2 * magnitude[k] * cosine[place];
      place += n;
      if (place >= taps) place -= taps;
    }
    fir[bins - 1 + n] = (sum / taps) * window[bins - 1 + n];
    fir[bins - 1 - n] = (sum / taps) * window[bins - 1 - n];
  }
  return fir;
}

// Real signal of even length N from N / 2 + 1 bins; even and odd parts are summed apart.
function inverseReal(real, imaginary, size) {
  const half = size / 2;
  const cosine = cosines(size);
  const quarter = size - size / 4; // sin(x) = cos(x - pi / 2), for lengths that 4 divides
  const sines = size % 4 === 0 ? null : Float64Array.from({ length: size }, (_, n) => Math.sin((2 * Math.PI * n) / size));
  const signal = new Float64Array(size);
  for (let n = 0; n <= half; n++) {
    let even = real[0] + (n % 2 ? -1 : 1) * real[half];
    let odd = 0;
    for (let k = 1, place = n; k < half; k++) {
      even += 2 * real[k] * cosine[place];
      odd += 2 * imaginary[k] * (sines ? sines[place] : cosine[(place + quarter) % size]);
      place += n;
      if (place >= size) place -= size;
    }
    signal[n] = (even - odd) / size;
    if (n > 0 && n < half) signal[size - n] = (even + odd) / size;
  }
  return signal;
}

// Root of the energy, the mean of both channels.
function energyLevel(channels) {
  let energy = 1e-12;
  for (const channel of channels) for (const x of channel) energy += (x * x) / channels.length;
  return Math.sqrt(energy);
}

// Unit energy, but for a response that keeps the level of its parameters.
function normalizeEnergy(channels, sound) {
  if (sound.keeps_level) return channels;
  const scale = 1 / energyLevel(channels);
  return channels.map((channel) => channel.map((x) => x * scale));
}

// Equalizer (paper eq. 12-13), tilted around the pivot, and louder.
function equalizerResponse(sound, settings, model) {
  const found = (sound.cache ??= unpack(sound.log_magnitude));
  const window = (sound.taper ??= unpack(sound.window));
  const width = model.sample_rate / (2 * found.length - 1);
  const magnitude = Float64Array.from(found, (level, k) => {
    const octaves = Math.log2(Math.max(k * width, model.tilt.lowest_hz) / model.tilt.pivot_hz);
    return Math.exp(level + (settings.tilt_db_per_octave * octaves + settings.gain_db) / NEPER);
  });
  return [zeroPhase(magnitude, window)];
}

// Fourth-order Linkwitz-Riley magnitude, 1 / (1 + (f / fc)^4).
function lowBandResponse(sound, settings, model) {
  const window = (sound.taper ??= unpack(sound.window));
  const width = model.sample_rate / (2 * sound.bins - 1);
  const magnitude = Float64Array.from({ length: sound.bins }, (_, k) => {
    const ratio = (Math.max(k, 1e-3) * width) / settings.crossover_hz;
    return 1 / (1 + ratio ** 4);
  });
  return [zeroPhase(magnitude, window)];
}

const times = ([a, b], [c, d]) => [a * c - b * d, a * d + b * c];
const over = ([a, b], [c, d]) => {
  const size = c * c + d * d;
  return [(a * c + b * d) / size, (b * c - a * d) / size];
};

// One band at s = j w: the analogue prototypes of mixgraph.processors.parametric_equalizer.
function bandTransfer(band, w, gain, q) {
  const a = 10 ** (gain / 40);
  const bend = (w * Math.sqrt(a)) / q;
  if (band === 0 || band === 5) {
    const [falling, rising] = [[a - w * w, bend], [1 - a * w * w, bend]];
    const [real, imaginary] = band === 0 ? over(falling, rising) : over(rising, falling);
    return [a * real, a * imaginary];
  }
  return over([1 - w * w, (w / q) * a], [1 - w * w, w / q / a]);
}

function parametricResponse(sound, settings, model) {
  const half = sound.taps / 2;
  const [real, imaginary] = [new Float64Array(half + 1), new Float64Array(half + 1)];
  const warped = [1, 2, 3, 4, 5, 6].map((n) => Math.tan((Math.PI * settings[`band_${n}_hz`]) / model.sample_rate));
  for (let k = 0; k <= half; k++) {
    const bilinear = Math.tan(Math.min((Math.PI / 2) * (k / half), Math.PI / 2 - 1e-4));
    let total = [1, 0];
    for (let band = 0; band < 6; band++) {
      const [gain, q] = [settings[`band_${band + 1}_gain_db`], settings[`band_${band + 1}_q`]];
      total = times(total, bandTransfer(band, bilinear / warped[band], gain, q));
    }
    [real[k], imaginary[k]] = total;
  }
  return [inverseReal(real, imaginary, sound.taps)];
}

// Multitap delay (paper eq. 24-26): one filtered tap a segment in each channel.
function delayResponse(sound) {
  const levels = unpack(sound.log_magnitude);
  const window = unpack(sound.window);
  const segments = sound.delays.length / 2;
  const bins = levels.length / sound.delays.length;
  const channels = [0, 1].map(() => new Float64Array(segments * sound.segment));
  sound.delays.forEach((delay, tap) => {
    const fir = zeroPhase(Float64Array.from(levels.subarray(tap * bins, (tap + 1) * bins), Math.exp), window);
    const channel = channels[Math.floor(tap / segments)];
    const middle = (tap % segments) * sound.segment + delay;
    fir.forEach((x, n) => {
      const place = middle + n - (bins - 1);
      if (place >= 0 && place < channel.length) channel[place] += x;
    });
  });
  return normalizeEnergy(channels, sound);
}

// The noise of the reverb: numpy's RandomState(0).uniform, by the Mersenne Twister of Matsumoto and Nishimura 1998.
class MersenneTwister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, before) + i;
    }
    this.place = 624;
  }

  turn() {
    const s = this.state;
    for (let i = 0; i < 624; i++) {
      const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
      s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }

  next() {
    if (this.place === 624) this.turn();
    let y = this.state[this.place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  uniform() {
    const [a, b] = [this.next() >>> 5, this.next() >>> 6];
    return (a * 67108864 + b) / 9007199254740992;
  }
}

const FRAME = 384;
const HOP = 192;
const NOISE_LENGTH = 60000;
const FRAMES = Math.floor(NOISE_LENGTH / HOP) + 1;
let reverbNoise = null;

const hannPeriodic = Float64Array.from({ length: FRAME }, (_, n) => 0.5 * (1 - Math.cos((2 * Math.PI * n) / FRAME)));

// Spectra of a noise, frame by frame, reflected at both ends.
function spectra(noise) {
  const cosine = cosines(FRAME);
  const sine = Float64Array.from({ length: FRAME }, (_, n) => Math.sin((2 * Math.PI * n) / FRAME));
  return Array.from({ length: FRAMES }, (_, frame) => {
    const windowed = hannPeriodic.map((w, n) => {
      const place = Math.abs(frame * HOP + n - HOP);
      return w * noise[place < NOISE_LENGTH ? place : 2 * (NOISE_LENGTH - 1) - place];
    });
    const [real, imaginary] = [new Float64Array(HOP + 1), new Float64Array(HOP + 1)];
    for (let k = 0; k <= HOP; k++) {
      for (let n = 0, place = 0; n < FRAME; n++) {
        real[k] += windowed[n] * cosine[place];
        imaginary[k] -= windowed[n] * sine[place];
        place = (place + k) % FRAME;
      }
    }
    return { real, imaginary };
  });
}

function noiseSpectra() {
  if (!reverbNoise) {
    const random = new MersenneTwister(0);
    const draw = () => Float32Array.from({ length: NOISE_LENGTH }, () => random.uniform() * 2 - 1);
    reverbNoise = [draw(), draw()].map(spectra);
  }
  return reverbNoise;
}

// Windows of frame m over the sum of the overlapping squared windows; the last half is divided by itself alone.
function synthesisWindow(frame, n) {
  if (frame === FRAMES - 1 && n >= HOP) return 1 / hannPeriodic[n];
  const other = hannPeriodic[(n + HOP) % FRAME];
  return hannPeriodic[n] / (hannPeriodic[n] ** 2 + other ** 2);
}

// Noise masked by exp(start + slope m) in frame m (paper eq. 14-15), one channel.
function maskedNoise(noise, start, slope) {
  const signal = new Float64Array((FRAMES - 1) * HOP + FRAME);
  noise.forEach(({ real, imaginary }, frame) => {
    const mask = Float64Array.from(start, (a, k) => Math.exp(a + slope[k] * frame));
    const part = inverseReal(real.map((x, k) => x * mask[k]), imaginary.map((x, k) => x * mask[k]), FRAME);
    part.forEach((x, n) => {
      signal[frame * HOP + n] += x * synthesisWindow(frame, n);
    });
  });
  return signal.subarray(HOP, HOP + NOISE_LENGTH);
}

function shapedNoise([startMid, startSide], [slopeMid, slopeSide], sound) {
  const [noiseMid, noiseSide] = noiseSpectra();
  const mid = maskedNoise(noiseMid, startMid, slopeMid);
  const side = maskedNoise(noiseSide, startSide, slopeSide);
  return normalizeEnergy([mid.map((x, n) => x + side[n]), mid.map((x, n) => x - side[n])], sound);
}

function reverbResponse(sound, settings) {
  const [start, slope] = [unpack(sound.start), unpack(sound.slope).map((x) => x / settings.decay)];
  const halves = (values) => [values.subarray(0, HOP + 1), values.subarray(HOP + 1)];
  return shapedNoise(halves(start), halves(slope), sound);
}

// The late reverb: decay time and colour at three frequencies.
function lateReverbResponse(sound, settings, model) {
  const knots = unpack(sound.knots);
  const blend = (values, k) => values.reduce((sum, value, knot) => sum + value * knots[knot * (HOP + 1) + k], 0);
  const colours = [1, 2, 3].map((n) => settings[`colour_${n}_db`] / NEPER);
  const decays = [1, 2, 3].map((n) => -Math.log(settings[`t60_${n}_seconds`]));
  const decay = (-Math.log(1000) * HOP) / model.sample_rate;
  const bins = Array.from({ length: HOP + 1 }, (_, k) => k);
  const mid = bins.map((k) => blend(colours, k));
  const side = mid.map((level) => level + settings.width_db / NEPER);
  const slope = bins.map((k) => decay * Math.exp(blend(decays, k)));
  return shapedNoise([mid, side], [slope, slope], sound);
}

const RESPONSES = {
  equalizer: equalizerResponse,
  band_splitter: lowBandResponse,
  parametric_equalizer: parametricResponse,
  delay: delayResponse,
  reverb: reverbResponse,
  late_reverb: lateReverbResponse,
};
// Settings that a response is made of; the others are gains.
const isShaping = (name) => !["wet", "level_db", "low_db", "high_db"].includes(name);
