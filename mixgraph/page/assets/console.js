/* The controls of the console: what can be moved in a processor, a track or a subgroup, and the list of what was moved. */
function amount(setting, value) {
  const unit = setting.unit === "1" ? "" : setting.unit, digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 100 ? 1 : 2;
  return `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}${unit && !unit.startsWith(":") ? " " : ""}${unit}`;
}
const LOG_STEPS = 1000, LARGEST_FILE = 5e6; // bytes
/* A setting as a slider with its name and its value; logarithmic where its unit is heard so. */
function slider(setting, value, act) {
  const { min, max, step, label } = setting, log = setting.scale === "log";
  const place = (v) => (log ? Math.round((LOG_STEPS * Math.log(v / min)) / Math.log(max / min)) : v);
  const read = (p) => Math.min(max, Math.max(min, Number((log ? min * (max / min) ** (p / LOG_STEPS) : p).toPrecision(6))));
  const input = make("input", { type: "range", "aria-label": label, "data-setting": setting.name, ...(log ? { min: 0, max: LOG_STEPS, step: 1 } : { min, max, step }) });
  const output = make("output", { "aria-live": "off" }), show = (v) => { output.textContent = amount(setting, v); input.setAttribute("aria-valuetext", amount(setting, v)); };
  input.value = place(value); show(value);
  input.addEventListener("input", () => { const v = read(Number(input.value)); show(v); act(v); });
  return make("label", { class: "slider" }, make("span", {}, label), output, input);
}
function startConsole(data, player) {
  const model = data.console, panel = document.getElementById("inspector"), list = document.getElementById("changes");
  if (!model || !player.canLive) {
    const why = model ? "This browser has no AudioWorklet" : "The dry tracks are not in this page";
    list.append(make("p", { class: "quiet" }, `${why}: the console cannot be played or changed here.`));
    return () => {};
  }
  const heads = [...model.tracks, ...model.groups];
  const state = (p) => (player.engine ? player.engine.get(p.id) : { bypass: false, ...Object.fromEntries(p.settings.map((s) => [s.name, s.value])) });
  const failed = (error) => player.failed(error);
  let shown = null;
  /* Everything that is moved is heard: the live voice takes over. */
  const act = (change) => {
    try { change(player.live()); } catch (error) { failed(error); return; }
    if (!player.isLive(player.name)) player.hear("live").catch(failed);
    listed(); redraw();
  };
  const isMoved = (p) => { const values = state(p); return values.bypass || p.settings.some((s) => values[s.name] !== s.value); };
  /* The picture in the panel follows what was moved. */
  let drawn = 0;
  const redraw = () => { drawn = drawn || requestAnimationFrame(() => { drawn = 0; picture(); }); };
  function picture() {
    const p = model.processors.find((one) => one.node === shown), node = data.nodes.find((one) => one.node === shown), place = panel.querySelector(".reading");
    if (!p || !node || !node.curve || !place) return;
    place.replaceChildren(...(isMoved(p) ? readingPictures(node, player.engine.reading(p.id, node.curve), node.curve) : readingPictures(node, node.curve)));
  }
  const chainButtons = (id) => (player.hearPart ? ["before", "after"] : []).map((place) => make("button", { type: "button", "aria-label": `Hear ${data.shown[id]} ${place} its chain`, onclick: () => player.hearPart(id, place) }, `Hear ${place}`));
  const toggle = (text, on, change) => {
    const b = make("button", { type: "button", "aria-pressed": String(on) }, text);
    b.addEventListener("click", () => { on = !on; b.setAttribute("aria-pressed", String(on)); act((engine) => change(engine, on)); });
    return b;
  };
  const resetButton = (text, id) => make("button", { type: "button", onclick: () => { act((engine) => engine.reset(id)); controls(shown); panel.querySelector(".controls .reset")?.focus(); }, class: "reset" }, text);
  function controls(number) {
    shown = number;
    panel.querySelector(".controls")?.remove();
    const p = model.processors.find((one) => one.node === number), head = heads.find((one) => one.node === number);
    const box = make("div", { class: "controls", role: "group", "aria-live": "off", "aria-label": "Controls" });
    if (p && p.processing !== "none") {
      const values = state(p);
      box.append(make("div", { class: "row" }, toggle("Bypass", values.bypass, (engine, on) => engine.set(p.id, { bypass: on })), resetButton("Reset", p.id), ...chainButtons(p.chain)),
        ...p.settings.map((s) => slider(s, values[s.name], (v) => act((engine) => engine.set(p.id, { [s.name]: v })))));
    }
    if (p && p.note) box.append(make("p", { class: "quiet" }, p.note));
    if (head) {
      const engine = player.engine, row = make("div", { class: "row" });
      if (!head.kind || head.kind === "subgroup") {
        row.append(toggle("Solo", Boolean(engine && engine.soloed(head.id)), (e, on) => e.solo(head.id, on)), toggle("Mute", Boolean(engine && engine.muted(head.id)), (e, on) => e.mute(head.id, on)));
      }
      row.append(resetButton("Reset chain", head.id), ...chainButtons(head.id)); box.append(row);
    }
    if (box.childElementCount) panel.append(box);
    picture();
  }
  /* A file of changes takes the place of all changes; one that cannot be read changes nothing, and it is said why. */
  async function load(file) {
    said.textContent = "";
    try {
      if (file.size > LARGEST_FILE) throw new Error(`A file of changes is needed, got one of ${(file.size / 1e6).toFixed(0)} MB.`);
      const text = await file.text();
      let record;
      try { record = JSON.parse(text); } catch (error) { throw new Error(`JSON is needed (${error.message}).`); }
      player.live().apply(record);
    } catch (error) { said.textContent = `${file.name}: ${error.message} Nothing was changed.`; return; }
    act(() => {});
    if (shown !== null) controls(shown);
    said.textContent = `${file.name} was loaded.`;
  }
  const said = make("p", { role: "status", dir: "auto" }), chooser = make("input", { type: "file", accept: ".json,application/json", hidden: "", "aria-label": "A file of changes" });
  chooser.addEventListener("change", () => { if (chooser.files.length) load(chooser.files[0]); chooser.value = ""; });
  document.addEventListener("dragover", (e) => e.preventDefault());
  document.addEventListener("drop", (e) => { e.preventDefault(); if (e.dataTransfer.files.length) load(e.dataTransfer.files[0]); });
  const save = () => {
    const text = JSON.stringify(player.live().changes(), null, 1) + "\n", url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    make("a", { href: url, download: "changes.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  const items = make("ul", { "aria-label": "What was changed" });
  const all = make("button", { type: "button", onclick: () => { act((engine) => engine.reset()); if (shown !== null) controls(shown); } }, "Reset all");
  const saver = make("button", { type: "button", onclick: save }, "Save changes.json");
  const notes = model.processors.filter((p) => p.note).map((p) => make("p", { class: "quiet", dir: "auto" }, `${data.shown[p.id]}: ${p.note}`));
  list.append(make("h3", {}, "Your changes"), items, make("div", { class: "row" }, all, saver, make("button", { type: "button", onclick: () => chooser.click() }, "Load changes.json"), chooser), said,
    make("p", { class: "quiet" }, "Move anything in the panel and it is heard in the voice Live. A saved file can be loaded again, or dropped on this page. It is rendered by: python -m mixgraph render RESULT --tracks SONG --changes changes.json --out mix.flac"), ...notes);
  function listed() {
    const engine = player.engine, rows = [], mark = (node, name, on) => document.querySelector(`#drawing g.node[data-node="${node}"]`)?.classList.toggle(name, on);
    for (const p of engine ? model.processors : []) {
      const values = engine.get(p.id), moved = p.settings.filter((s) => values[s.name] !== s.value).map((s) => `${s.label} ${amount(s, values[s.name])} (was ${amount(s, s.value)})`);
      if (values.bypass) moved.unshift("bypassed");
      if (moved.length) rows.push(`${data.shown[p.id]}: ${moved.join(", ")}`);
      mark(p.node, "off", values.bypass);
    }
    for (const head of engine ? heads : []) {
      for (const [word, on] of [["solo", engine.soloed(head.id)], ["muted", engine.muted(head.id)]]) if (on) rows.push(`${data.shown[head.id]}: ${word}`);
      if (!head.kind) mark(head.node, "off", !engine.audible(head.id));
    }
    items.replaceChildren(...(rows.length ? rows : ["Nothing is changed."]).map((text) => make("li", { dir: "auto" }, text)));
    all.disabled = saver.disabled = !rows.length;
  }
  listed();
  return controls;
}
