/* A demixed song: the stems start together with the mix, and their sum through faders is a voice beside it. */
const LOWEST = -60, HIGHEST = 12, STEP = 0.5; // dB; the lowest place of a fader is minus infinity
class StemPlayer extends Player {
  constructor(data, moved) { super(data, moved); this.faders = new Map(data.stems.map(({ key }) => [key, { db: 0, mute: false, solo: false }])); }
  has(name) { return name === "faders" || super.has(name); }
  /* The level of a stem in dB, with mute and solo: a muted stem is silent, soloed or not. */
  db(key) {
    const { db, mute, solo } = this.faders.get(key), alone = [...this.faders.values()].some((fader) => fader.solo);
    return mute || (alone && !solo) || db <= LOWEST ? -Infinity : db;
  }
  level(name) {
    if (!this.faders.has(name)) return super.level(name);
    return this.name === "faders" ? this.data.excerpts[this.number].audio[name].scale * 10 ** (this.db(name) / 20) : 0;
  }
  async hear(name) {
    if (name !== "faders") return super.hear(name);
    this.wanted = this.name = name; this.refresh(); this.moved();
  }
}
function decibels(db) { return Number.isFinite(db) ? `${db < 0 ? "−" : db > 0 ? "+" : ""}${Math.abs(db).toFixed(1)} dB` : "−∞ dB"; }
function file(name) { return name.startsWith("-") ? `./${name}` : name; }
/* A word of a command as a shell reads it. */
function quoted(word) { return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`; }
function demixCommand(data, player) {
  const gains = data.stems.filter((s) => s.argument !== null).map((s) => `${s.argument}=${Number.isFinite(player.db(s.key)) ? player.db(s.key) : "-inf"}`);
  const blends = data.blended.flatMap(([target, file]) => ["--blend", `${target}=${file}`]);
  return ["python", "-m", "mixgraph", "demix", file(data.checkpoint || "CHECKPOINT"), file(data.mix), "--out", "remixed", ...blends, ...(gains.length ? ["--gains", gains.join(",")] : [])].map(quoted).join(" ");
}
function showStems(data) {
  document.getElementById("verdict").append(make("div", { class: "stats" }, stat(String(data.stems.length), data.stems.length === 1 ? "stem" : "stems"), stat(`${data.seconds.toFixed(1)} s`, "length"), stat(`${data.sampleRate} Hz`, "sample rate"),
    stat(`${data.networkSampleRate} Hz`, "sample rate of the network"), stat(data.distanceDb === null ? "–" : decibels(data.distanceDb), "all stems' sum less the mix, relative to the mix"), stat(data.checkpoint || "not stated", "checkpoint")));
  for (const text of [...data.notes, ...data.leftOut]) document.getElementById("notes").append(make("p", { class: "quiet", dir: "auto" }, text));
}
function startFaders(data, player) {
  const place = document.getElementById("faders"), code = make("pre", { class: "card", tabindex: "0", role: "region", "aria-label": "Command that renders the faders" }), shows = [];
  const act = () => { shows.forEach((show) => show()); code.textContent = demixCommand(data, player); player.refresh(); };
  const changed = () => { if (player.name !== "faders") player.hear("faders"); act(); };
  const cards = data.stems.map(({ key, name }) => {
    const fader = player.faders.get(key), output = make("output", {}), input = make("input", { type: "range", min: LOWEST, max: HIGHEST, step: STEP, value: 0, "aria-label": `Level of ${name}` });
    input.addEventListener("input", () => { fader.db = input.valueAsNumber <= LOWEST ? -Infinity : input.valueAsNumber; changed(); });
    const toggles = [["mute", "Mute"], ["solo", "Solo"]].map(([what, text]) => [what, make("button", { type: "button", "aria-label": `${text} ${name}`, onclick: () => { fader[what] = !fader[what]; changed(); } }, text)]);
    const card = make("div", { class: "card", role: "group", "aria-label": name }, make("h3", { dir: "auto" }, name), make("div", { class: "slider" }, make("span", {}, "Level"), output, input), make("div", { class: "row" }, ...toggles.map(([, b]) => b)));
    shows.push(() => {
      input.value = Number.isFinite(fader.db) ? fader.db : LOWEST;
      output.textContent = decibels(fader.db);
      input.setAttribute("aria-valuetext", Number.isFinite(fader.db) ? decibels(fader.db) : "minus infinity dB");
      for (const [what, b] of toggles) b.setAttribute("aria-pressed", String(fader[what]));
      card.classList.toggle("silent", !Number.isFinite(player.db(key)));
    });
    return card;
  });
  const reset = make("button", { type: "button", onclick: () => { for (const fader of player.faders.values()) Object.assign(fader, { db: 0, mute: false, solo: false }); act(); } }, "Reset the faders");
  place.append(make("div", { class: "faders" }, ...cards), reset);
  const unsaid = data.stems.filter((s) => s.argument === null).map((s) => s.name);
  document.getElementById("command").append(make("p", { class: "quiet" }, "This command takes the mix apart once more and writes remix.wav, at the levels of the faders, beside the stems. The page knows the names of the checkpoint and of the mix, not their folders."), code,
    ...(unsaid.length ? [make("p", { class: "quiet", dir: "auto" }, `These names cannot be written in it, and keep their level there: ${unsaid.join("; ")}`)] : []));
  act();
}
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  showStems(data);
  const player = (window.mixgraphPlayer = startListening(data, StemPlayer));
  startFaders(data, player);
})();
