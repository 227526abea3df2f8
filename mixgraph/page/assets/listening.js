/* Sources that all start together, heard one at a time through ramps of 10 ms. */
const RAMP = 0.01;
class Player {
  constructor(data, moved) { this.data = data; this.moved = moved; this.name = "target"; this.matched = false; this.looping = true; this.playing = false; this.offset = 0; this.loop = null; this.voices = {}; this.buffers = new Map(); this.turn = 0; this.late = 0; }
  get canLive() { return Boolean(this.data.console) && "AudioContext" in window && "AudioWorkletNode" in window; }
  open() { this.context = this.context || new AudioContext({ sampleRate: this.data.sampleRate }); return this.context; }
  /* The console is built when it is first needed: it costs much more than playing a recording. */
  live() {
    if (!this.engine) {
      this.engine = new MixConsole(this.open(), this.data.console);
      this.liveGain = this.context.createGain(); this.liveGain.gain.value = 0;
      this.engine.output.connect(this.liveGain).connect(this.context.destination);
    }
    return this.engine;
  }
  async load(number) {
    this.open();
    if (!this.buffers.has(number)) {
      const decoded = {};
      for (const [name, audio] of Object.entries(this.data.excerpts[number].audio)) {
        const bytes = Uint8Array.from(atob(audio.flac), (c) => c.charCodeAt(0));
        decoded[name] = await this.context.decodeAudioData(bytes.buffer);
      }
      this.buffers.set(number, decoded);
    }
    return this.buffers.get(number);
  }
  level(name) { const e = this.data.excerpts[this.number]; if (name === "live") return this.name === name && this.playing ? (this.matched && e.gains.found) || 1 : 0; return name === this.name ? e.audio[name].scale * (this.matched ? e.gains[name] : 1) : 0; }
  async play(number) {
    this.stop(); this.number = number;
    const turn = ++this.turn, buffers = await this.load(number);
    await this.context.resume(); await this.engine?.ready;
    if (turn !== this.turn) return;
    const seconds = this.data.excerpts[number].seconds, at = this.context.currentTime + 0.05;
    this.from = this.loop ? this.loop[0] : 0; this.to = this.loop ? this.loop[1] : seconds;
    if (this.offset < this.from || this.offset >= this.to) this.offset = this.from;
    for (const [name, buffer] of Object.entries(buffers)) {
      const source = this.context.createBufferSource(), gain = this.context.createGain();
      source.buffer = buffer; source.loop = this.looping; source.loopStart = this.from; source.loopEnd = this.to;
      gain.gain.value = this.level(name); (this.engine ? this.engine.align(source) : source).connect(gain).connect(this.context.destination);
      const track = this.engine && name.startsWith("track ") && this.data.console.tracks[Number(name.slice(6))];
      let feed = null;
      if (track) { feed = this.context.createGain(); feed.gain.value = this.data.excerpts[number].audio[name].scale; source.connect(feed).connect(this.engine.input(track.id)); }
      source.start(at, this.offset, ...(this.looping ? [] : [this.to - this.offset])); this.voices[name] = { source, gain, feed };
    }
    this.follow(number, at); this.wired = Boolean(this.engine);
    this.late = this.engine ? this.engine.latency / this.data.sampleRate : 0;
    this.startedAt = at + this.late; this.playing = true; this.refresh();
    if (!this.looping) this.voices.target && (this.voices.target.source.onended = () => { if (this.playing && this.now() >= this.to - 0.05 - this.late) { this.stop(); this.offset = this.from; this.moved(); } });
    this.moved();
  }
  /* Faders are told the place in the song by a source that runs with the others. */
  follow(number, at) {
    const e = this.data.excerpts[number], rate = this.data.sampleRate;
    const buffer = this.engine ? this.engine.positionBuffer(Math.round(e.start * rate), Math.round(e.seconds * rate)) : null;
    if (!buffer) return;
    const source = this.context.createBufferSource(), gain = this.context.createGain();
    source.buffer = buffer; source.loop = this.looping; source.loopStart = this.from; source.loopEnd = this.to;
    source.connect(gain).connect(this.engine.position); source.start(at, this.offset);
    this.voices[" position"] = { source, gain };
  }
  now() {
    if (!this.playing) return this.offset;
    const t = this.offset + Math.max(0, this.context.currentTime - this.startedAt);
    return this.looping && t >= this.to ? this.from + ((t - this.from) % (this.to - this.from)) : Math.min(t, this.to);
  }
  stop() {
    if (this.playing) this.offset = this.now();
    for (const voice of Object.values(this.voices)) { voice.source.onended = null; voice.source.stop(); voice.gain.disconnect(); voice.feed?.disconnect(); }
    this.voices = {}; this.playing = false; this.refresh(); this.moved();
  }
  refresh() {
    const voices = Object.entries(this.voices).filter(([name]) => name !== " position");
    if (this.engine && this.number !== undefined) voices.push(["live", { gain: this.liveGain }]);
    for (const [name, voice] of voices) {
      const g = voice.gain.gain, t = this.context.currentTime;
      g.cancelScheduledValues(t); g.setValueAtTime(g.value, t); g.linearRampToValueAtTime(this.level(name), t + RAMP);
    }
  }
  async hear(name) {
    this.wanted = name;
    if (name === "live") {
      await this.live().ready;
      if (this.wanted !== name) return;
      this.name = name;
      if (this.playing && !this.wired) { this.stop(); await this.play(this.number); }
    }
    this.name = name; this.refresh(); this.moved();
  }
}
function startListening(data) {
  const place = document.getElementById("listen"), bar = document.getElementById("transport");
  let number = 0, channel = "mid";
  const spectra = make("div", { class: "spectra", tabindex: "0", role: "group", "aria-label": "Spectrograms; click to move, drag to choose a loop" });
  const heads = [], loops = [];
  const canPlay = data.excerpts.some((e) => e.audio) && "AudioContext" in window;
  const player = new Player(data, () => update());
  const here = () => data.excerpts[number];
  function paint() {
    heads.length = loops.length = 0;
    spectra.replaceChildren(...(data.spectra || ["target", "found", "error"]).filter((n) => here().pictures[`${n} ${channel}`]).map((name) => {
      const head = make("div", { class: "playhead" }), loop = make("div", { class: "loop" }); heads.push(head); loops.push(loop);
      const [kind] = name.split(" "), text = kind === "error" ? `${name}: red too loud, blue too quiet` : name;
      return make("div", { class: `spectrum ${kind}` }, make("img", { src: here().pictures[`${name} ${channel}`], alt: `Spectrogram of ${name}, ${channel}`, draggable: "false" }), make("span", {}, text), loop, head);
    }));
    update();
  }
  let down = null;
  const second = (e) => { const box = spectra.getBoundingClientRect(); return Math.min(1, Math.max(0, (e.clientX - box.left) / box.width)) * here().seconds; };
  spectra.addEventListener("pointerdown", (e) => { down = second(e); });
  spectra.addEventListener("pointerup", (e) => {
    if (down === null) return;
    const up = second(e), playing = player.playing; player.stop();
    player.loop = Math.abs(up - down) > 0.15 ? [Math.min(up, down), Math.max(up, down)] : player.loop && up >= player.loop[0] && up < player.loop[1] ? player.loop : null;
    player.offset = Math.min(up, down); down = null;
    if (playing) player.play(number); else update();
  });
  const choices = (items, chosen, act, label) => make("div", { class: "row", role: "group", "aria-label": label }, ...items.map(([key, text]) => {
    const b = make("button", { type: "button", "data-key": key, "aria-pressed": String(key === chosen()) }, text);
    b.addEventListener("click", () => { act(key); for (const o of b.parentNode.children) o.setAttribute("aria-pressed", String(o.dataset.key === chosen())); });
    return b;
  }));
  const leap = (key) => { const playing = player.playing; player.stop(); number = Number(key); player.offset = 0; player.loop = null; paint(); if (playing) player.play(number); };
  const items = data.excerpts.map((e, i) => [String(i), `${e.name} (${e.start.toFixed(0)}–${(e.start + e.seconds).toFixed(0)} s)`]);
  place.append(make("div", { class: "row" }, choices(items, () => String(number), leap, "Excerpt"), choices([["mid", "mid"], ["side", "side"]], () => channel, (k) => { channel = k; paint(); }, "Channel")), spectra);
  if (data.excerpts.every((e) => !Object.keys(e.pictures).length)) spectra.replaceChildren(make("p", {}, "No mixes are in the result, so there are no spectrograms."));
  let buttons = [], button, time, tracks;
  function update() {
    const t = player.now();
    heads.forEach((h) => { h.style.left = `${(100 * t) / here().seconds}%`; });
    loops.forEach((l) => { const r = player.loop; l.style.left = `${r ? (100 * r[0]) / here().seconds : 0}%`; l.style.width = `${r ? (100 * (r[1] - r[0])) / here().seconds : 0}%`; });
    if (!button) return;
    button.textContent = player.playing ? "Pause" : "Play"; time.textContent = `${(here().start + t).toFixed(1)} s`;
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.name === player.name)));
    if (tracks && !player.name.startsWith("track ")) tracks.value = "";
  }
  if (canPlay) {
    const audio = here().audio, toggle = () => { if (player.playing) player.stop(); else player.play(number).catch(failed); };
    const failed = (error) => bar.append(make("p", { role: "alert" }, `This browser cannot play the audio: ${error.message}`));
    button = make("button", { class: "play", type: "button", onclick: toggle }, "Play"); time = make("span", { class: "time" });
    const names = data.voices || [["target", "Target"], ["found", "Found mix"], ["dry", "Dry sum"], ["difference", "Difference"], ["live", "Live"]];
    player.failed = failed;
    buttons = names.filter(([n]) => audio[n] || (n === "live" && player.canLive)).map(([n, text]) => make("button", { type: "button", "data-name": n, onclick: () => player.hear(n).catch(failed) }, text));
    tracks = make("select", { "aria-label": "A dry track alone", onchange: () => tracks.value && player.hear(tracks.value) }, make("option", { value: "" }, "dry track…"), ...data.tracks.map((t, row) => make("option", { value: `track ${row}` }, t)));
    const flag = (text, key, act) => { const b = make("button", { type: "button", "aria-pressed": String(player[key]) }, text); b.addEventListener("click", () => { player[key] = !player[key]; b.setAttribute("aria-pressed", String(player[key])); act(); }); return b; };
    if (!audio.target && buttons.length) player.name = buttons[0].dataset.name;
    bar.append(make("div", { class: "row" }, button, time, ...buttons, audio["track 0"] ? tracks : "", flag("Level-matched", "matched", () => player.refresh()), flag("Loop", "looping", () => { if (player.playing) { player.stop(); player.play(number); } })));
    document.addEventListener("keydown", (e) => {
      if (e.target.closest("button,select,input,g.node") || e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === " ") { e.preventDefault(); toggle(); }
      const b = buttons[Number(e.key) - 1]; if (b) b.click();
    });
    const tick = () => { if (player.playing) update(); requestAnimationFrame(tick); }; tick();
  } else place.prepend(make("p", { class: "quiet" }, data.excerpts.some((e) => e.audio) ? "This browser has no Web Audio: nothing can be heard here; all else is shown." : "This page was made without audio."));
  paint();
  return player;
}
