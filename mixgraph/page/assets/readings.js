// What a processor does, as a page draws it, with settings that were moved: kind of sound -> reading of a reading as found.

const SILENT_DB = -170;
const WET_ONLY = 0.999; // the dry sound is 60 dB below

const toDb = (amplitude) => {
  const level = 20 * Math.log10(Math.max(Math.abs(amplitude), 1e-9));
  return level > SILENT_DB ? level : null;
};

// The wet sound against a dry one of the same energy.
const againstDry = (w) => (w > WET_ONLY ? w : w / (1 - w));

const oneLine = (found, y) => ({ ...found, lines: { ...found.lines, "": y } });

// An equalizer's gain over frequency, dry sound included.
function responseReading(found, { sound, node }, settings, w, model) {
  const { before } = model.nodes.find((one) => one.node === node);
  const [taps] = RESPONSES[sound.kind](sound, settings, model);
  const levels = found.x.map((hertz) => {
    const step = (2 * Math.PI * hertz) / model.sample_rate;
    let [real, imaginary] = [1 - w, 0];
    taps.forEach((x, n) => {
      real += w * x * Math.cos(step * (n - before));
      imaginary -= w * x * Math.sin(step * (n - before));
    });
    return toDb(Math.hypot(real, imaginary));
  });
  return oneLine(found, levels);
}

// Levels out of levels in, at the tracks' own level; gains of levels of the key where there is one.
function dynamicsReading(found, processor, settings, w, model) {
  const { sound } = processor;
  const { threshold, halfKnee, slope, makeup } = dynamicsValues(processor, settings, model.sample_rate);
  const levels = found.x.map((level) => {
    const energy = 10 ** ((level - sound.offset_db) / 10) * (sound.mid ? 4 : 1) + sound.floor;
    const distance = sound.direction * (Math.log(energy) - threshold);
    const inside = Math.min(Math.max(distance + halfKnee, 0), 2 * halfKnee);
    const bent = inside ** 2 / (4 * halfKnee) + Math.max(distance - halfKnee, 0);
    return (sound.keyed ? 0 : level) + 20 * Math.log10(Math.max(1 - w + w * Math.exp(slope * bent + makeup), 1e-9));
  });
  return oneLine(found, levels);
}

function saturatorReading(found, processor, settings, w) {
  const drive = fromDb(settings.drive_db);
  const out = (x) => Math.tanh(drive * x) / (drive * (1 + Math.tanh(settings.bias) * Math.tanh(drive * x)));
  return oneLine(found, found.x.map((x) => (1 - w) * x + w * out(x)));
}

// The gain at seconds of the song.
function faderReading(found, { sound }, settings, w, model) {
  const points = (sound.cache ??= unpack(sound.points));
  const gains = found.x.map((seconds) => {
    const place = Math.min((seconds * model.sample_rate) / sound.interval, points.length - 1);
    const [low, high] = [points[Math.floor(place)], points[Math.ceil(place)]];
    return toDb(1 - w + w * Math.exp(low + (place % 1) * (high - low) + settings.gain_db / NEPER));
  });
  return oneLine(found, gains);
}

// Gains of channels or outlets; the dry sound of a splitter goes to its first outlet.
function gainsReading(found, { type, cuts, outlets }, settings, w) {
  const key = { left: "gain_left_db", right: "gain_right_db", gain: "gain_db" };
  const bars = Object.keys(found.bars).map((name, n) => {
    const setting = key[name] ?? `${name}_db`;
    const wet = type === "stereo_imager" && name === "mid" ? 1 : fromDb(settings[setting]);
    const dry = cuts || (outlets > 1 && n > 0) ? 0 : 1 - w;
    return [name, toDb(dry + w * wet)];
  });
  return { ...found, bars: Object.fromEntries(bars) };
}

function delayReading(found, { wet }, settings, w) {
  const louder = 20 * Math.log10(againstDry(w) / againstDry(wet)) + settings.level_db;
  const taps = found.taps.map(([channel, ms, level]) => [channel, ms, level === null || level + louder < SILENT_DB ? null : level + louder]);
  return { ...found, taps };
}

function reverbLevel({ sound }, settings, w, model) {
  let wet = againstDry(w) * fromDb(settings.level_db);
  if (sound.keeps_level) {
    const channels = sound.responses?.[0].map(unpack) ?? RESPONSES[sound.kind](sound, settings, model);
    wet *= energyLevel(channels) * Math.sqrt(model.sample_rate / 30000);
  }
  return { level: toDb(wet) };
}

// Decay times over frequency, and the level of the reverberation.
function reverbReading(found, processor, settings, w, model) {
  const longer = (seconds) => seconds.map((one) => (one === null ? null : one * (settings.decay ?? 1)));
  const lines = Object.fromEntries(Object.entries(found.lines).map(([name, seconds]) => [name, longer(seconds)]));
  return { ...found, lines, bars: reverbLevel(processor, settings, w, model) };
}

function lateReverbReading(found, processor, settings, w, model) {
  const { sound } = processor;
  const knots = unpack(sound.knots);
  const seconds = found.x.map((hertz) => {
    const bin = Math.round((hertz * 2 * HOP) / model.sample_rate);
    const logs = [1, 2, 3].map((n, knot) => Math.log(settings[`t60_${n}_seconds`]) * knots[knot * (HOP + 1) + bin]);
    return Math.exp(logs.reduce((a, b) => a + b));
  });
  return { ...found, lines: { mid: seconds, side: seconds }, bars: reverbLevel(processor, settings, w, model) };
}

// A response that was made beforehand: echoes and reverberation have a level.
function bakedReading(found, processor, settings, w, model) {
  if (found.taps && "level_db" in settings) return delayReading(found, processor, settings, w);
  return found.bars && "level_db" in settings ? reverbReading(found, processor, settings, w, model) : found;
}

const READINGS = {
  equalizer: responseReading,
  parametric_equalizer: responseReading,
  dynamics: dynamicsReading,
  saturator: saturatorReading,
  fader: faderReading,
  gains: gainsReading,
  band_splitter: gainsReading,
  delay: delayReading,
  reverb: reverbReading,
  late_reverb: lateReverbReading,
  response: bakedReading,
};
