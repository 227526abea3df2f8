/* Voices on one clock: each starts on a whole sample of the context, so that all stay together whenever they join. */
const RAMP = 0.01, SOON = 0.1, SETTLE = 0.25; // seconds
/* The audio thread takes over what was set between two of its turns, at the latest at the second one after it. */
const WATCHED = 3; // seconds
const TURNS = 2, POLL = 5, BLOCKS = 256; // turns, milliseconds, samples
class Player {
  constructor(data, moved) {
    Object.assign(this, { data, moved, name: "target", matched: false, looping: true, playing: false, offset: 0, loop: null, number: 0, turn: 0 });
    Object.assign(this, { voices: {}, feeds: [], taps: new Map(), buffers: new Map(), decoding: new Map(), said: () => {}, failed: () => {} });
  }
  get canLive() { return Boolean(this.data.console) && "AudioContext" in window && "AudioWorkletNode" in window; }
  get rate() { return this.data.sampleRate; }
  open() { this.context = this.context || new AudioContext({ sampleRate: this.rate }); return this.context; }
  /* The console is built when it is first needed: it costs much more than playing a recording. */
  live() {
    if (!this.engine) {
      this.engine = new MixConsole(this.open(), this.data.console);
      this.engine.onprogress = (done, all) => this.said(done < all ? `Building the console: ${done} of ${all} processors` : "");
      this.liveGain = this.silent(); this.engine.output.connect(this.liveGain);
    }
    return this.engine;
  }
  silent() { const gain = new GainNode(this.context, { gain: 0 }); gain.connect(this.context.destination); return gain; }
  /* Whether a voice can be heard in the excerpt. */
  has(name) { return Boolean(this.data.excerpts[this.number].audio[name]) || (name === "live" && this.canLive); }
  isLive(name) { return name === "live" || /^(before|after) /.test(name); }
  /* Decodes recordings of an excerpt, each once. */
  async decode(number, names) {
    this.open();
    if (!this.buffers.has(number)) this.buffers.set(number, {});
    const decoded = this.buffers.get(number), one = (name) => {
      const key = `${number} ${name}`;
      if (!this.decoding.has(key)) {
        const bytes = Uint8Array.from(atob(this.data.excerpts[number].audio[name].flac), (c) => c.charCodeAt(0));
        this.decoding.set(key, this.context.decodeAudioData(bytes.buffer).then((buffer) => { decoded[name] = buffer; }));
      }
      return this.decoding.get(key);
    };
    await Promise.all(names.map(one));
    return decoded;
  }
  load(number) { return this.decode(number, Object.keys(this.data.excerpts[number].audio)); }
  get tracks() { return this.data.console.tracks.map((_, row) => `track ${row}`); }
  mixes(number) { return Object.keys(this.data.excerpts[number].audio).filter((name) => !name.startsWith("track ") || name === this.name); }
  prepare(number) { return Promise.all([this.live().ready, this.decode(number, this.tracks)]); }
  level(name) {
    const e = this.data.excerpts[this.number], gain = this.matched ? e.gains[name === "live" ? "found" : name] || 1 : 1;
    if (name !== this.name) return 0;
    return this.isLive(name) ? (this.playing ? gain : 0) : e.audio[name].scale * gain;
  }
  /* The frame of the excerpt that is heard at a frame of the context. */
  place(frame) {
    const at = this.first + Math.max(0, frame - this.startFrame);
    return this.looping && at >= this.to ? this.from + ((at - this.from) % (this.to - this.from)) : Math.min(at, this.to);
  }
  now() { return this.playing ? this.place(this.context.currentTime * this.rate) / this.rate : this.offset; }
  /* Acts with a frame of the near future; again with a later one where it had come before the audio thread knew all. */
  async soon(act, undo) {
    const { context, turn } = this;
    for (let wait = SOON; ; wait *= 2) {
      const frame = Math.ceil((context.currentTime + wait) * this.rate);
      act(frame);
      for (let seen = context.currentTime, turns = 0; turns < TURNS && turn === this.turn && context.state === "running"; ) {
        await new Promise((resolve) => setTimeout(resolve, POLL));
        if (context.currentTime !== seen) { seen = context.currentTime; turns++; }
      }
      if (turn !== this.turn || context.state !== "running" || context.currentTime * this.rate + BLOCKS < frame) return;
      undo();
    }
  }
  source(buffer, frame, place, target) {
    const [loopStart, loopEnd] = [this.from / this.rate, this.to / this.rate];
    const source = new AudioBufferSourceNode(this.context, { buffer, loop: this.looping, loopStart, loopEnd });
    source.connect(target);
    source.start(frame / this.rate, place / this.rate, ...(this.looping ? [] : [(this.to - place) / this.rate]));
    return source;
  }
  join(name, frame) {
    const gain = this.silent();
    this.voices[name] = { gain, source: this.source(this.buffers.get(this.number)[name], frame, this.place(frame), gain) };
  }
  leave(name) { const { source, gain } = this.voices[name]; source.onended = null; source.stop(); gain.disconnect(); delete this.voices[name]; }
  /* The dry tracks enter the console ahead of the recordings, by its latency; so does the place in the song, for faders. */
  feed(frame) {
    const { engine, context } = this, e = this.data.excerpts[this.number], place = this.place(frame + engine.latency);
    const enter = (buffer, scale, target) => {
      const gain = new GainNode(context, { gain: scale }); gain.connect(target);
      this.feeds.push({ gain, source: this.source(buffer, frame, place, gain) });
    };
    this.data.console.tracks.forEach(({ id }, row) => enter(this.buffers.get(this.number)[`track ${row}`], e.audio[`track ${row}`].scale, engine.input(id)));
    const places = engine.positionBuffer(Math.round(e.start * this.rate), Math.round(e.seconds * this.rate));
    if (places) enter(places, 1, engine.position);
  }
  starve() { for (const { source, gain } of this.feeds) { source.stop(); gain.disconnect(); } this.feeds = []; }
  async play(number) {
    this.stop(); this.number = number;
    const turn = ++this.turn, live = Boolean(this.engine) || this.isLive(this.name);
    await Promise.all([this.decode(number, this.mixes(number)), this.open().resume(), this.canLive && MixConsole.load(this.context), live && this.prepare(number)]);
    if (turn !== this.turn) return;
    const frames = (seconds) => Math.round(seconds * this.rate), end = frames(this.data.excerpts[number].seconds);
    [this.from, this.to] = this.loop ? this.loop.map(frames) : [0, end];
    this.first = frames(this.offset);
    if (this.first < this.from || this.first >= this.to) this.first = this.from;
    this.playing = true;
    await this.soon((frame) => {
      this.startFrame = frame + (live ? this.engine.latency : 0);
      for (const name of this.mixes(number)) this.join(name, this.startFrame);
      if (live) this.feed(frame);
    }, () => this.silence());
    if (turn !== this.turn) return;
    const [voice] = Object.values(this.voices);
    if (voice) voice.source.onended = () => { this.stop(); this.offset = this.from / this.rate; this.moved(); };
    this.refresh(); this.moved();
  }
  /* Says where the console is more than the computer can play: the time of the context lags behind. */
  watch() {
    const [t, sound] = [performance.now() / 1000, this.playing && this.feeds.length ? this.context.currentTime : null];
    if (sound === null || !this.watched || this.watched[1] === null) { this.watched = [t, sound]; return; }
    if (t - this.watched[0] < WATCHED) return;
    const share = (sound - this.watched[1]) / (t - this.watched[0]);
    this.said(share < 0.95 ? "This computer cannot play the whole console in time. Recordings play without gaps when the page is opened anew." : "");
    this.watched = [t, sound];
  }
  silence() { Object.keys(this.voices).forEach((name) => this.leave(name)); this.starve(); }
  stop() { this.offset = this.now(); this.turn++; this.silence(); this.playing = false; this.refresh(); this.moved(); }
  refresh() {
    if (!this.context) return;
    const gains = Object.entries(this.voices).map(([name, { gain }]) => [name, gain]);
    if (this.engine) gains.push(["live", this.liveGain], ...this.taps);
    const t = this.context.currentTime;
    for (const [name, { gain }] of gains) { gain.cancelScheduledValues(t); gain.setValueAtTime(gain.value, t); gain.linearRampToValueAtTime(this.level(name), t + RAMP); }
  }
  /* The console joins what plays; it is heard when its latency has passed and what rings on has begun. */
  async catchUp() {
    await this.soon((frame) => this.feed(frame), () => this.starve());
    await new Promise((resolve) => setTimeout(resolve, 1000 * (SOON + SETTLE + this.engine.latency / this.rate)));
  }
  /* Switches to a voice. The console, where it is not playing yet, joins what plays, and is heard when it has caught up. */
  async hear(name) {
    this.wanted = name;
    const here = this.number, over = () => this.wanted !== name;
    await (this.isLive(name) ? this.prepare(here) : this.decode(here, [name]));
    if (over()) return;
    if (this.number !== here) { await this.hear(name); return; }
    if (this.isLive(name)) {
      const [place, id] = name.split(" ");
      if (id && !this.taps.has(name)) { const gain = this.silent(); this.engine.tap(id, place).connect(gain); this.taps.set(name, gain); }
      if (this.playing && !this.feeds.length) this.caughtUp = this.catchUp();
      await this.caughtUp;
    } else if (this.playing && !this.voices[name]) await this.soon((frame) => this.join(name, frame), () => this.leave(name));
    if (over()) return;
    this.name = name; this.refresh(); this.moved();
  }
}
