// The console: a found graph as Web Audio nodes that can be changed while they play.

const LOADED = new WeakMap(); // context -> the promise of its worklet

class MixConsole {
  constructor(context, model) {
    if (!context.audioWorklet) throw new Error("This browser has no AudioWorklet: the console cannot be played.");
    if (context.sampleRate !== model.sample_rate) {
      throw new Error(`An audio context at ${model.sample_rate} Hz is needed, got ${context.sampleRate} Hz.`);
    }
    Object.assign(this, { context, model, latency: model.latency, onprogress: null });
    this.output = stereoGain(context, 1 / model.level);
    this.position = stereoGain(context);
    this.heads = new Map([...model.tracks, ...model.groups].map((head) => [head.id, head]));
    this.processors = new Map(model.processors.map((processor) => [processor.id, processor]));
    this.inputs = new Map(model.tracks.map(({ id }) => [id, stereoGain(context)]));
    this.trackGains = new Map(model.tracks.map(({ id }) => [id, stereoGain(context, model.level)]));
    this.waiting = new Map();
    this.taps = new Map();
    this.forget();
    this.ready = this.build();
  }

  // Loads the worklet, once for a context. It halts what plays for some blocks, which leaves recordings behind the time
  // of the context: to be awaited before they start.
  static load(context) {
    if (!LOADED.has(context)) LOADED.set(context, context.audioWorklet.addModule(WORKLET_ADDRESS));
    return LOADED.get(context);
  }

  forget() {
    this.state = new Map(this.model.processors.map(({ id, settings }) => [id, MixConsole.found(settings)]));
    [this.mutes, this.solos] = [new Set(), new Set()];
  }

  static found(settings) {
    return { bypass: false, ...Object.fromEntries(settings.map(({ name, value }) => [name, value])) };
  }

  async build() {
    await MixConsole.load(this.context);
    const types = new Map(this.model.nodes.map((node) => [node.node, node]));
    const byNode = new Map(this.model.processors.map((processor) => [processor.node, processor]));
    const trackAt = new Map(this.model.tracks.map((track) => [track.node, track]));
    this.units = new Map();
    let done = 0;
    for (const node of this.model.nodes) {
      this.units.set(node.node, this.unit(node, byNode.get(node.node), trackAt.get(node.node)));
      this.wire(node, types);
      if (byNode.has(node.node)) {
        this.act(byNode.get(node.node).id);
        this.onprogress?.(++done, byNode.size);
        if (done % 8 === 0) await new Promise((resolve) => setTimeout(resolve));
      }
    }
  }

  unit(node, processor, track) {
    if (track) {
      const gain = this.trackGains.get(track.id);
      this.inputs.get(track.id).connect(gain);
      return { outputs: [gain] };
    }
    if (!processor) {
      const sum = stereoGain(this.context);
      if (node.type === "output") sum.connect(this.output);
      return { input: sum, outputs: [sum] };
    }
    const Unit = UNITS[processor.sound.kind] ?? ResponseUnit;
    return new Unit(this.context, processor, this.model, node.before, node.latency - node.before);
  }

  // Every cable that enters a node is delayed to the latest one.
  wire(node, nodes) {
    for (const [source, destination, outlet, inlet] of this.model.cables) {
      if (destination !== node.node) continue;
      const unit = this.units.get(destination);
      const target = inlet > 0 ? unit.key : unit.input;
      this.late(source, outlet, node.latency - node.before - nodes.get(source).latency).connect(target);
    }
  }

  late(source, outlet, samples) {
    const key = `${source} ${outlet} ${samples}`;
    if (samples <= 0) return this.units.get(source).outputs[outlet];
    if (!this.waiting.has(key)) {
      this.waiting.set(key, delayed(this.units.get(source).outputs[outlet], samples));
    }
    return this.waiting.get(key);
  }

  input(id) {
    if (!this.inputs.has(id)) throw new RangeError(`A track is needed, got ${id}.`);
    return this.inputs.get(id);
  }

  align(node) {
    return delayed(node, this.latency);
  }

  // A chain's sound in time with the output. To be asked for when the engine is ready.
  tap(id, place) {
    const key = `${id} ${place}`;
    if (this.taps.has(key)) return this.taps.get(key);
    const head = this.head(id);
    const tap = stereoGain(this.context, 1 / this.model.level);
    const latencies = new Map(this.model.nodes.map(({ node, latency }) => [node, latency]));
    if (place === "before" && this.inputs.has(id)) {
      tap.gain.value = 1;
      this.align(this.inputs.get(id)).connect(tap);
    } else {
      const ends = place === "before" ? [[head.node, 0]] : head.ends;
      for (const [node, outlet] of ends) this.late(node, outlet, this.latency - latencies.get(node)).connect(tap);
    }
    this.taps.set(key, tap);
    return tap;
  }

  head(id) {
    if (!this.heads.has(id)) throw new RangeError(`A track or group is needed, got ${id}.`);
    return this.heads.get(id);
  }

  processor(id) {
    if (!this.processors.has(id)) throw new RangeError(`A processor is needed, got ${id}.`);
    return this.processors.get(id);
  }

  get(id) {
    return { ...this.state.get(this.processor(id).id) };
  }

  set(id, values) {
    this.check(id, values);
    Object.assign(this.state.get(id), values);
    this.act(id);
  }

  check(id, values) {
    const { settings, label } = this.processor(id);
    for (const [name, value] of Object.entries(values)) {
      if (name === "bypass") continue;
      const setting = settings.find((one) => one.name === name);
      if (!setting) {
        const known = settings.map((one) => one.name).join(", ") || "none";
        throw new RangeError(`${label}: one of the settings ${known} is needed, got ${name}.`);
      }
      if (!(typeof value === "number" && value >= setting.min && value <= setting.max)) {
        const [low, high] = [setting.min, setting.max].map((end) => Number(end.toPrecision(6)));
        throw new RangeError(`${label}: ${name}: ${low} to ${high} ${setting.unit} is needed, got ${JSON.stringify(value)}.`);
      }
    }
  }

  act(id) {
    const { bypass, wet, ...settings } = this.state.get(id);
    this.units?.get(this.processors.get(id).node)?.act(settings, bypass ? 0 : wet ?? this.processors.get(id).wet);
  }

  mute(id, on) {
    this.mark(this.mutes, id, on);
  }

  solo(id, on) {
    this.mark(this.solos, id, on);
  }

  mark(marks, id, on) {
    this.rows(id);
    marks[on ? "add" : "delete"](id);
    this.silence();
  }

  muted(id) {
    return this.mutes.has(id);
  }

  soloed(id) {
    return this.solos.has(id);
  }

  rows(id) {
    const head = this.head(id);
    if (this.inputs.has(id)) return [id];
    if (head.kind !== "subgroup") throw new RangeError(`A track or subgroup is needed, got ${head.label}.`);
    return head.tracks;
  }

  audible(id) {
    const within = (marks) => [...marks].some((mark) => this.rows(mark).includes(id));
    return !within(this.mutes) && (this.solos.size === 0 || within(this.solos));
  }

  silence() {
    for (const [id, gain] of this.trackGains) move(this.context, gain.gain, this.audible(id) ? this.model.level : 0);
  }

  reset(id) {
    if (id === undefined) {
      this.forget();
      this.processors.forEach((_, each) => this.act(each));
    } else if (this.processors.has(id)) {
      this.state.set(id, MixConsole.found(this.processor(id).settings));
      this.act(id);
    } else {
      this.head(id);
      [this.mutes, this.solos].forEach((marks) => marks.delete(id));
      this.model.processors.filter(({ chain }) => chain === id).forEach((one) => this.reset(one.id));
    }
    this.silence();
  }

  changes() {
    const processors = {};
    const bypass = [];
    for (const { id, label, settings } of this.model.processors) {
      const state = this.state.get(id);
      const moved = settings.filter(({ name, value }) => state[name] !== value);
      if (moved.length) processors[label] = Object.fromEntries(moved.map(({ name }) => [name, state[name]]));
      if (state.bypass) bypass.push(label);
    }
    const labels = (marks) => [...marks].map((id) => this.head(id).label);
    const { song, graph, changes } = this.model;
    return { ...changes, song, graph, processors, bypass, solo: labels(this.solos), mute: labels(this.mutes) };
  }

  changed() {
    const { processors, bypass, solo, mute } = this.changes();
    return Object.keys(processors).length + bypass.length + solo.length + mute.length > 0;
  }

  // Replaces the whole state by what a changes.json holds; one that cannot be read changes nothing.
  apply(changes) {
    const { settings, bypass, solo, mute } = this.read(changes);
    this.forget();
    settings.forEach(([id, values]) => Object.assign(this.state.get(id), values));
    bypass.forEach((id) => Object.assign(this.state.get(id), { bypass: true }));
    [this.solos, this.mutes] = [new Set(solo), new Set(mute)];
    this.processors.forEach((_, id) => this.act(id));
    this.silence();
  }

  read(changes) {
    const { changes: format, graph, processors } = this.model;
    const need = (is, what, got) => {
      if (!is) throw new Error(`${what} is needed, got ${JSON.stringify(got)?.slice(0, 60) ?? "nothing"}.`);
    };
    const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
    need(isObject(changes), "A file of changes that a page saved", changes);
    need(changes.format === format.format, `The format "${format.format}"`, changes.format);
    need(changes.version === format.version, `Version ${format.version}`, changes.version);
    const known = ["format", "version", "song", "graph", "processors", "bypass", "solo", "mute"];
    for (const key of Object.keys(changes)) need(known.includes(key), `One of ${known.join(", ")}`, key);
    if (changes.graph !== graph) throw new Error("These changes are of another graph: a file that this page saved is needed.");
    const [all, heads] = [changes.processors ?? {}, [...this.heads.values()]];
    need(isObject(all), "processors: an object", all);
    const find = (list, label) => {
      const one = list.find((entry) => entry.label === label);
      need(one, `A label of this graph such as "${list[0]?.label}"`, label);
      return one.id;
    };
    const settings = Object.entries(all).map(([label, values]) => {
      need(isObject(values), `${label}: an object of settings`, values);
      need(!("bypass" in values), `${label}: a setting`, "bypass");
      const id = find(processors, label);
      this.check(id, values);
      return [id, values];
    });
    const [bypass, solo, mute] = ["bypass", "solo", "mute"].map((key) => {
      const labels = changes[key] ?? [];
      need(Array.isArray(labels), `${key}: a list of labels`, labels);
      return labels.map((label) => find(key === "bypass" ? processors : heads, label));
    });
    [...solo, ...mute].forEach((id) => this.rows(id));
    return { settings, bypass, solo, mute };
  }

  // What a page shows of a processor, see mixgraph/page/content.py, as it acts now: of a curve as found.
  reading(id, found) {
    const { bypass, wet, ...settings } = this.state.get(this.processor(id).id);
    return READINGS[this.processor(id).sound.kind]?.(found, this.processor(id), settings, bypass ? 0 : wet, this.model) ?? found;
  }

  // A buffer that tells faders the place in the song, played like a track into `position`.
  positionBuffer(firstSample, length) {
    const faders = [...this.units.values()].filter((unit) => unit instanceof FaderUnit);
    if (!faders.length) return null;
    for (const { node, latency } of faders) {
      node.port.postMessage(firstSample);
      if (this.placed) continue;
      delayed(this.position, latency).connect(node, 0, 1);
    }
    this.placed = true;
    const buffer = new AudioBuffer({ length, numberOfChannels: 1, sampleRate: this.context.sampleRate });
    buffer.copyToChannel(Float32Array.from({ length }, (_, n) => n), 0);
    return buffer;
  }

  dispose() {
    [this.output, this.position, ...this.inputs.values(), ...this.trackGains.values(), ...this.taps.values()].forEach((node) => node.disconnect());
    this.units?.forEach(({ outputs }) => outputs.forEach((output) => output.disconnect()));
    this.waiting.forEach((delay) => delay.disconnect());
  }
}
