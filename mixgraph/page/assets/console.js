/* The controls of the console: what can be moved in a processor, a track or a subgroup, and the list of what was moved. */
function amount(setting, value) {
  const unit = setting.unit === "1" ? "" : setting.unit, digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 100 ? 1 : 2;
  return `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}${unit && !unit.startsWith(":") ? " " : ""}${unit}`;
}
const LOG_STEPS = 1000;
/* A setting as a slider with its name and its value; logarithmic where its unit is heard so. */
function slider(setting, value, act) {
  const { min, max, step, label } = setting, log = setting.scale === "log";
  const place = (v) => (log ? Math.round((LOG_STEPS * Math.log(v / min)) / Math.log(max / min)) : v);
  const read = (p) => Math.min(max, Math.max(min, Number((log ? min * (max / min) ** (p / LOG_STEPS) : p).toPrecision(6))));
  const input = make("input", { type: "range", "data-setting": setting.name, ...(log ? { min: 0, max: LOG_STEPS, step: 1 } : { min, max, step }) });
  const output = make("output", {}), show = (v) => { output.textContent = amount(setting, v); input.setAttribute("aria-valuetext", amount(setting, v)); };
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
    if (player.name !== "live") player.hear("live").catch(failed);
    listed();
  };
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
      box.append(make("div", { class: "row" }, toggle("Bypass", values.bypass, (engine, on) => engine.set(p.id, { bypass: on })), resetButton("Reset", p.id)),
        ...p.settings.map((s) => slider(s, values[s.name], (v) => act((engine) => engine.set(p.id, { [s.name]: v })))));
    }
    if (p && p.note) box.append(make("p", { class: "quiet" }, p.note));
    if (head) {
      const engine = player.engine, row = make("div", { class: "row" });
      if (!head.kind || head.kind === "subgroup") {
        row.append(toggle("Solo", Boolean(engine && engine.soloed(head.id)), (e, on) => e.solo(head.id, on)), toggle("Mute", Boolean(engine && engine.muted(head.id)), (e, on) => e.mute(head.id, on)));
      }
      row.append(resetButton("Reset chain", head.id)); box.append(row);
    }
    if (box.childElementCount) panel.append(box);
  }
  const save = () => {
    const text = JSON.stringify(player.live().changes(), null, 1) + "\n", url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    make("a", { href: url, download: "changes.json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  const items = make("ul", { "aria-label": "What was changed" });
  const all = make("button", { type: "button", onclick: () => { act((engine) => engine.reset()); if (shown !== null) controls(shown); } }, "Reset all");
  const saver = make("button", { type: "button", onclick: save }, "Save changes.json");
  const notes = model.processors.filter((p) => p.note).map((p) => make("p", { class: "quiet", dir: "auto" }, `${data.shown[p.id]}: ${p.note}`));
  list.append(make("h3", {}, "Your changes"), items, make("div", { class: "row" }, all, saver),
    make("p", { class: "quiet" }, "Move anything in the panel and it is heard in the voice Live. The saved file is rendered by: python -m mixgraph render RESULT --tracks SONG --changes changes.json --out mix.flac"), ...notes);
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
